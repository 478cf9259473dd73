"""The A/B test's check, and the reader of what was measured last. The check is pure; experiments/ measures.

Harm ends a test at once; a win needs the planned samples and days; a broken split ends it whatever it says.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.rollout.evidence import ExperimentEvidence, Measurement
from include.lifecycle.rollout.states import Plan, Status
from include.lifecycle.runtime import Runtime
from include.lifecycle.sections.rollout_strategies import AbTestSection
from include.lifecycle.tables import experiments
from include.lifecycle.verdicts import Outcome, Verdict

CHECK = "experiment"


def experiment_of(rt: Runtime, rollout_id: int, plan: Plan, status: Status) -> ExperimentEvidence | None:
    """What was measured last in the present stage, with how long the stage lasts; None before the first measurement."""
    with transaction(rt.engine) as connection:
        plain = connection.execute(select(experiments.c.evidence).where(experiments.c.rollout_id == rollout_id)).scalar()
    if plain is None or plain["detail"].get("started") != datetime.fromtimestamp(status.cursor.since, UTC).isoformat():
        return None
    found = ExperimentEvidence.model_validate(plain)
    elapsed = (datetime.now(UTC) - status.since).total_seconds() if status.since else 0.0
    kept = {name: value for name, value in found.detail.items() if name != "history"}
    return found.model_copy(update={"detail": kept | {"elapsed_seconds": round(elapsed)}})


def check_experiment(plan: Plan, seen: Measurement) -> Verdict:
    """Better, worse, broken, or not to be told yet; bounds are time-uniform (statistics/difference.py) and better is above 0.

    Fails: the split is broken; any metric is surely worse (its upper bound at the rollout's own alpha lies below 0); after the
    planned samples and days, the improvement is surely below the minimum effect (only when the winner is automatic).
    Passes: after the planned samples and days, the lower bound is above 0 and the estimate reaches the minimum effect.
    An A/A test passes when it has its samples and days and shows no difference.
    """
    found, rules = seen.experiment, plan.ab_test
    if found is None or rules is None:
        return _said(Outcome.INCONCLUSIVE, "nothing measured yet", {})
    evidence = found.model_dump(mode="json") | {"minimum_effect": rules.minimum_effect, "alpha": rules.alpha}
    broken = check_sample_ratio(plan, seen)
    if broken.failed:
        return _said(Outcome.FAIL, f"the experiment is broken: {broken.reason}", evidence)
    for metric in found.detail.get("metrics", []):
        if plan.strategy != "aa_test" and (bound := metric.get("harm_upper")) is not None and bound < 0:
            return _said(Outcome.FAIL, f"{metric['name']} is surely worse: {_told(metric)}", evidence)
    missing = _missing(rules, found)
    if plan.strategy == "aa_test":
        return _same(found, missing, evidence)
    return _better(rules, found, missing, evidence)


def check_sample_ratio(plan: Plan, seen: Measurement) -> Verdict:
    """Whether as many keys met the challenger as planned: a sequential multinomial test over all keys that were seen.

    A fail means that requests, or keys, of one arm got lost on their way: no difference that it shows can be trusted.
    """
    found = (seen.experiment.detail if seen.experiment else {}).get("sample_ratio")
    level = plan.ab_test.sample_ratio_alpha if plan.ab_test else 0.0
    if not found or not found["challenger"] + found["champion"]:
        return Verdict(check="sample_ratio", outcome=Outcome.INCONCLUSIVE, reason="no keys yet")
    outcome = Outcome.FAIL if found["p_value"] < level else Outcome.PASS
    share = found["challenger"] / (found["challenger"] + found["champion"])
    reason = (
        f"{found['challenger']} of {found['challenger'] + found['champion']} keys ({share:.1%}) met the challenger, planned are "
    )
    reason += f"{found['planned']:.1%} (sequential p-value {found['p_value']:.2g}, level {level:g})"
    return Verdict(check="sample_ratio", outcome=outcome, reason=reason, evidence=found | {"level": level})


def _better(rules: AbTestSection, found: ExperimentEvidence, missing: str, evidence: dict[str, Any]) -> Verdict:
    if found.difference is None or found.lower is None or found.upper is None:
        return _said(Outcome.INCONCLUSIVE, missing or "no samples of both arms yet", evidence)
    told = (
        f"difference {found.difference:+.4f} ({found.lower:+.4f} to {found.upper:+.4f}), minimum effect {rules.minimum_effect:g}"
    )
    if missing:
        return _said(Outcome.INCONCLUSIVE, f"{told}; {missing}", evidence)
    if found.lower > 0 and found.difference >= rules.minimum_effect:
        return _said(Outcome.PASS, f"better: {told}", evidence)
    if found.upper < rules.minimum_effect:
        outcome = Outcome.FAIL if rules.winner == "auto" else Outcome.INCONCLUSIVE
        return _said(outcome, f"not better by the minimum effect: {told}", evidence)
    return _said(Outcome.INCONCLUSIVE, told, evidence)


def _same(found: ExperimentEvidence, missing: str, evidence: dict[str, Any]) -> Verdict:
    """An A/A test: what differs, differs by chance or by a fault of the measurement."""
    if found.difference is None or found.lower is None or found.upper is None:
        return _said(Outcome.INCONCLUSIVE, missing or "no samples of both arms yet", evidence)
    told = f"difference {found.difference:+.4f} ({found.lower:+.4f} to {found.upper:+.4f})"
    if found.lower > 0 or found.upper < 0:
        return _said(Outcome.FAIL, f"a version differs from itself: {told}", evidence)
    if missing:
        return _said(Outcome.INCONCLUSIVE, f"{told}; {missing}", evidence)
    return _said(Outcome.PASS, f"no difference between a version and itself: {told}", evidence)


def _missing(rules: AbTestSection, found: ExperimentEvidence) -> str:
    """What the plan asks for before anything may be concluded but harm."""
    parts, fewest = [], min(found.samples, found.champion_samples)
    if fewest < rules.minimum_samples:
        parts.append(f"{fewest} of {rules.minimum_samples} samples in the smaller arm")
    lasted, wanted = float(found.detail.get("elapsed_seconds", 0)), rules.at_least.total_seconds()
    if lasted < wanted:
        parts.append(f"{lasted / 86400:.1f} of {wanted / 86400:.1f} days")
    return " and ".join(parts)


def _told(metric: dict[str, Any]) -> str:
    return f"difference {metric['difference']:+.4f}, upper bound {metric['harm_upper']:+.4f} at level {metric['harm_alpha']:.2g}"


def _said(outcome: Outcome, reason: str, evidence: dict[str, Any]) -> Verdict:
    return Verdict(check=CHECK, outcome=outcome, reason=reason, evidence=evidence)
