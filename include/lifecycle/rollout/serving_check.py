"""Before any traffic: the exact artefact in a real server answers golden requests as it did at registration, and fast.

Second stage of a deploy Dag. A version that fails is refused: its rollout is closed and its server stopped.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np

from include.lifecycle.database import transaction
from include.lifecycle.errors import ArtefactDigestError, GateFailedError, SourceUnavailableError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import PlannedRollout, ServingCheck
from include.lifecycle.rollout.driver import close_rollout
from include.lifecycle.rollout.effects import Hands, usual_hands
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.states import State
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict
from include.serving.log_schema import PROBE_PREFIX

CHECK = "serving"
TIMED_REQUESTS = 100
Json = dict[str, Any]


def check_serving(
    spec: ModelSpec, rt: Runtime, run: RunContext, planned: PlannedRollout, *, hands: Hands | None = None
) -> ServingCheck:
    """Start the version's server (it stays up for the rollout) and ask it; idempotent.

    Raises GateFailedError after closing the rollout as refused; SourceUnavailableError when MLflow or supervisord is down.
    """
    if planned.rollout_id is None or planned.version is None:
        raise GateFailedError(f"{spec.name}: there is no rollout to check: {planned.reason}")
    _refuse_closed(rt, planned.rollout_id)
    used = hands or usual_hands(rt)
    try:
        result = _try_out(rt, spec.name, planned.version, used)
    except (GateFailedError, ArtefactDigestError) as problem:
        result = ServingCheck(verdict=_verdict(Outcome.FAIL, str(problem)), port=0, start_seconds=0, p95_ms=0)
    _note(rt, run, planned, result)
    if not result.verdict.passed:
        reason = f"serving check: {result.verdict.reason}"
        close_rollout(rt, planned.rollout_id, f"{run.actor}:{run.run_id}", reason, hands=used)
        raise GateFailedError(f"version {planned.version} of {spec.name} is refused: {result.verdict.reason}")
    return result


def _refuse_closed(rt: Runtime, rollout_id: int) -> None:
    with transaction(rt.engine) as connection:
        row = rollout_row(connection, rollout_id)
    if not State(row["state"]).is_open:
        raise GateFailedError(f"rollout {rollout_id} of {row['model']} is closed as {row['state']}: {row['reason']}")


def _try_out(rt: Runtime, model: str, version: int, hands: Hands) -> ServingCheck:
    folder, digest = hands.materialise(rt, model, version)
    begin = time.monotonic()
    port = hands.target.ensure_server(model, version, folder, digest, rt.storage.predictions(model))[0]
    start_seconds = time.monotonic() - begin
    url = f"http://127.0.0.1:{port}/v2/models/{model}/versions/{version}/infer"
    golden: Json = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    verdict = compare_golden(url, golden)
    p95 = _p95_ms(url, _one_row(_body(golden))) if verdict.passed else 0.0
    verdict = verdict.model_copy(update={"evidence": verdict.evidence | {"folder": str(folder), "digest": digest, "port": port}})
    return ServingCheck(verdict=verdict, port=port, start_seconds=start_seconds, p95_ms=p95)


def compare_golden(url: str, golden: Json) -> Verdict:
    """Whether the server at `url` gives golden's predictions within its absolute tolerance."""
    answer = _ask(url, _body(golden), "golden")
    output = golden.get("output", "prediction")  # golden files from before other tasks were served do not name it
    given: list[float] = next((one["data"] for one in answer["outputs"] if one["name"] == output), [])
    wanted, rows = golden["predictions"], int(_body(golden)["inputs"][0]["shape"][0])
    if len(given) != len(wanted):
        return _verdict(Outcome.FAIL, f"{len(given)} numbers in {output!r} for {rows} golden rows; {len(wanted)} are expected")
    distance = float(np.max(np.abs(np.asarray(given, dtype=float) - np.asarray(wanted, dtype=float)), initial=0.0))
    tolerance = float(golden["tolerance"])
    outcome = Outcome.PASS if distance <= tolerance else Outcome.FAIL
    reason = f"{rows} golden rows, largest difference {distance:.3g}, tolerance {tolerance:g}"
    return _verdict(outcome, reason, {"rows": rows, "difference": distance, "tolerance": tolerance})


def _p95_ms(url: str, body: Json) -> float:
    took = []
    for number in range(TIMED_REQUESTS):
        begin = time.perf_counter()
        _ask(url, body, f"timed-{number}")
        took.append((time.perf_counter() - begin) * 1000)
    return float(np.percentile(took, 95))


def _ask(url: str, body: Json, name: str) -> Json:
    headers = {"content-type": "application/json", "x-request-id": f"{PROBE_PREFIX}{name}-{time.time_ns()}"}
    request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - loopback
    try:
        with urlopen(request, timeout=10) as response:  # noqa: S310 - loopback
            return dict(json.load(response))
    except HTTPError as problem:
        text = problem.read().decode(errors="replace")[:300]
        raise GateFailedError(f"{url} answered {problem.code} to a golden request: {text}") from problem
    except (URLError, OSError) as problem:
        raise SourceUnavailableError(f"{url} did not answer a golden request: {problem}") from problem


def _body(golden: Json) -> Json:
    return dict(golden["inputs"]) if isinstance(golden["inputs"], dict) else {"inputs": golden["inputs"]}


def _one_row(body: Json) -> Json:
    tensors = [one | {"shape": [1, *one["shape"][1:]], "data": one["data"][:1]} for one in body["inputs"]]
    return body | {"inputs": tensors}


def _verdict(outcome: Outcome, reason: str, evidence: Json | None = None) -> Verdict:
    return Verdict(check=CHECK, outcome=outcome, reason=reason, evidence=evidence or {})


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
