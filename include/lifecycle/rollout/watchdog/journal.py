"""What passes between a rollout's driver and the watchdog beside the gateway, by files in the gateway's folder.

`leases/<model>.json`: the driver says that it drives, until when. `returned/<model>.json`: the watchdog took the traffic back; it
stands until a row of desired traffic asks for no share of that version any more. `watchdog.jsonl`: all that it did and saw.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from include.lifecycle.errors import GateFailedError, GatewayRejectedError
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic
from include.lifecycle.rollout.states import Plan, State
from include.lifecycle.storage import segment, write_whole
from include.settings import Settings

LEASES, RETURNED, JOURNAL = "leases", "returned", "watchdog.jsonl"
Kind = TypeVar("Kind", bound=BaseModel)
_FRESH = 0.1  # a lease is written again when this share of its term has gone by: a look a second needs no file a second


class CanaryLease(BaseModel):
    """A driver's word that it looks after the rollout until `until` (epoch seconds, wall time)."""

    model_config = ConfigDict(frozen=True)

    rollout_id: int
    epoch: int
    until: float
    state: State
    plan: Plan


class Returned(BaseModel):
    """Traffic that the watchdog took from `version` and gave to `champion`, at `at` (epoch seconds)."""

    model_config = ConfigDict(frozen=True)

    model: str
    rollout_id: int
    version: int
    champion: int
    reason: str
    at: float

    def concerns(self, row: DesiredTraffic) -> bool:
        """Whether the row asks for a share of the version that lost its own."""
        mirrored = row.mirror is not None and row.mirror.version == self.version and row.mirror.percent > 0
        return row.model == self.model and (row.weights.get(self.version, 0) > 0 or mirrored)


def renew(settings: Settings, plan: Plan, rollout_id: int, epoch: int, *, until: float, state: State | str) -> None:
    """Tell the watchdog that the rollout is driven until `until` (epoch seconds), and where it stands."""
    path = _file(settings.gateway_dir, LEASES, plan.model)
    lease = CanaryLease(rollout_id=rollout_id, epoch=epoch, until=until, state=State(state), plan=plan)
    before = _read(path, CanaryLease)
    same = before is not None and before.model_copy(update={"until": until}) == lease
    if before is not None and same and until - before.until < _FRESH * plan.lease.total_seconds():
        return
    write_whole(path, lease.model_dump_json())


def clear(settings: Settings, model: str) -> None:
    """Take the lease back: the rollout is closed, and what it left is meant to stay."""
    _file(settings.gateway_dir, LEASES, model).unlink(missing_ok=True)


def leases(directory: Path) -> list[CanaryLease]:
    """All leases in the gateway's folder; a file that is none is left out."""
    found = (_read(path, CanaryLease) for path in sorted((directory / LEASES).glob("*.json")))
    return [lease for lease in found if lease is not None]


def hold_back(directory: Path, act: Returned) -> None:
    """From now on every writer of the gateway's files keeps the version without traffic."""
    write_whole(_file(directory, RETURNED, act.model), act.model_dump_json())


def returned(directory: Path, model: str) -> Returned | None:
    """What the watchdog took back of this model and nobody has settled yet."""
    return _read(_file(directory, RETURNED, model), Returned)


def all_returned(directory: Path) -> list[Returned]:
    """What stands for any model."""
    found = (_read(path, Returned) for path in sorted((directory / RETURNED).glob("*.json")))
    return [act for act in found if act is not None]


def watchdog_act(settings: Settings, model: str, rollout_id: int) -> str:
    """What the watchdog did to this rollout, in words; empty when nothing."""
    act = returned(settings.gateway_dir, model)
    return f"the watchdog returned the traffic: {act.reason}" if act is not None and act.rollout_id == rollout_id else ""


def refuse_returned(directory: Path, desired: DesiredTraffic) -> None:
    """GateFailedError when the row would give traffic to a version that the watchdog took it from."""
    act = returned(directory, desired.model)
    if act is not None and act.concerns(desired):
        raise GateFailedError(f"{act.model}: the watchdog took the traffic from version {act.version}: {act.reason}")


def without_returned(directory: Path, rows: Iterable[DesiredTraffic]) -> list[DesiredTraffic]:
    """The rows as they may be rendered: what the watchdog took back stays with the champion, whatever its row still says.

    Call it under the gateway's file lock. GatewayRejectedError when the row no longer knows the champion's server.
    """
    return [_champion_only(row, returned(directory, row.model)) for row in rows]


def settle(directory: Path, rows: Sequence[DesiredTraffic]) -> None:
    """Forget what the rows themselves say now; call it when they are in force, under the gateway's file lock."""
    by_model = {row.model: row for row in rows}
    for act in all_returned(directory):
        row = by_model.get(act.model)
        if row is None or not act.concerns(row):
            _file(directory, RETURNED, act.model).unlink(missing_ok=True)


def note(directory: Path, act: str, model: str, reason: str, **more: Any) -> None:
    """Append one line to the journal; it is on the disk when this returns."""
    line = {"wall_at": datetime.now(UTC).isoformat(), "act": act, "model": model, "reason": reason, **more}
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / JOURNAL).open("ab") as handle:
        handle.write(json.dumps(line).encode() + b"\n")
        handle.flush()
        os.fsync(handle.fileno())


def _champion_only(row: DesiredTraffic, act: Returned | None) -> DesiredTraffic:
    if act is None or not act.concerns(row):
        return row
    if act.champion not in row.servers:
        raise GatewayRejectedError(f"{row.model}: the watchdog gave the traffic to version {act.champion}, which the row lost")
    weights = dict.fromkeys(row.weights, 0) | {act.champion: 100}
    return row.model_copy(update={"weights": weights, "baseline": None, "mirror": None, "sticky": None})


def _file(directory: Path, kind: str, model: str) -> Path:
    return directory / kind / f"{segment(model)}.json"


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    """The file's content; None when there is none, or one that an older release wrote otherwise."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
