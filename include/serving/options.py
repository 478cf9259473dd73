"""What a model server is told at its start, on its command line.

The embedded target gives what the sections `server` and `prediction_log` of the model's YAML say; their defaults are the same
numbers as here (a test holds them together).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from include.serving.prediction_log import LogLimits

MEBIBYTE = 1024 * 1024


def _whole(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if (number := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{text}; allowed: {least} or more")
        return number

    convert.__name__ = "whole number"
    return convert


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; allowed: seconds, 0 or more")
    return number


def build_parser() -> argparse.ArgumentParser:
    """The server's command line; times are seconds, sizes bytes."""
    parser = argparse.ArgumentParser(prog="include.serving.server", description="Serve one version of a model.")
    _add_places(parser)
    _add_limits(parser)
    _add_log(parser)
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--directory", type=Path, required=True, help="version folder with serving.json, manifest.json and the model")
    add("--digest", required=True, help="sha256 of manifest.json")
    add("--port", type=int, required=True, help="TCP port; 0 takes a free one")
    add("--host", default="127.0.0.1")
    add("--log-dir", type=Path, required=True, help="folder of the model's prediction log")
    add("--pii-key-file", type=Path, help="secret under which the version's hashed columns are hashed")
    add("--keys", type=Path, help="file of hashed API keys; without it nobody is asked for one")
    add("--listen-fd", type=int, help=argparse.SUPPRESS)  # a worker's: the socket that its parent bound
    add("--parent-fd", type=int, help=argparse.SUPPRESS)  # a worker's: ends when its parent does


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--workers", type=_whole(1), default=1, help="processes that answer on the one port")
    add("--queue", type=_whole(1), default=256, help="requests that may wait in one worker; more are refused with 503")
    add("--max-rows", type=_whole(1), default=10_000, help="rows per request; more are refused with 413")
    add("--max-body", type=_whole(1), default=32 * MEBIBYTE, help="bytes per request body; more are refused with 413")
    add(
        "--body-within",
        type=_seconds,
        default=30.0,
        help="seconds in which a request's body must come; else 408",
    )
    add("--inline-rows", type=_whole(0), default=256, help="an ONNX request of more rows is computed beside the event loop")
    add("--drain-notice", type=_seconds, default=1.5, help="seconds from SIGTERM (ready says 503) to the port's closing")
    add("--drain-at-most", type=_seconds, default=20.0, help="seconds that requests under way then have")


def _add_log(parser: argparse.ArgumentParser) -> None:
    add, usual = parser.add_argument, LogLimits()
    add("--log-flush-seconds", type=_seconds, default=usual.flush_seconds, help="time between two writes of the log")
    add("--log-buffer-rows", type=_whole(1), default=usual.buffer_rows, help="rows that wait for a write at most")
    add("--log-segment-bytes", type=_whole(1), default=usual.segment_bytes, help="size at which a segment is closed")
    add("--log-segment-seconds", type=_seconds, default=usual.segment_seconds, help="age at which one is closed")


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options in force; ends the process with code 2 and a message when one is wrong, as argparse does."""
    return build_parser().parse_args(arguments)
