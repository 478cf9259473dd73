"""`cli lint [MODEL]`: every problem of one model or of all, with file, line and column."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model, model_names
from include.lifecycle.rules.calendar_columns import calendar_columns
from include.lifecycle.rules.view import did_you_mean
from include.lifecycle.spec import ModelSpec
from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("lint", help="check one model's YAML, or all; exit code 1 when something is wrong")
    parser.add_argument("model", nargs="?", help="default: all models, and the overlay's files")
    parser.add_argument(
        "--expectations", action="store_true", help="check data.expectations against Great Expectations, too (slow)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print problems to stderr, what is fine and what to know to stdout."""
    names = [arguments.model] if arguments.model else model_names(settings=settings)
    broken = 0
    for name in names:
        try:
            spec = load_model(name, settings=settings)
            if arguments.expectations:
                _check_expectations(spec)
            print(f"{name}: ok")
        except SpecInvalidError as problem:
            broken += 1
            print(problem, file=sys.stderr)
    for note in _notes(names, settings, whole=not arguments.model):
        print(f"note: {note}")
    if not names:
        print(f"no models in {settings.models_dir}")
    return 1 if broken else 0


def _check_expectations(spec: ModelSpec) -> None:
    from include.lifecycle.data.expectations import build_expectations

    build_expectations(spec)


def _notes(names: list[str], settings: Settings, *, whole: bool) -> Iterator[str]:
    for name in sorted(set(names) & set(model_names(settings=settings))):
        if not (settings.dags_dir / f"{name}.py").is_file():
            yield f"dags/{name}.py does not exist, so {name} has no Dags"
        yield from _transformer_note(name, settings)
        yield from _calendar_note(name, settings)
    files = sorted(settings.overlay.glob("*.yaml")) if whole and settings.overlay else []
    for file in files:
        if file.stem not in names:
            yield f"overlay {file} belongs to no model{did_you_mean(file.stem, names)}"


def _calendar_note(name: str, settings: Settings) -> Iterator[str]:
    """Watched features that drift by construction."""
    try:
        found = calendar_columns(load_model(name, settings=settings))
    except SpecInvalidError:
        return
    for column in found:
        yield (
            f"{name}: {column} looks made of the calendar, so windows shorter than its cycle drift in it by construction; "
            f"columns.{column}.drift: ignore leaves it out"
        )


def _transformer_note(name: str, settings: Settings) -> Iterator[str]:
    """What own feature code costs at serving."""
    try:
        transformer = load_model(name, settings=settings).features.transformer
    except SpecInvalidError:
        return
    if transformer:
        yield (
            f"{name} is not served by ONNX alone: each request of it passes through {transformer} in Python (pandas, "
            "milliseconds a request), which then feeds the model, ONNX or not"
        )
