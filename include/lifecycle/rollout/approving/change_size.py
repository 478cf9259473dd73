"""How much a version differs from the champion, by facts that registration wrote as tags: what decides who approves it (S2).

large: task, target, features, feature code, the objective's metric, or the way of training differ. medium: the algorithm or the
rules of training differ. small: neither; only data and hyperparameters are new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from include.lifecycle.registry.semver import INTERFACE_TAG, RULES_TAG
from include.lifecycle.runtime import Runtime

Size = Literal["small", "medium", "large"]
TagsOf = Callable[[Runtime, str, int], Mapping[str, str]]

# Tag -> what it says when it differs. An incremental training goes on with what a full one began: the same way.
_LARGE = {
    INTERFACE_TAG: "task, target, features or feature code",
    "metric": "the objective's metric",
    "method": "the way of training",
}
_MEDIUM = {"algorithm": "the algorithm", RULES_TAG: "the rules of training"}
_SAME_WAY = {"incremental": "full"}


class Change(BaseModel):
    """The size of a change, and what differs; a tag that only one of both versions has counts as different."""

    model_config = ConfigDict(frozen=True)

    size: Size
    differs: list[str] = []

    @property
    def told(self) -> str:
        """In words, for people and the ledger."""
        return f"{self.size}: {', '.join(self.differs) or 'only data and hyperparameters'} changed"


def change_between(champion: Mapping[str, str], challenger: Mapping[str, str]) -> Change:
    """Compare the tags of two versions."""
    large = [word for tag, word in _LARGE.items() if _value(champion, tag) != _value(challenger, tag)]
    medium = [word for tag, word in _MEDIUM.items() if _value(champion, tag) != _value(challenger, tag)]
    size: Size = "large" if large else "medium" if medium else "small"
    return Change(size=size, differs=large + medium)


def change_of(rt: Runtime, model: str, version: int, champion: int | None, *, tags_of: TagsOf | None = None) -> Change | None:
    """The change from the champion to `version`; None without a champion: there is nothing that it would differ from.

    Raises SourceUnavailableError when MLflow did not answer, SourceQueryError for a version that does not exist.
    """
    if champion is None:
        return None
    read = tags_of or registered_tags
    return change_between(read(rt, model, champion), read(rt, model, version))


def registered_tags(rt: Runtime, model: str, version: int) -> Mapping[str, str]:
    """The tags of a version in MLflow's registry."""
    from include.lifecycle.registry.artefacts import model_version

    return dict(model_version(rt, model, version).tags)


def _value(tags: Mapping[str, str], tag: str) -> str | None:
    value = tags.get(tag)
    return _SAME_WAY.get(value, value) if tag == "method" and value is not None else value
