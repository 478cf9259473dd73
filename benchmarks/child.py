"""The measured process: `python -m benchmarks.child module:function JSON`; its last line is the answer, as JSON."""

from __future__ import annotations

import importlib
import json
import resource
import sys
from typing import Any


def peak_bytes() -> int:
    """This process's high-water mark of resident memory so far (of its own address space, not of who started it)."""
    with open("/proc/self/status", encoding="utf-8") as status:  # noqa: PTH123 - no path arithmetic here
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def cpu_seconds() -> float:
    """CPU time of this process and of its ended children."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def main(arguments: list[str]) -> None:
    """Call the function and print what it answered; numbers that it measured itself win."""
    module, _, name = arguments[0].partition(":")
    answer: dict[str, Any] = getattr(importlib.import_module(module), name)(**json.loads(arguments[1]))
    print(json.dumps({"cpu_seconds": cpu_seconds(), "peak_bytes": peak_bytes()} | answer))


if __name__ == "__main__":
    main(sys.argv[1:])
