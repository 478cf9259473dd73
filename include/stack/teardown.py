"""Ends a stack: programs first and side by side, PostgreSQL last, then supervisord; then proves that no process of it is left."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psutil

from include.lifecycle.errors import SourceUnavailableError
from include.stack.launch import end_leftovers, leftovers
from include.stack.layout import Layout
from include.stack.supervisor import LIVE, Supervisor

_PATIENCE = 40.0


def end_everything(layout: Layout, supervisord: subprocess.Popen[bytes] | None) -> None:
    """Stop all programs and supervisord; raise SourceUnavailableError when a process of this stack survives even a kill."""
    supervisor = Supervisor(layout.socket)
    remembered = _family(layout)
    if supervisor.answers():
        _stop_programs(supervisor)
        supervisor.shutdown()
    if supervisord:
        supervisord.wait(timeout=_PATIENCE)
    _end(remembered)
    for spec in layout.programs.glob("*.json"):
        end_leftovers(spec.with_suffix(".pgid"), _mark(layout, spec))
    survivors = {
        pid for spec in layout.programs.glob("*.json") for pid in leftovers(spec.with_suffix(".pgid"), _mark(layout, spec))
    }
    if survivors:
        raise SourceUnavailableError(f"processes of the stack in {layout.local} are still alive: {sorted(survivors)}")


def _stop_programs(supervisor: Supervisor) -> None:
    """Ask all but PostgreSQL to stop at once and wait: supervisord's own shutdown would take them one after another."""
    names = [name for name in supervisor.processes() if name != "postgres"]
    for name in names:
        supervisor.stop(name, wait=False)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        rows = supervisor.processes()
        if not any(rows[name]["statename"] in LIVE for name in names):
            break
        time.sleep(0.1)


def _family(layout: Layout) -> list[psutil.Process]:
    """supervisord and all its descendants now: tasks lead groups of their own, which supervisord does not know."""
    pid_file = layout.supervisor / "supervisord.pid"
    try:
        parent = psutil.Process(int(pid_file.read_text(encoding="utf-8")))
        if not _is_ours(parent, layout):
            return []
        return [parent, *parent.children(recursive=True)]
    except (OSError, ValueError, psutil.Error):
        return []


def _is_ours(process: psutil.Process, layout: Layout) -> bool:
    """Whether this is supervisord with this stack's configuration, and not a stranger with its old process id."""
    return str(layout.supervisor / "supervisord.conf") in process.cmdline()


def _end(processes: list[psutil.Process]) -> None:
    """Wait a moment for what is ending, then kill the rest; a process id that was given to a stranger is never touched."""
    _, alive = psutil.wait_procs(processes, timeout=5)
    for process in alive:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def _mark(layout: Layout, spec: Path) -> dict[str, str]:
    return {"MODELOPS_PROGRAM": spec.stem, "MODELOPS_LOCAL": str(layout.local)}
