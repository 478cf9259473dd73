"""Before a rollout is planned: a candidate counts against the champion that it was judged against only.

Candidates registered before this was recorded carry no champion and are taken as they are.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.ledger import Entry
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import candidates


def is_stale(candidate: RowMapping, champion: int | None) -> bool:
    """Whether this open candidate was judged against another champion than today's."""
    evidence = candidate["evidence"]
    return candidate["version"] != champion and "champion" in evidence and evidence["champion"] != champion


def recheck_candidates(spec: ModelSpec, rt: Runtime, run: RunContext, hands: Hands) -> None:
    """Judge the newest open candidate again while it is stale; one that fails is refused, and the next newest is looked at.

    Outside the model's lock: scoring takes seconds. The answer is written only if the candidate is still open.
    """
    champion = hands.champion_of(rt, spec.name)
    while (candidate := _newest_open(rt, spec.name)) is not None and is_stale(candidate, champion):
        _judge(spec, rt, run, hands, candidate, champion)


def _newest_open(rt: Runtime, model: str) -> RowMapping | None:
    query = select(candidates).where(candidates.c.model == model, candidates.c.state == "open")
    with transaction(rt.engine) as connection:
        return connection.execute(query.order_by(candidates.c.version.desc()).limit(1)).mappings().first()


def _judge(spec: ModelSpec, rt: Runtime, run: RunContext, hands: Hands, candidate: RowMapping, champion: int | None) -> None:
    from include.lifecycle.evaluation.again import judge_again, write_proven

    version = int(candidate["version"])
    judged = judge_again(spec, rt, version, str(candidate["run_id"]), champion)
    decision = judged.decision
    state = "open" if decision.deployable else "held" if decision.held else "refused"
    before = candidate["evidence"]["champion"]
    reason = f"judged again, since the champion is version {champion} and no longer {before}: {decision.reason}"
    evidence: dict[str, Any] = {
        "judged_before_against": before,
        "verdicts": [verdict.model_dump(mode="json") for verdict in judged.verdicts],
        "proven_better": judged.proven_better,
    }
    entry = Entry(
        model=spec.name,
        kind="gate",
        act={"open": "allow a rollout", "held": "hold for a person", "refused": "refuse a rollout"}[state],
        reason=f"version {version}: {reason}",
        actor=run.actor,
        verdict=decision.outcome,
        version_before=champion,
        version_after=version,
        spec_hash=spec.digest,
        run_id=run.run_id,
        idempotency_key=f"recheck:{candidate['id']}:{before}:{champion}",
        evidence=evidence,
    )
    values = {
        "state": state,
        "verdict": decision.outcome.value,
        "evidence": candidate["evidence"] | {"champion": champion, "reason": reason},
    }
    if state == "refused":
        hands.withdraw(rt, spec.name, version, reason=reason, key=f"recheck:{candidate['id']}:{champion}", actor=run.actor)
    with transaction(rt.engine) as connection:
        lock_model(connection, spec.name)
        still_open = (candidates.c.id == candidate["id"]) & (candidates.c.state == "open")
        if connection.execute(candidates.update().where(still_open).values(values)).rowcount:
            write_proven(rt, spec.name, version, judged.proven_better)  # fails: the candidate stays stale, and is judged again
        rt.ledger.write(entry, connection)
