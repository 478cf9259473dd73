"""How a claim is measured: fresh processes, interleaved repetitions, medians, a JSON file each, and the machine beside it."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from include.settings import PROJECT_ROOT

REPETITIONS = 3
GIGABYTE, MEGABYTE = 1e9, 1e6


@dataclass(frozen=True)
class Claim:
    """One measured claim. `ratio` is what the bar speaks of; `sense` says on which side of the bar it must lie."""

    claim: str
    ours: float
    peer: float | None
    unit: str
    ratio: float
    bar: float
    sense: Literal["at_least", "at_most"]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the ratio lies on the bar's right side."""
        return self.ratio >= self.bar if self.sense == "at_least" else self.ratio <= self.bar


@dataclass
class Bench:
    """What a claim's module works with: its sizes, a temporary folder, and how often to repeat."""

    sizes: Mapping[str, int]
    folder: Path
    repetitions: int = REPETITIONS

    def say(self, text: str) -> None:
        """A progress line."""
        print(f"  {datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)

    def interleaved(self, sides: Mapping[str, Callable[[], dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Run all sides once, then all once more, and so on: what disturbs the machine disturbs all of them."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
        for repetition in range(self.repetitions):
            for name, measure in sides.items():
                answer = measure()
                found[name].append(answer)
                numbers = ", ".join(f"{key} {value:.4g}" for key, value in answer.items() if isinstance(value, int | float))
                self.say(f"{name} {repetition + 1}/{self.repetitions}: {numbers}")
        return found


def median(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """Median over repetitions of one number."""
    return float(statistics.median(row[key] for row in rows))


def in_child(function: str, arguments: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Call `module:function(**arguments)` in a fresh process and return its answer with `cpu_seconds`, `peak_bytes`.

    The function returns a dictionary and may time parts of itself; peak memory is the child's own high-water mark.
    Raises RuntimeError with the child's last words when it fails.
    """
    command = [sys.executable, "-m", "benchmarks.child", function, json.dumps(dict(arguments), default=str)]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=child_environment(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{function} failed with exit code {done.returncode}:\n{done.stderr.strip()[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def child_environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a measured process: the project on the path, one native thread, nothing of a running stack."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODELOPS_", "AIRFLOW"))}
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    path = {"PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), str(PROJECT_ROOT / "plugins")])}
    return kept | threads | path | dict(given or {})


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log(value) over log(size) by least squares: 1 is linear growth."""
    return float(statistics.linear_regression([math.log(size) for size in sizes], [math.log(value) for value in values]).slope)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    usable = len(os.sched_getaffinity(0))
    told = {"cpu": model, "cores": usable, "memory_gb": round(memory / GIGABYTE, 1), "load_before": round(os.getloadavg()[0], 2)}
    return told | {"system": platform.platform(), "python": platform.python_version()}


def write_claim(folder: Path, claim: Claim, *, repetitions: int, sizes: Mapping[str, int], on: Mapping[str, Any]) -> Path:
    """Write `<folder>/<claim>.json` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{claim.claim}.json"
    told = asdict(claim) | {"met": claim.met, "repetitions": repetitions, "sizes": dict(sizes), "machine": dict(on)}
    told["memory"] = _peaks(claim.details.get("runs", []))
    path.write_text(json.dumps(told | {"measured_at": datetime.now(UTC).isoformat()}, indent=1) + "\n", encoding="utf-8")
    return path


def _peaks(runs: Any) -> dict[str, float]:
    """Median peak memory in MB of each side whose processes were measured here."""
    sides = runs if isinstance(runs, dict) else {"ours": runs}
    known = {side: [row for row in rows if "peak_bytes" in row] for side, rows in sides.items()}
    return {side: round(median(rows, "peak_bytes") / MEGABYTE, 1) for side, rows in known.items() if rows}
