"""Two versions side by side: metrics, parameters, features, data, digests, and every setting that differs.

The command `compare` prints it. All comes from files that lie with the versions, their digests checked; nothing is scored again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.lifecycle.registry.artefacts import FILES_TAG, MANIFEST_TAG, model_version, read_file
from include.lifecycle.registry.record import RECORD, VersionRecord
from include.lifecycle.registry.replay_report import Pairs, differing
from include.lifecycle.runtime import Runtime

_IDENTITY = ("semver", "stage", "algorithm", "engine", "method", "source", "reason", "registered_at", "outcome")
_DIGESTS = (
    MANIFEST_TAG,
    FILES_TAG,
    "model_digest",
    "snapshot_id",
    "spec_hash",
    "interface_hash",
    "training_hash",
    "git_revision",
)
_EVALUATION = "evaluation/evaluation.json"


class Comparison(BaseModel):
    """Two versions of one model. `metrics` holds every one, with None where a version has none; all else only what differs.

    `same_holdout` says whether the metrics are of the same rows: otherwise they tell of different days, not of different models.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    versions: tuple[int, int]
    same_holdout: bool
    identity: Pairs
    metrics: dict[str, tuple[float | None, float | None]]
    params: Pairs
    features: Pairs
    data: Pairs
    digests: Pairs
    spec: Pairs
    environment: Pairs


def compare_versions(rt: Runtime, model: str, first: int, second: int) -> Comparison:
    """Read both versions and tell them apart.

    Raises:
        SourceQueryError: there is no such version.
        ArtefactDigestError: a file is not the one that was registered, or a version is older than its record.
        SourceUnavailableError: MLflow did not answer.
    """
    numbers = (first, second)
    tags = [dict(model_version(rt, model, number).tags) for number in numbers]
    one, two = (VersionRecord.model_validate_json(read_file(rt, model, number, RECORD)) for number in numbers)
    metrics = [_metrics(rt, model, number) for number in numbers]
    names = sorted({*metrics[0], *metrics[1]})
    return Comparison(
        model=model,
        versions=numbers,
        same_holdout=one.data.get("holdout_digest") == two.data.get("holdout_digest"),
        identity=_tags(tags[0], tags[1], _IDENTITY),
        metrics={name: (metrics[0].get(name), metrics[1].get(name)) for name in names},
        params=differing(one.params, two.params),
        features=_features(one.spec, two.spec),
        data=differing(one.data, two.data),
        digests=_tags(tags[0], tags[1], _DIGESTS),
        spec=differing(one.spec, two.spec),
        environment=differing(one.environment, two.environment),
    )


def _metrics(rt: Runtime, model: str, version: int) -> dict[str, float]:
    found = json.loads(read_file(rt, model, version, _EVALUATION))["evaluation"]["metrics"]
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(float(value))}


def _tags(one: Mapping[str, str], two: Mapping[str, str], names: tuple[str, ...]) -> Pairs:
    return differing({name: one[name] for name in names if name in one}, {name: two[name] for name in names if name in two})


def _features(one: Mapping[str, Any], two: Mapping[str, Any]) -> Pairs:
    """Features that only one of both has, by kind."""
    found: Pairs = {}
    for kind in ("numeric", "categorical"):
        left, right = (set(spec["features"].get(kind, [])) for spec in (one, two))
        if left != right:
            found[kind] = (sorted(left - right), sorted(right - left))
    return found
