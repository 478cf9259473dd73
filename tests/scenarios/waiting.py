"""Waiting for something to become true, with a bound and a sentence for when it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


def until(ask: Callable[[], T], seconds: float, what: str) -> T:
    """Ask once a second until the answer is true; fail the test after `seconds` of wall time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := ask():
            return found
        time.sleep(1)
    pytest.fail(f"{what} did not happen within {seconds} s")
