"""The shadow's check, and the reader of its pairs. The check is pure; shadowing/ reads, pairs and tells."""

from __future__ import annotations

import time

from include.lifecycle.database import transaction
from include.lifecycle.rollout.evidence import Measurement, PairEvidence
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.shadowing.page import page_name, write_page
from include.lifecycle.rollout.shadowing.reader import PairReader
from include.lifecycle.rollout.states import Plan, Status
from include.lifecycle.runtime import Runtime
from include.lifecycle.statistics.sequential import proportion_bounds
from include.lifecycle.verdicts import Outcome, Verdict

PASS_ALPHA = 0.05  # chance to let a shadow pass whose true agreement is below the limit

_IDLE = 3600.0  # seconds after which a reader that nobody asked is given up: its rollout is closed, or driven elsewhere

_readers: dict[tuple[str, int, float], tuple[PairReader, str]] = {}  # by database, rollout and stage: reader and run id


def pairs_of(rt: Runtime, rollout_id: int, plan: Plan, status: Status) -> PairEvidence:
    """The pairs of the present stage so far; its report is written anew whenever there are more."""
    key = (str(rt.engine.url), rollout_id, status.cursor.since)
    if key not in _readers:
        _readers[key] = _opened(rt, rollout_id, plan, status.cursor.since)
    reader, run_id = _readers[key]
    found, news = reader.look()
    if news:
        write_page(rt.storage, run_id, plan, found, reader.counted, check_agreement(plan, Measurement(pairs=found)))
    report = str(rt.storage.reports(plan.model) / page_name(run_id))
    return found.model_copy(update={"detail": found.detail | {"report": report}})


def _opened(rt: Runtime, rollout_id: int, plan: Plan, since: float) -> tuple[PairReader, str]:
    for key, (old, _) in list(_readers.items()):
        if time.monotonic() - old.used_at > _IDLE:
            _readers.pop(key, None)
    with transaction(rt.engine) as connection:
        run_id = str(rollout_row(connection, rollout_id)["run_id"] or rollout_id)
    folder = rt.storage.stage(plan.model, f"rollout-{rollout_id}", "shadow")
    return PairReader(plan, rt.storage.predictions(plan.model), folder, since), run_id


def check_agreement(plan: Plan, seen: Measurement) -> Verdict:
    """Share of requests on which both versions say the same against the plan's minimum, by its confidence sequence.

    Passes when enough pairs were met and the lower bound (at PASS_ALPHA) reaches the minimum; fails as soon as the upper bound
    (at the rollout's own alpha) lies below it. The bounds of statistics/sequential.py hold for shares of a request, too: by the
    inequality of weighted means (q/p)^x ((1-q)/(1-p))^(1-x) <= x q/p + (1-x)(1-q)/(1-p), whose mean is 1 where x has mean p.
    """
    minimum, wanted = (plan.shadow.minimum_agreement, plan.shadow.pairs) if plan.shadow else (0.0, 0)
    pairs, agreed = (seen.pairs.pairs, seen.pairs.agreed) if seen.pairs else (0, 0.0)
    lower = float(proportion_bounds(agreed, pairs, PASS_ALPHA)[0])
    upper = float(proportion_bounds(agreed, pairs, plan.alpha)[1])
    enough = pairs >= wanted and lower >= minimum
    outcome = Outcome.PASS if enough else Outcome.FAIL if upper < minimum else Outcome.INCONCLUSIVE
    share = f"{agreed:g} of {pairs} requests answered alike" if pairs else "no pairs yet"
    missing = f"; {pairs} of {wanted} pairs" if pairs < wanted else ""
    reason = f"{share} ({lower:.1%} to {upper:.1%}); at least {minimum:.0%} is wanted{missing}"
    told = {"pairs": pairs, "agreed": agreed, "lower": lower, "upper": upper, "minimum": minimum, "wanted": wanted}
    return Verdict(check="agreement", outcome=outcome, reason=reason, evidence=told | (seen.pairs.detail if seen.pairs else {}))
