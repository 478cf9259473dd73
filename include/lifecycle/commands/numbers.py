"""Types of command-line arguments: whole numbers, each refused with what was got and what is allowed."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """A whole number from 1; argparse.ArgumentTypeError for anything else."""
    return _from_one(text, "a whole number from 1")


def version_number(text: str) -> int:
    """MLflow's number of a version; argparse.ArgumentTypeError for anything else."""
    return _from_one(text, "a version's number, from 1")


def _from_one(text: str, allowed: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: {allowed}")
    return int(text)
