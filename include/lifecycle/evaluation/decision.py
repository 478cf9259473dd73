"""From verdicts to one decision: rolled out, held for a person, or not. Pure.

A fail stops, unless its gate only warns. Inconclusive is never a pass: `evaluation.on_inconclusive` says who decides then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.lifecycle.evaluation.gates import ANCHOR, BASELINE, CHAMPION, FLOOR
from include.lifecycle.evaluation.judging import warns_only
from include.lifecycle.sections.gates import Answer
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict, worst

_STRICTEST: tuple[Answer, ...] = ("refuse", "hold", "canary")


@dataclass(frozen=True)
class Decision:
    """Whether the version may be rolled out now, whether it waits for a person instead, why, and the outcome of what counts."""

    deployable: bool
    held: bool
    reason: str
    outcome: Outcome


def decide(spec: ModelSpec, verdicts: Sequence[Verdict], champion: int | None) -> Decision:
    """The decision on a version with these verdicts; `champion` is None for a first version, which has no canary."""
    counting = [verdict for verdict in verdicts if not warns_only(verdict)]
    answer, reason = _answer(spec, counting, champion)
    warned = [verdict for verdict in verdicts if warns_only(verdict) and verdict.failed]
    told = reason + (f"; warned: {_named(warned)}" if warned else "")
    return Decision(answer == "canary", answer == "hold", told, worst(counting))


def _answer(spec: ModelSpec, counting: Sequence[Verdict], champion: int | None) -> tuple[Answer, str]:
    if failed := [verdict for verdict in counting if verdict.failed]:
        return "refuse", _reasons(failed)
    unclear = [verdict for verdict in counting if not verdict.passed]
    if not unclear:
        return "canary", "every gate passed"
    needed = [verdict for verdict in unclear if verdict.check.partition(":")[0] in (FLOOR, BASELINE)]
    if champion is None and needed:
        return "refuse", f"a first version has no canary: {_reasons(needed)}"
    answers = {verdict.check: _policy(spec, verdict) for verdict in unclear}
    answer = next(one for one in _STRICTEST if one in answers.values())
    if answer == "canary":
        decides = "the canary decides" if champion is not None else "named for a person to weigh"
        return answer, f"no gate failed; inconclusive, {decides}: {_named(unclear)}"
    because = [verdict for verdict in unclear if answers[verdict.check] == answer]
    word = "held until a person releases it" if answer == "hold" else "refused"
    return answer, f"no gate failed; inconclusive, {word}: {_reasons(because)}"


def _policy(spec: ModelSpec, verdict: Verdict) -> Answer:
    policy = spec.evaluation.on_inconclusive
    if verdict.check.partition(":")[0] not in (CHAMPION, ANCHOR):
        return policy.gates
    return policy.better if verdict.evidence.get("demand") == "better" else policy.not_worse


def _named(verdicts: Sequence[Verdict]) -> str:
    return ", ".join(verdict.check for verdict in verdicts)


def _reasons(verdicts: Sequence[Verdict]) -> str:
    return "; ".join(f"{verdict.check}: {verdict.reason}" for verdict in verdicts)
