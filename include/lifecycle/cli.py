"""The command line: `python -m include.lifecycle.cli COMMAND`. Each command is a module in commands/.

Exit codes: 0 done or yes, 1 no (a failed gate, lint found problems), 2 an error, told in one clear message, 3 cannot tell, or
should-retrain says no.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from include.lifecycle.commands import (
    ab,
    actuals,
    alerts,
    api_key,
    apply,
    backup,
    card,
    check_quality,
    compare,
    deployments,
    drift,
    drill,
    evaluate,
    explain,
    export,
    freeze,
    ledger,
    lint,
    log_model,
    monitor,
    new,
    plan,
    prediction_log,
    release,
    replay,
    replay_thresholds,
    report,
    restore,
    retention,
    retraining,
    rollback,
    rollout,
    schema,
    should_retrain,
    simulate,
    train,
    versions,
)
from include.lifecycle.errors import LifecycleError
from include.settings import Settings, load_settings

COMMANDS = (
    new,
    lint,
    explain,
    schema,
    ledger,
    apply,
    should_retrain,
    retraining,
    versions,
    restore,
    train,
    evaluate,
    check_quality,
    log_model,
    monitor,
    export,
    replay,
    retention,
    prediction_log,
    actuals,
    compare,
    card,
    backup,
    release,
    rollout,
    ab,
    rollback,
    freeze,
    alerts,
    drift,
    drill,
    plan,
    deployments,
    simulate,
    report,
    replay_thresholds,
    api_key,
)


def main(arguments: Sequence[str] | None = None, *, settings: Settings | None = None) -> int:
    """Run one command and return its exit code; errors of the lifecycle are printed, never raised."""
    parsed = build_parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed, settings or load_settings()))
    except LifecycleError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = argparse.ArgumentParser(prog="python -m include.lifecycle.cli", description=__doc__)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
