"""`cli backup --to FOLDER | --check FOLDER | --restore FOLDER --into EMPTY`: versions, ledger, configuration as plain files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from include.lifecycle.commands.restore import _quiet_dvc
from include.lifecycle.errors import ArtefactDigestError, LifecycleError
from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "back up all versions, the ledger and the configuration as plain files; check or restore such a folder"
    codes = "Exit code 0: done, 1: --check found damage, 2: an error."
    parser = subparsers.add_parser("backup", help=text, description=f"{text}. {codes}")
    acts = parser.add_mutually_exclusive_group(required=True)
    acts.add_argument("--to", type=Path, metavar="FOLDER", help="make or refresh the backup in this folder")
    acts.add_argument("--check", type=Path, metavar="FOLDER", help="verify every file of a backup; needs no server")
    acts.add_argument("--restore", type=Path, metavar="FOLDER", help="copy a backup, verified, into --into; needs no server")
    parser.add_argument("--into", type=Path, metavar="EMPTY", help="where to restore; must be empty or not exist")
    parser.add_argument("--with-data", action="store_true", help="with --to: training data, too, not only its pointers")
    parser.add_argument("--digest", help="with --check or --restore: the digest that --to printed, against a forged manifest")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Make, check or restore, and say what is in it."""
    from include.lifecycle.registry.backup import check_backup, restore_backup

    if (arguments.restore is None) != (arguments.into is None):
        raise LifecycleError("--restore FOLDER and --into EMPTY belong together")
    if arguments.to is not None:
        _make(arguments, settings)
    elif arguments.check is not None:
        try:
            found = check_backup(arguments.check, arguments.digest)
        except ArtefactDigestError as problem:
            print(f"damaged: {problem}")
            return 1
        print(f"{arguments.check} is whole: {_listed(found)}")
    else:
        found = restore_backup(arguments.restore, arguments.into, arguments.digest)
        print(f"restored into {arguments.into}, every digest verified: {_listed(found)}")
    return 0


def _make(arguments: argparse.Namespace, settings: Settings) -> None:
    from include.lifecycle.registry.backup import make_backup
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    _quiet_dvc()
    try:
        done = make_backup(rt, arguments.to, with_data=arguments.with_data)
    finally:
        rt.engine.dispose()
    print(f"wrote {arguments.to}: {_listed(done['models'])}")
    for name, why in done["left_out"].items():
        print(f"without files: {name}: {why}")
    print(f"digest {done['digest']}")


def _listed(found: dict[str, list[int]]) -> str:
    told = [f"{name} versions {', '.join(map(str, numbers)) or 'none'}" for name, numbers in found.items()]
    return "; ".join(told) or "no models"
