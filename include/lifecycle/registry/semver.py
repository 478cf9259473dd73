"""A version's semantic version, from what changed against the version registered before it; registration writes it as a tag.

The rule: major when the interface changed (task, target, features and their kinds, feature code); minor when the training data,
the algorithm or the rules of training changed; patch when everything was the same and was run again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from include.lifecycle.spec import ModelSpec

SEMVER_TAG, INTERFACE_TAG, RULES_TAG, CHANGE_TAG = "semver", "interface_hash", "training_hash", "semver_change"
_MINOR_TAGS = {"snapshot_id": "training data", "algorithm": "algorithm", RULES_TAG: "rules of training"}
_WRITTEN = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$")  # semver.org 2.0.0, the core without labels


class Semver(NamedTuple):
    """major.minor.patch; compares as numbers do."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST = Semver(1, 0, 0)


def read_semver(text: str | None) -> Semver | None:
    """Parse `major.minor.patch`; None for anything else."""
    found = _WRITTEN.match(text or "")
    return Semver(*map(int, found.groups())) if found else None


def next_semver(base: Mapping[str, str] | None, tags: Mapping[str, str]) -> tuple[Semver, str]:
    """The number of a version with `tags` after the one with the tags `base` (None: the first), and the change in words."""
    before = read_semver(base.get(SEMVER_TAG)) if base else None
    if base is None or before is None:
        return FIRST, "the first version"
    if base.get(INTERFACE_TAG) != tags.get(INTERFACE_TAG):
        return Semver(before.major + 1, 0, 0), "major: task, target or features changed"
    changed = [word for tag, word in _MINOR_TAGS.items() if base.get(tag) != tags.get(tag)]
    if changed:
        return Semver(before.major, before.minor + 1, 0), f"minor: {', '.join(changed)} changed"
    return Semver(before.major, before.minor, before.patch + 1), "patch: the same data, algorithm and rules again"


def newest_numbered(versions: Iterable[Mapping[str, str]]) -> Mapping[str, str] | None:
    """The tags of the version with the highest semantic version, or None when none has one."""
    numbered = [(found, tags) for tags in versions if (found := read_semver(tags.get(SEMVER_TAG))) is not None]
    return max(numbered, key=lambda pair: pair[0])[1] if numbered else None


def interface_hash(spec: ModelSpec, feature_code: str | None = None) -> str:
    """Sha256 (hex) over what a caller of the model sees; `feature_code` is the digest of the model's own feature code."""
    kinds = {"numeric": spec.features.numeric, "categorical": spec.features.categorical}
    inputs = {"numeric": spec.features.inputs.numeric, "categorical": spec.features.inputs.categorical}
    seen = {
        "task": spec.objective.task,
        "classes": list(spec.objective.classes),
        "target": spec.data.target,
        "features": {kind: sorted(names) for kind, names in kinds.items()},
        "inputs": {kind: sorted(names) for kind, names in inputs.items()},
        "feature_code": feature_code,
    }
    return _digest(seen)


def training_hash(spec: ModelSpec) -> str:
    """Sha256 (hex) over the sections that decide what is learnt: data, labels, features, columns, objective, training."""
    plain = spec.model_dump(mode="json")
    return _digest({name: plain[name] for name in ("data", "labels", "features", "columns", "objective", "training")})


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
