"""`cli explain MODEL`: effective values with their origin, and in words what will happen unattended."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.tables import aligned
from include.lifecycle.explaining import rows
from include.lifecycle.loading import read_model
from include.lifecycle.wording import in_words
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.spec import ModelSpec


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("explain", help="show every effective value, where it comes from, and what will happen")
    parser.add_argument("model")
    parser.add_argument("--changed", action="store_true", help="only values that differ from the defaults file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the table, then the words."""
    loaded = read_model(arguments.model, settings=settings)
    effective = rows(loaded, settings.home)
    shown = [row for row in effective if not (arguments.changed and row.layer == "default")]
    print("\n".join(aligned([("KEY", "VALUE", "FROM", "WRITTEN AT")] + [(r.key, r.value, r.layer, r.origin) for r in shown])))
    print(f"\nspec {loaded.spec.digest[:12]}: what happens unattended\n")
    for topic, sentences in in_words(loaded.spec):
        print(textwrap.fill(sentences, 110, initial_indent=f"{topic + ':':<12} ", subsequent_indent=" " * 13))
    print(textwrap.fill(_switch(loaded.spec, settings), 110, initial_indent=f"{'Switch:':<12} ", subsequent_indent=" " * 13))
    if laid_over := [row.key for row in effective if row.layer == "overlay"]:
        text = f"{len(laid_over)} values come from {settings.overlay}, not from the model's YAML: {', '.join(laid_over)}."
        print(textwrap.fill(text, 110, initial_indent=f"{'Overlay:':<12} ", subsequent_indent=" " * 13))
    return 0


def _switch(spec: ModelSpec, settings: Settings) -> str:
    """How the run-time switch stands; everything above it is said without the database."""
    from sqlalchemy.exc import DBAPIError

    from include.lifecycle.database import transaction
    from include.lifecycle.decisions.automation import stopped
    from include.lifecycle.errors import SourceUnavailableError
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        with transaction(rt.engine) as connection:
            why = stopped(connection, spec.name)
    except (SourceUnavailableError, DBAPIError):
        return "whether unattended training was stopped by a person cannot be told: the database did not answer."
    finally:
        rt.engine.dispose()
    return f"{why}. Only people train." if why else "nobody stopped unattended training (cli retraining)."
