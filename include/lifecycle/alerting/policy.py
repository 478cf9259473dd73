"""Whom a model's alerts go to, from its YAML; the defaults' word where a model has none, or a broken one.

An alert must be told also when its model's YAML is wrong, or when it is about the platform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from include.lifecycle.alerting.kinds import ALERT
from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import defaults_tree, load_model
from include.lifecycle.monitoring.kinds import DECAY
from include.lifecycle.origins import plain
from include.lifecycle.sections.alerts import AlertsSection, Severity
from include.settings import Settings

LOG = "log"
_SCALE: tuple[Severity, ...] = ("P0", "P1", "P2", "P3")
_QUIET = ("", "none", "warn")

Policies = Callable[[str], AlertsSection]
"""A model's alerts section by its name."""


@dataclass(frozen=True)
class Finding:
    """What the ladder needs to know of a signal: its kind, its own severity, its effect, its evidence, and its cause's detail."""

    kind: str
    severity: str
    effect: float
    evidence: dict[str, Any]
    detail: str = ""

    @property
    def lost(self) -> float | None:
        """Fraction of skill that is surely lost; None where the signal is of something else, such as a floor that was missed."""
        lower = self.evidence.get("lower")
        other = self.detail.startswith("floor_") or self.evidence.get("measure") == "calibration_gap"
        return None if self.kind != DECAY or other or not isinstance(lower, int | float) else float(lower)


def policies_of(settings: Settings) -> Policies:
    """Read sections once per call of this; a model without a valid YAML has the defaults."""
    known: dict[str, AlertsSection] = {}

    def of(model: str) -> AlertsSection:
        if model not in known:
            try:
                known[model] = load_model(model, settings=settings).alerts
            except SpecInvalidError:
                known[model] = default_policy(settings)
        return known[model]

    return of


@lru_cache(maxsize=4)
def default_policy(settings: Settings) -> AlertsSection:
    """The section as _defaults.yaml has it."""
    return AlertsSection.model_validate(plain(defaults_tree(settings))["alerts"])


def severity_of(policy: AlertsSection, kind: str) -> Severity:
    """Severity of an alert that follows no signal."""
    return policy.severities.get(kind, policy.severities[ALERT])


def severity_of_signal(policy: AlertsSection, found: Finding) -> Severity:
    """Severity of a signal's alert: its own if it names one, a decay's by what is surely lost, else by its kind."""
    if found.severity in _SCALE:
        return next(one for one in _SCALE if one == found.severity)
    if (lost := found.lost) is not None:
        ladder = policy.performance
        return next((name for name, bar in zip(_SCALE, (ladder.P0, ladder.P1, ladder.P2), strict=False) if lost > bar), "P3")
    acts = found.severity not in _QUIET or found.effect >= policy.drift
    named = policy.severities.get(f"{found.kind}.act") if acts else None
    return named or severity_of(policy, found.kind)


def channels_of(policy: AlertsSection, severity: Severity, level: int) -> list[str]:
    """`medium:connection` of everybody who is told at this level of escalation, and the log; the owner at the first.

    A role that has none of the severity's media is told by all that it has.
    """
    chain: list[str] = getattr(policy.escalation, severity)
    media: list[str] = getattr(policy.routes, severity)
    role = chain[level] if level < len(chain) else None
    reached = {str(medium): ref.removeprefix("conn:") for medium, ref in policy.channels.get(role or "", {}).items()}
    chosen = {medium: conn for medium, conn in reached.items() if medium in media} or reached
    found = [f"{medium}:{conn}" for medium, conn in sorted(chosen.items())]
    owner = policy.owner.removeprefix("conn:") if policy.owner and level == 0 else None
    if owner and owner not in chosen.values():
        found.append(f"owner:{owner}")
    return [LOG, *found]


def next_level(policy: AlertsSection, severity: Severity, level: int) -> int | None:
    """The next level of escalation, None when everybody in the chain was told."""
    chain: list[str] = getattr(policy.escalation, severity)
    return level + 1 if level + 1 < len(chain) else None
