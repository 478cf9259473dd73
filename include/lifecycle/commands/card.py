"""`cli card MODEL [VERSION]`: a version's model card with where it stands now."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from include.lifecycle.commands.numbers import version_number
from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "show a version's model card (Markdown with the Hugging Face metadata block) and where it stands now"
    parser = subparsers.add_parser("card", help=text, description=f"{text}. Exit code 0: shown or written, 2: an error.")
    parser.add_argument("model")
    parser.add_argument("version", type=version_number, nargs="?", help="default: the champion, else the newest version")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--html", action="store_true", help="print HTML instead of Markdown")
    shape.add_argument("--to", type=Path, metavar="FOLDER", help="write README.md, card.html and facts.json there instead")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Render the stored facts with today's status."""
    from include.lifecycle.reporting.card import card_html, card_markdown, write_card
    from include.lifecycle.reporting.card_status import card_status, shown_version, stored_facts
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        version = shown_version(rt, arguments.model, arguments.version)
        facts, status = stored_facts(rt, arguments.model, version), card_status(rt, arguments.model, version)
    finally:
        rt.engine.dispose()
    if arguments.to is not None:
        write_card(arguments.to, facts, status)
        print(f"wrote {arguments.to}: card of {arguments.model} version {version}")
    else:
        print(card_html(facts, status) if arguments.html else card_markdown(facts, status), end="")
    return 0
