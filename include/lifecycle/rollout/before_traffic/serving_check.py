"""Before any traffic: the exact artefact in a real server answers golden requests as it did at registration, and fast, is well
and refuses bad input (staging.py); beside a champion, it takes the same requests.

Second stage of a deploy Dag. A version that fails is refused: its rollout is closed and its server stopped.
"""

from __future__ import annotations

import time
from pathlib import Path

from include.lifecycle.database import transaction
from include.lifecycle.errors import ArtefactDigestError, GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import PlannedRollout, ServingCheck
from include.lifecycle.rollout.before_traffic.probes import compare_golden, infer_url, read_golden, request_body, verdict_of
from include.lifecycle.rollout.before_traffic.request_schema import request_differences
from include.lifecycle.rollout.before_traffic.staging import LATENCY, staging_tests
from include.lifecycle.rollout.driver import close_rollout
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.states import Plan, State
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict
from include.serving.version_folder import SERVING, read_spec


def check_serving(
    spec: ModelSpec, rt: Runtime, run: RunContext, planned: PlannedRollout, *, hands: Hands | None = None
) -> ServingCheck:
    """Start the version's server (it stays up for the rollout) and ask it; idempotent.

    Raises GateFailedError after closing the rollout as refused; SourceUnavailableError when MLflow or supervisord is down.
    """
    if planned.rollout_id is None or planned.version is None:
        raise GateFailedError(f"{spec.name}: there is no rollout to check: {planned.reason}")
    plan = _open_plan(rt, planned.rollout_id)
    used = hands or usual_hands(rt)
    try:
        result = _try_out(rt, spec, planned.version, used, plan)
    except (GateFailedError, ArtefactDigestError) as problem:
        result = ServingCheck(verdict=verdict_of(Outcome.FAIL, str(problem)), port=0, start_seconds=0, p95_ms=0)
    _note(rt, run, planned, result)
    if not result.verdict.passed:
        reason = f"serving check: {result.verdict.reason}"
        close_rollout(rt, planned.rollout_id, f"{run.actor}:{run.run_id}", reason, hands=used)
        raise GateFailedError(f"version {planned.version} of {spec.name} is refused: {result.verdict.reason}")
    return result


def _open_plan(rt: Runtime, rollout_id: int) -> Plan:
    with transaction(rt.engine) as connection:
        row = rollout_row(connection, rollout_id)
    if not State(row["state"]).is_open:
        raise GateFailedError(f"rollout {rollout_id} of {row['model']} is closed as {row['state']}: {row['reason']}")
    return Plan.model_validate(row["plan"])


def _try_out(rt: Runtime, spec: ModelSpec, version: int, hands: Hands, plan: Plan) -> ServingCheck:
    model = spec.name
    folder, digest = hands.materialise(rt, model, version)
    begin = time.monotonic()
    port = hands.target.ensure_server(model, version, folder, digest, rt.storage.predictions(model))[0]
    start_seconds = time.monotonic() - begin
    url, golden = infer_url(port, model, version), read_golden(folder)
    verdict = compare_golden(url, golden)
    if verdict.passed:
        verdict = check_side_by_side(rt, hands, plan, folder) or verdict
    tests = staging_tests(port, model, version, request_body(golden), spec.rollout.staging) if verdict.passed else []
    verdict = _joined(verdict, tests)
    p95 = next((float(one.evidence["p95_ms"]) for one in tests if one.check == LATENCY), 0.0)
    verdict = verdict.model_copy(update={"evidence": verdict.evidence | {"folder": str(folder), "digest": digest, "port": port}})
    return ServingCheck(verdict=verdict, port=port, start_seconds=start_seconds, p95_ms=p95, tests=tests)


def _joined(golden: Verdict, tests: list[Verdict]) -> Verdict:
    """The golden answers' verdict, or the failing tests' beside it; each test stands in the evidence."""
    failed = [one for one in tests if one.failed]
    evidence = golden.evidence | {"tests": [one.model_dump(mode="json") for one in tests]}
    if failed:
        reason = "; ".join(f"{one.check}: {one.reason}" for one in failed)
        return verdict_of(Outcome.FAIL, reason, evidence)
    reason = "; ".join([golden.reason, *(one.reason for one in tests)])
    return golden.model_copy(update={"reason": reason, "evidence": evidence})


def check_side_by_side(rt: Runtime, hands: Hands, plan: Plan, folder: Path) -> Verdict | None:
    """A failing verdict when a stage would ask both versions the same requests, and the new one would refuse the champion's."""
    if plan.champion is None or not plan.stages:
        return None
    champion = hands.materialise(rt, plan.model, plan.champion)[0]
    if not (champion / SERVING).is_file():
        return None
    differences = request_differences(read_spec(champion), read_spec(folder))
    if not differences:
        return None
    reason = f"version {plan.version} cannot be asked beside champion {plan.champion}: {'; '.join(differences)}"
    way = "with these inputs a version can only take all requests at once (strategy direct, or blue_green without a mirror)"
    return verdict_of(Outcome.FAIL, f"{reason}; {way}", {"differences": differences})


def _note(rt: Runtime, run: RunContext, planned: PlannedRollout, result: ServingCheck) -> None:
    verdict = result.verdict
    measured = {"start_seconds": result.start_seconds, "p95_ms": result.p95_ms}
    entry = Entry(
        model=planned.model,
        kind="gate",
        act="check serving",
        reason=verdict.reason,
        actor=run.actor,
        verdict=verdict.outcome,
        version_after=planned.version,
        run_id=run.run_id,
        idempotency_key=f"rollout:{planned.rollout_id}:serving:{run.try_number}:{verdict.outcome}",
        evidence=verdict.evidence | measured,
    )
    rt.ledger.write(entry)
