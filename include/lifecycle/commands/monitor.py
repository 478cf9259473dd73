"""`cli monitor MODEL`: look at a model (or all) as the monitoring Dag does, once or every so many seconds."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.lifecycle.commands.source_option import add_source_option, source_of
from include.lifecycle.errors import LifecycleError
from include.lifecycle.loading import load_all, load_model
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.results import MonitoredModel
    from include.lifecycle.runtime import Runtime
    from include.lifecycle.spec import ModelSpec

ALL = "all"
QUIET, SIGNALS, PROBLEM = 0, 1, 2
_LONGEST = 7 * 86_400  # seconds between two looks, at most


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "measure a model's finished windows now and raise or resolve its signals, as the monitoring Dag does"
    codes = f"Exit code of the last look: {QUIET}: no signal is open, {SIGNALS}: some are, {PROBLEM}: a model was not measured."
    parser = subparsers.add_parser("monitor", help=text, description=f"{text}. It never trains or rolls back. {codes}")
    parser.add_argument("model", help=f"a model's name, or {ALL!r}")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="one look (the default)")
    how.add_argument("--interval", type=_seconds, metavar="SECONDS", help="a look every so many seconds, until Ctrl-C or SIGTERM")
    add_source_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per model and look")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Look, print, and wait for the next look."""
    from include.lifecycle.runtime import build_runtime

    chosen = load_all(settings=settings) if arguments.model == ALL else {}
    specs = [*chosen.values()] or [load_model(arguments.model, settings=settings)]
    rt = build_runtime(settings)
    try:
        with _ended_by_signal() as ended:
            while True:
                code = max(_look(arguments, spec, rt) for spec in specs)
                if arguments.interval is None or ended.wait(arguments.interval):
                    return code
    finally:
        rt.engine.dispose()


def _look(arguments: argparse.Namespace, spec: ModelSpec, rt: Runtime) -> int:
    """One look at one model. In a row of looks what fails is told and tried again."""
    from include.lifecycle.monitoring.monitor import monitor_model
    from include.lifecycle.runtime import RunContext

    run_context = RunContext(spec.name, f"monitor__{uuid4().hex[:12]}", "monitor", by="command line")
    try:
        with redirect_stdout(sys.stderr):  # what libraries say is no part of the answer
            found = monitor_model(spec, rt, run_context, source_of(arguments, spec, rt.settings))
    except LifecycleError as problem:
        if arguments.interval is None and arguments.model != ALL:
            raise
        print(f"error: {spec.name}: {problem}", file=sys.stderr, flush=True)
        return PROBLEM
    print(json.dumps(found.model_dump(mode="json")) if arguments.json else "\n".join(_lines(found)), flush=True)
    return SIGNALS if found.signals else QUIET


def _lines(found: MonitoredModel) -> list[str]:
    health = "unknown" if found.health is None else f"{found.health:.2f}"
    told = [f"{found.model}: {len(found.windows)} windows measured, {len(found.signals)} signals open, health {health}"]
    return told + [f"  {one.outcome.value} {one.check}: {one.reason}" for one in found.verdicts if not one.passed]


@contextmanager
def _ended_by_signal() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set: the look that is under way is finished, and no other begins."""
    ended = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 1 <= found <= _LONGEST:
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: 1 to {_LONGEST} seconds")
    return found
