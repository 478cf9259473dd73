"""The table of gates: what each is called, what switches it off, and how it judges a case. evaluate.py walks it once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from include.lifecycle.evaluation.business import BUSINESS, business_comparison, business_floor
from include.lifecycle.evaluation.calibration import ACTION_RATE, CALIBRATION, action_rate_gate, calibration_gate
from include.lifecycle.evaluation.case import Case
from include.lifecycle.evaluation.champion import Demand, Facing, judge_against
from include.lifecycle.evaluation.consistency import CONSISTENCY, consistency_gates
from include.lifecycle.evaluation.drift import DRIFT, drift_gate
from include.lifecycle.evaluation.fairness import FAIRNESS, fairness_gates
from include.lifecycle.evaluation.gates import ANCHOR, BASELINE, CHAMPION, FLOOR, baseline_gate, floor_gate, no_champion
from include.lifecycle.evaluation.importance import IMPORTANCE, importance_gate
from include.lifecycle.evaluation.latency import LATENCY, latency_gate
from include.lifecycle.evaluation.metrics import metrics_of, objective_metric
from include.lifecycle.evaluation.slice_search import SLICE_SEARCH, row_losses, slice_search
from include.lifecycle.evaluation.slices import SLICE, slice_gates
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

Judge = Callable[[Case], list[Verdict]]
FLOORS = "floors"


@dataclass(frozen=True)
class Gate:
    """A gate's name, why it is switched off for a case (None: it is on), and its judgement."""

    name: str
    off: Callable[[Case], str | None]
    judge: Judge


def run_gates(case: Case) -> tuple[list[Verdict], dict[str, str]]:
    """All verdicts, and the switched-off gates with their reason."""
    verdicts: list[Verdict] = []
    silent: dict[str, str] = {}
    for gate in GATES:
        if (why := gate.off(case)) is not None:
            silent[gate.name] = why
        else:
            verdicts += gate.judge(case)
    return verdicts, silent


def _by_act(section: str) -> Callable[[Case], str | None]:
    def _off(case: Case) -> str | None:
        found: Any = getattr(case.spec.evaluation, section)
        return f"evaluation.{section}.act is off" if found.act == "off" else None

    return _off


def _needs_artefact(section: str) -> Callable[[Case], str | None]:
    by_act = _by_act(section)
    return lambda case: by_act(case) or ("no artefact was built to ask" if case.served is None and not case.timed else None)


def _always(_: Case) -> str | None:
    return None


def _floor_off(case: Case) -> str | None:
    return "no floor is wanted (objective.floor: none)" if case.spec.objective.floor == "none" else None


def _floor(case: Case) -> list[Verdict]:
    return [floor_gate(objective_metric(case.spec), float(case.spec.objective.floor), case.sample, case.p)]


def _floors(case: Case) -> list[Verdict]:
    known, wanted = metrics_of(case.spec), case.spec.evaluation.floors
    return [floor_gate(known[name], floor, case.sample, case.p, check=f"{FLOOR}:{name}") for name, floor in wanted.items()]


def _baseline(case: Case) -> list[Verdict]:
    return [baseline_gate(objective_metric(case.spec), case.sample, case.p, case.trivial)]


def _calibration_off(case: Case) -> str | None:
    regression = case.spec.objective.task == "regression"
    return "regression predicts no probabilities" if regression else _by_act("calibration")(case)


def _fairness_off(case: Case) -> str | None:
    fairness = case.spec.evaluation.fairness
    none = not fairness.attributes and not fairness.intersections
    return "evaluation.fairness names no attributes" if none else None


def _business_off(case: Case) -> str | None:
    business = case.spec.evaluation.business
    if business.expression is None and business.function is None:
        return "evaluation.business has neither expression nor function"
    return _by_act("business")(case)


def _business(case: Case) -> list[Verdict]:
    verdicts = business_floor(case.spec, case.sample, case.holdout, case.p)
    if (facing := case.rivals.facing) is not None:
        verdicts += business_comparison(case.spec, facing.sample, facing.rows, facing.new, facing.old, facing.version)
    return verdicts


def _slices_off(case: Case) -> str | None:
    return "evaluation.slices is empty" if not case.spec.evaluation.slices else _by_act("slice_limits")(case)


def _slices(case: Case) -> list[Verdict]:
    if (facing := case.rivals.facing) is not None:
        return slice_gates(case.spec, facing.sample, facing.rows, facing.new, facing.old, facing.version)
    return slice_gates(case.spec, case.sample, case.holdout, case.p)


def _slice_search(case: Case) -> list[Verdict]:
    spec = case.spec
    losses = row_losses(spec, case.sample.y, case.p)
    verdicts = [slice_search(spec, case.sample, case.holdout, losses, against="rest")]
    if (facing := case.rivals.facing) is not None:
        lost = row_losses(spec, facing.sample.y, facing.new) - row_losses(spec, facing.sample.y, facing.old)
        verdicts.append(slice_search(spec, facing.sample, facing.rows, lost, against="zero"))
    return verdicts


def _consistency(case: Case) -> list[Verdict]:
    return consistency_gates(case.spec, case.served, case.sample, case.holdout) if case.served else []


def _drift_off(case: Case) -> str | None:
    return "there are no training rows to compare with" if case.train is None else _by_act("drift")(case)


def _importance_off(case: Case) -> str | None:
    return _by_act("importance")(case) or ("no model was handed to ask" if case.importance is None else None)


def _importance(case: Case) -> list[Verdict]:
    return importance_gate(case.spec, case.importance, case.sample) if case.importance else []


def _latency(case: Case) -> list[Verdict]:
    if case.timed or case.served is None:
        return list(case.timed)
    return latency_gate(case.spec, case.served, case.holdout)


def _champion(case: Case) -> list[Verdict]:
    if case.rivals.champion is None:
        return [no_champion()]
    return _against(case.spec, case.rivals.champion, case.rivals.wanted, CHAMPION)


def _anchor_off(case: Case) -> str | None:
    if case.spec.evaluation.anchor == "off":
        return "evaluation.anchor is off"
    return "the champion is the anchor, or there is none yet" if case.rivals.anchor is None else None


def _anchor(case: Case) -> list[Verdict]:
    demand = Demand(objective_metric(case.spec), case.spec.evaluation.margin, "small losses must not add up")
    verdicts = _against(case.spec, case.rivals.anchor, [demand], ANCHOR)
    act = {"act": case.spec.evaluation.anchor}
    return [verdict.model_copy(update={"evidence": verdict.evidence | act}) for verdict in verdicts]


def _against(spec: ModelSpec, rival: Facing | str | None, wanted: Any, role: str) -> list[Verdict]:
    if isinstance(rival, Facing):
        return judge_against(rival, wanted, role)
    demand = "better" if any(one.margin is None for one in wanted) else "not worse"
    evidence = {"demand": demand, "metric": spec.objective.metric}
    return [Verdict(check=role, outcome=Outcome.INCONCLUSIVE, reason=str(rival), evidence=evidence)]


def _action_rate_off(case: Case) -> str | None:
    if case.spec.objective.task != "binary_classification":
        return "only a binary classifier acts by a threshold"
    return _by_act("action_rate")(case) or ("there is no champion to differ from" if case.rivals.facing is None else None)


def _action_rate(case: Case) -> list[Verdict]:
    facing = case.rivals.facing
    return action_rate_gate(case.spec, facing.sample, facing.new, facing.old, facing.version) if facing else []


GATES: tuple[Gate, ...] = (
    Gate(FLOOR, _floor_off, _floor),
    Gate(FLOORS, lambda case: None if case.spec.evaluation.floors else "evaluation.floors is empty", _floors),
    Gate(BASELINE, _always, _baseline),
    Gate(CHAMPION, _always, _champion),
    Gate(ANCHOR, _anchor_off, _anchor),
    Gate(FAIRNESS, _fairness_off, lambda case: fairness_gates(case.spec, case.holdout, case.sample, case.p)),
    Gate(CALIBRATION, _calibration_off, lambda case: calibration_gate(case.spec, case.sample, case.p)),
    Gate(ACTION_RATE, _action_rate_off, _action_rate),
    Gate(BUSINESS, _business_off, _business),
    Gate(SLICE, _slices_off, _slices),
    Gate(SLICE_SEARCH, _by_act("slice_search"), _slice_search),
    Gate(CONSISTENCY, _needs_artefact("consistency"), _consistency),
    Gate(DRIFT, _drift_off, lambda case: drift_gate(case.spec, case.train, case.holdout) if case.train is not None else []),
    Gate(IMPORTANCE, _importance_off, _importance),
    Gate(LATENCY, _needs_artefact("latency"), _latency),
)
