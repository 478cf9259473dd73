"""Watches supervisord itself while a loop runs: whatever else dies, it restarts; if it dies, this brings the whole stack back."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import TracebackType
from typing import Self

from include.lifecycle.errors import LifecycleError
from include.stack.local import LocalStack
from include.stack.progress import Progress, report_failure
from include.stack.teardown import was_killed

_EVERY = 2.0  # seconds


class Guard:
    """`with Guard(stack): ...` starts the stack again when its supervisord was killed; an orderly stop is left alone."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="guard", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            if was_killed(self._stack.layout):
                self._revive()

    def _revive(self) -> None:
        report_failure("supervisord is gone: starting the stack again")
        again = replace(self._stack, progress=Progress(quiet=True))
        try:
            again.up()
            report_failure("the stack is back")
        except LifecycleError as problem:
            report_failure(f"the stack did not come back: {problem}")
        self._stack.adopt(again)
