"""Commands of the embedded stack: up, down, status, logs, reset, run (the whole demo), paths. Exit code 0 only when it worked."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from include.lifecycle.errors import LifecycleError
from include.stack.guard import Guard
from include.stack.layout import Layout
from include.stack.local import LocalStack, describe
from include.stack.progress import report_failure


def main(arguments: Sequence[str]) -> int:
    """Run one command; errors that were raised on purpose become one message and exit code 1, an interruption 130."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    stack = LocalStack(Layout.of(options.local), options.free_ports)
    try:
        return int(_COMMANDS[options.command](stack, options))
    except LifecycleError as problem:
        report_failure(f"error: {problem}")
        return 1
    except KeyboardInterrupt:
        report_failure("interrupted")
        return 130


def up(stack: LocalStack, options: argparse.Namespace) -> int:
    """Start the stack and print where it is."""
    stack.demo = not options.no_demo
    stack.up()
    _print_addresses(stack)
    return 0


def run(stack: LocalStack, options: argparse.Namespace) -> int:
    """Start the stack, run the demo's loop on it; `--down` stops the stack afterwards, however the loop ended."""
    from include.demo.main import run as run_demo

    stack.up()
    try:
        with Guard(stack):
            code = run_demo(stack)
    finally:
        if options.down:
            stack.down()
    if not options.down:
        _print_addresses(stack)
    return code


def down(stack: LocalStack, options: argparse.Namespace) -> int:
    """Stop the stack."""
    stack.down()
    return 0


def status(stack: LocalStack, options: argparse.Namespace) -> int:
    """Print each program's state; exit code 0 only when all are well."""
    states = stack.status()
    if not states:
        print(f"no stack runs in {stack.layout.local}")
        return 3
    for name, state in states.items():
        print(f"{name:<28} {state}")
    _print_addresses(stack)
    return 0 if set(states.values()) <= {"healthy", "running"} else 1


def logs(stack: LocalStack, options: argparse.Namespace) -> int:
    """Follow the logs of all programs, or of the named ones."""
    files = [stack.layout.logs / f"{name}.log" for name in options.programs] or sorted(stack.layout.logs.glob("*.log"))
    missing = [path.stem for path in files if not path.is_file()]
    if missing or not files:
        report_failure(f"no log of {', '.join(missing) or 'any program'} in {stack.layout.logs}")
        return 1
    follow = ["-F"] if options.follow else []
    return subprocess.run(["tail", "-n", str(options.lines), *follow, *map(str, files)], check=False).returncode


def reset(stack: LocalStack, options: argparse.Namespace) -> int:
    """Stop the stack and delete its folder: databases, models, secrets, everything."""
    folder = stack.layout.local
    if not (stack.layout.ports_file.is_file() or stack.layout.secrets.is_dir()):
        print(f"nothing to reset: no stack in {folder}")
        return 0
    if not options.force and not _agrees(folder):
        print("kept")
        return 1
    stack.down()
    stack.layout.remove()
    print(f"deleted the stack in {folder}")
    return 0


def paths(stack: LocalStack, options: argparse.Namespace) -> int:
    """Print paths, ports and addresses as JSON."""
    print(json.dumps(describe(stack), indent=2))
    return 0


_COMMANDS = {"up": up, "run": run, "down": down, "status": status, "logs": logs, "reset": reset, "paths": paths}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in _COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__)
        command.add_argument("--local", type=Path, help="the stack's folder (default: MODELOPS_LOCAL, else .local)")
        command.add_argument("--free-ports", action="store_true", help="pick free ports on the first start")
        if name == "up":
            command.add_argument("--no-demo", action="store_true", help="wall clock and the models' own settings")
        if name == "run":
            command.add_argument("--down", action="store_true", help="stop the stack when the loop has ended")
        if name == "reset":
            command.add_argument("--force", action="store_true", help="do not ask")
        if name == "logs":
            command.add_argument("programs", nargs="*", help="e.g. scheduler mlflow")
            command.add_argument("--lines", type=int, default=20)
            command.add_argument("--follow", action="store_true")
    return parser


def _print_addresses(stack: LocalStack) -> None:
    user, password = stack.credentials("admin")
    print(f"\nAirflow  {stack.airflow_url}  (login {user} / {password})")
    print(f"MLflow   {stack.settings.mlflow_url}")
    print(f"Gateway  {stack.settings.gateway_url}/v2/models/<model>/infer")
    print(f"Folder   {stack.layout.local}\n", flush=True)


def _agrees(folder: Path) -> bool:
    if not sys.stdin.isatty():
        report_failure("reset asks before it deletes; without a terminal say FORCE=1 (--force)")
        return False
    return input(f"Delete {folder} with all its databases, models and secrets? [y/N] ").strip().lower() in ("y", "yes")


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Treat SIGTERM like Ctrl-C, so that a start which is ended half-way cleans up."""
    raise KeyboardInterrupt
