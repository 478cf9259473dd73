"""Ends a stack: programs first and side by side, PostgreSQL last, then supervisord; then proves that no process of it is left."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from include.lifecycle.errors import SourceUnavailableError
from include.stack.launch import end_leftovers, leftovers
from include.stack.layout import Layout
from include.stack.programs import SUPERVISED
from include.stack.supervisor import LIVE, Supervisor

_PATIENCE = 40.0


def end_everything(layout: Layout, supervisord: subprocess.Popen[bytes] | None = None) -> None:
    """Stop all programs and supervisord; raise SourceUnavailableError when a process of this stack survives even a kill."""
    supervisor = Supervisor(layout.socket)
    remembered = _family(layout)
    if supervisor.answers():
        _stop_programs(supervisor)
        supervisor.shutdown()
        _wait(remembered[:1], _PATIENCE)  # supervisord goes last: PostgreSQL must get the time to write its checkpoint
    if supervisord:
        supervisord.poll()  # reaps it
    _wait(remembered, 5)
    for process in remembered:
        if _lives(process):
            process.kill()
    mark = {SUPERVISED: str(layout.local)}
    records = [layout.programs / "none", *layout.programs.glob("*.pgid")]
    for record in records:
        end_leftovers(record, mark)
    survivors = {pid for record in records for pid in leftovers(record, mark)}
    if survivors:
        raise SourceUnavailableError(f"processes of the stack in {layout.local} are still alive: {sorted(survivors)}")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and TERM off while cleaning up: a second one would leave half a stack. Only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _stop_programs(supervisor: Supervisor) -> None:
    """Ask all but PostgreSQL to stop at once and wait: supervisord's own shutdown would take them one after another."""
    names = [name for name in supervisor.processes() if name != "postgres"]
    for name in names:
        supervisor.stop(name, wait=False)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        rows = supervisor.processes()
        if not any(rows[name]["statename"] in LIVE for name in names if name in rows):
            break
        time.sleep(0.1)


def was_killed(layout: Layout) -> bool:
    """Whether supervisord ended without the orderly end in which it deletes its process id's file."""
    return (layout.supervisor / "supervisord.pid").exists() and _supervisord(layout) is None


def _family(layout: Layout) -> list[psutil.Process]:
    """supervisord and all its descendants now: tasks lead groups of their own, which supervisord does not know."""
    parent = _supervisord(layout)
    try:
        return [parent, *parent.children(recursive=True)] if parent else []
    except psutil.Error:
        return []


def _supervisord(layout: Layout) -> psutil.Process | None:
    """The living supervisord of this stack: its old process id may be a stranger's by now."""
    try:
        process = psutil.Process(int((layout.supervisor / "supervisord.pid").read_text(encoding="utf-8")))
        ours = str(layout.supervisor / "supervisord.conf") in process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if ours and _lives(process) else None


def _wait(processes: list[psutil.Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(_lives(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    """Whether it is still this process and not a zombie that nobody has reaped."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
