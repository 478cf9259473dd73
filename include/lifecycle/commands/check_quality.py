"""`cli check-quality --metrics FILE --thresholds FILE`: judge a metrics file by thresholds; the exit code is for CI jobs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from include.lifecycle.commands.outcomes import CODES, TOLD, UNCLEAR, verdict_lines
from include.lifecycle.verdicts import worst
from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "judge a metrics file (JSON) by the thresholds of a YAML file"
    parser = subparsers.add_parser("check-quality", help=text, description=f"{text}. {TOLD}")
    parser.add_argument(
        "--metrics", required=True, type=Path, metavar="FILE", help="JSON, such as `evaluate --metrics-file` writes"
    )
    parser.add_argument("--thresholds", required=True, type=Path, metavar="FILE", help="YAML: `accuracy: 0.85`, or {min:, max:}")
    parser.add_argument("--section", default="", metavar="A.B", help="keys below which the thresholds stand in that file")
    parser.add_argument(
        "--allow-inconclusive", action="store_true", help="exit with 0 when nothing failed, although not all passed"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object with every verdict")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, _settings: Settings) -> int:
    """Judge and print."""
    from include.lifecycle.evaluation.quality import check_quality, read_metrics, read_thresholds

    verdicts = check_quality(read_metrics(arguments.metrics), read_thresholds(arguments.thresholds, arguments.section))
    outcome = worst(verdicts)
    if arguments.json:
        plain = [verdict.model_dump(mode="json") for verdict in verdicts]
        print(json.dumps({"outcome": outcome.value, "verdicts": plain}))
    else:
        print("\n".join([*verdict_lines(verdicts), "", f"quality: {outcome.value}"]))
    code = CODES[outcome]
    return 0 if arguments.allow_inconclusive and code == UNCLEAR else code
