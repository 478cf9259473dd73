"""`cli new MODEL --from-table TABLE`: the four files of a new model, with what its table tells filled in."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("new", help="write the YAML, SQL and Dag file of a new model")
    parser.add_argument("model", help="the model's name: lower-case letters, digits and _")
    parser.add_argument("--from-table", required=True, metavar="TABLE", help="table (or schema.table) that it learns from")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--url", help="SQLAlchemy URL of the table's database, without a password, to read the columns from")
    source.add_argument("--columns-from", type=Path, metavar="FILE.csv", help="CSV file with the table's header and some rows")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the files and say what comes next."""
    from include.lifecycle.scaffolding import new_model
    from include.lifecycle.table_columns import columns_of_csv, columns_of_table

    columns = []
    if arguments.url:
        columns = columns_of_table(arguments.url, arguments.from_table, settings.passfile)
    elif arguments.columns_from:
        columns = columns_of_csv(arguments.columns_from)
    for path in new_model(arguments.model, arguments.from_table, columns, settings):
        print(f"wrote {path.relative_to(settings.home) if path.is_relative_to(settings.home) else path}")
    print(f"next: fill in the commented keys, then `python -m include.lifecycle.cli lint {arguments.model}`")
    return 0
