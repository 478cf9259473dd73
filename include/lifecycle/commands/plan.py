"""`cli plan MODEL`: what a rollout started now would do: stages, duration, visible harm, approval, what is in its way."""

from __future__ import annotations

import argparse
import json
from typing import Any

from include.lifecycle.loading import load_model
from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "show what a rollout would do now, and stop"
    parser = subparsers.add_parser(
        "plan",
        help=text,
        description=f"{text}. Nothing is claimed or written. Exit code 0: it would start; 1: it would not; 2: an error.",
    )
    parser.add_argument("model")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Plan and print."""
    from include.lifecycle.rollout.planning.preview import preview_rollout
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        preview = preview_rollout(load_model(arguments.model, settings=settings), rt)
    finally:
        rt.engine.dispose()
    if arguments.json:
        print(json.dumps(preview.model_dump(mode="json") | {"would_start": not preview.stops}))
    else:
        print("\n".join(preview.told()))
    return 1 if preview.stops else 0
