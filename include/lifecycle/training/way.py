"""How one training goes: by tuning and a fit from nothing, by learning on from the champion, or by the model's own function.

open_study decides it once, before any worker starts; what was asked for and could not be done is said and goes to the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from include.lifecycle.errors import DataInvalidError, SpecInvalidError
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.artefacts import model_version
from include.lifecycle.results import PreparedData, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.champion import training_record
from include.lifecycle.training.parameters import LEARNS_ON
from include.lifecycle.training.search import Point, champion_point, starting_points

Method = Literal["full", "incremental", "entry_point"]


@dataclass(frozen=True)
class Way:
    """The method, the champion it starts from (incremental), points to try first (full), and what to say about it."""

    method: Method
    base_version: int | None = None
    points: list[Point] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def choose_way(spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, prepared: PreparedData) -> Way:
    """The way of this training.

    Raises:
        SpecInvalidError: method incremental with an own function, or for a champion whose family cannot learn on.
        DataInvalidError: incremental, and too few training rows are newer than the champion's fit.
    """
    if spec.training.entry_point is not None:
        if order.method == "incremental":
            raise SpecInvalidError(f"model {spec.name}: training.entry_point trains by itself; method incremental is not for it")
        return Way("entry_point", notes=[f"training.entry_point {spec.training.entry_point} trains; nothing is tuned"])
    record = training_record(rt, spec.name, order.champion) if order.champion is not None else None
    reason = None
    if order.method == "incremental":
        reason = _why_full(spec, order, record)
        if reason is None and order.champion is not None:
            _enough_new_rows(spec, rt, order.champion, prepared)
            return Way("incremental", order.champion, notes=[f"learns on from version {order.champion}; nothing is tuned"])
        _note_full(spec, rt, run, order, str(reason))
    points, said = _points(spec, order, record)
    return Way("full", points=points, notes=[*([f"method full instead of incremental: {reason}"] if reason else []), *said])


def base_fit_until(rt: Runtime, model: str, version: int) -> datetime:
    """The newest event time that a version learnt from, by its tag."""
    return datetime.fromisoformat(model_version(rt, model, version).tags["fit_until"])


def _why_full(spec: ModelSpec, order: TrainingOrder, record: dict[str, Any] | None) -> str | None:
    """Why an incremental training has to be a full one, or None. A family that never can is the user's to change: an error."""
    if order.champion is None:
        return "there is no champion to learn on from"
    if record is None:
        return f"version {order.champion} was stored without what it was trained with"
    algorithm = str(record["algorithm"])
    if algorithm not in LEARNS_ON:
        raise SpecInvalidError(
            f"model {spec.name}: champion {order.champion} is a {algorithm}, which cannot learn on from new rows alone; "
            f"method incremental works for {', '.join(LEARNS_ON)}. Train in full, or list only those under training.estimators"
        )
    if record.get("features") != spec.features.all:
        return f"the features are not those of version {order.champion} any more"
    trees, most = int(record.get("trees") or 0), spec.training.incremental.most_trees
    if algorithm == "lightgbm" and trees + spec.training.incremental.new_trees > most:
        return f"version {order.champion} has {trees} trees already, and training.incremental.most_trees is {most}"
    return None


def _enough_new_rows(spec: ModelSpec, rt: Runtime, champion: int, prepared: PreparedData) -> None:
    import pandas as pd

    until = base_fit_until(rt, spec.name, champion)
    times = pd.read_parquet(prepared.train, columns=[spec.data.event_time])[spec.data.event_time]
    new, least = int((times > until).sum()), spec.training.incremental.minimum_rows
    if new < least:
        raise DataInvalidError(
            f"model {spec.name}: {new} training rows are newer than the fit of champion {champion} ({until:%Y-%m-%d %H:%M} UTC); "
            f"training.incremental.minimum_rows is {least}"
        )


def _points(spec: ModelSpec, order: TrainingOrder, record: dict[str, Any] | None) -> tuple[list[Point], list[str]]:
    """The champion's point, if it is wanted and known, then each family's start."""
    starts = starting_points(spec.training)
    if not spec.training.warm_start or order.champion is None:
        return starts, []
    if record is None:
        return starts, [f"no warm start: version {order.champion} was stored without what it was trained with"]
    point, changed = champion_point(spec.training, str(record["algorithm"]), record["params"])
    if point is None:
        return starts, [f"no warm start from version {order.champion}: {'; '.join(changed)}"]
    drawn = f" ({'; '.join(changed)}: drawn into training.search)" if changed else ""
    return [point, *starts], [f"the parameters of version {order.champion} are tried first{drawn}"]


def _note_full(spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, reason: str) -> None:
    rt.ledger.write(
        Entry(
            model=spec.name,
            kind="training",
            act="train in full",
            reason=f"method incremental was asked for, but {reason}",
            actor=run.actor,
            version_before=order.champion,
            spec_hash=spec.digest,
            run_id=run.run_id,
            idempotency_key=f"train-in-full:{spec.name}:{run.run_id}",
        )
    )
