"""`cli export MODEL VERSION --format F --out PATH`: a version's model file to take away, its digest checked."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from include.lifecycle.commands.numbers import version_number
from include.settings import Settings

FORMATS = ("onnx", "skops", "quantised-onnx", "bundle")


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "download a version as ONNX, skops, 8-bit ONNX, or everything of it in one zip"
    parser = subparsers.add_parser("export", help=text, description=f"{text}. Exit code 0: written, 2: an error.")
    parser.add_argument("model")
    parser.add_argument("version", type=version_number, help="MLflow's version number")
    parser.add_argument("--format", required=True, choices=FORMATS, help="bundle: all files of the version, as registered")
    parser.add_argument("--out", required=True, type=Path, metavar="PATH", help="new file, or a folder for the export's own name")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Download, verify, write, and say what was written."""
    from include.lifecycle.registry.exports import export_version
    from include.lifecycle.runtime import build_runtime

    done = export_version(build_runtime(settings), arguments.model, arguments.version, arguments.format, arguments.out)
    print(f"wrote {done.path}: {arguments.format} of {arguments.model} version {arguments.version}, sha256 {done.digest}")
    return 0
