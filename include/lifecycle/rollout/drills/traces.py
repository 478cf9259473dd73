"""What a drill puts into the world, and how it is taken away again: by the drill itself, or by reconcile when it was killed.

A drill's model has a name that no YAML can have. A lock, held while a drill runs, tells a living drill's traces from a dead's.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, read_all
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.lifecycle.rollout.targets.programs import declared_programs
from include.lifecycle.rollout.watchdog.journal import clear
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import desired_traffic, rollouts

PREFIX = "_drill_"


def is_drill(model: str) -> bool:
    """Whether this is a drill's scratch model: names of models begin with a letter."""
    return model.startswith(PREFIX)


@contextmanager
def only_drill(rt: Runtime) -> Iterator[None]:
    """One drill at a time; GateFailedError when another one runs. The lock ends with the process, whatever ends it."""
    rt.settings.gateway_dir.mkdir(parents=True, exist_ok=True)
    with (rt.settings.gateway_dir / ".drill.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GateFailedError("another drill is running; it takes about half a minute") from None
        yield


def sweep_drills(rt: Runtime, target: EmbeddedTarget | None = None) -> list[str]:
    """Take away what killed drills left; nothing while a drill runs."""
    try:
        with only_drill(rt):
            return [
                f"{model}: what a killed drill left was taken away" for model in _left(rt) if remove_traces(rt, model, target)
            ]
    except GateFailedError:
        return []


def remove_traces(rt: Runtime, model: str, target: EmbeddedTarget | None = None) -> bool:
    """Traffic first, then servers, rows and folders; every part may be gone already. Raises SourceUnavailableError as they do."""
    used = target or EmbeddedTarget(rt)
    with transaction(rt.engine) as connection:
        lock_model(connection, model)
        connection.execute(rollouts.delete().where(rollouts.c.model == model))
        gone = connection.execute(desired_traffic.delete().where(desired_traffic.c.model == model)).rowcount
    if gone or used.read_back(model):
        used.gateway.write(lambda: _rows(rt))
    for version in used.idle_servers(model, 0):
        used.stop_server(model, version)
    clear(rt.settings, model)
    for folder in _folders(rt, model):
        shutil.rmtree(folder, ignore_errors=True)
    for log in rt.settings.server_log_dir.glob(f"server-{model}-*.log*"):
        log.unlink(missing_ok=True)
    return True


def traces(rt: Runtime) -> list[str]:
    """What any drill has in the world now, in words; for tests and for the sweep."""
    with transaction(rt.engine) as connection:
        rows = [*connection.execute(select(desired_traffic.c.model)).scalars()]
        rows += connection.execute(select(rollouts.c.model)).scalars()
    programs = [one.model for one in declared_programs(rt.settings.server_conf_dir)]
    leases = [path.stem for path in (rt.settings.gateway_dir / "leases").glob(f"{PREFIX}*.json")]
    folders = [path.name for parent in _parents(rt) for path in parent.glob(f"{PREFIX}*")]
    return sorted(name for name in [*rows, *programs, *leases, *folders] if is_drill(name))


def _left(rt: Runtime) -> list[str]:
    return sorted(set(traces(rt)))


def _parents(rt: Runtime) -> list[Path]:
    return [rt.storage.served("x", 1).parent.parent, rt.storage.predictions("x").parent]


def _folders(rt: Runtime, model: str) -> list[Path]:
    return [parent / model for parent in _parents(rt)]


def _rows(rt: Runtime) -> list[DesiredTraffic]:
    with transaction(rt.engine) as connection:
        return read_all(connection)
