"""`cli schema`: the JSON Schema of a model's YAML, or the page that documents every key."""

from __future__ import annotations

import argparse
from typing import Any

from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("schema", help="print the JSON Schema of a model's YAML")
    parser.add_argument("--docs", action="store_true", help="the documentation page docs/yaml.md instead")
    parser.add_argument("--write", action="store_true", help="write it to its file instead of printing it")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print or write."""
    from include.lifecycle.spec_docs import DOCS_FILE, docs_text
    from include.lifecycle.spec_schema import SCHEMA_FILE, schema_text
    from include.lifecycle.storage import write_whole

    text = docs_text(settings) if arguments.docs else schema_text(settings)
    if not arguments.write:
        print(text, end="")
        return 0
    path = settings.home / DOCS_FILE if arguments.docs else settings.models_dir / SCHEMA_FILE
    write_whole(path, text)
    print(f"wrote {path}")
    return 0
