"""The benchmarks' machinery: claims and bars, exponents, child processes, and one whole claim at tiny size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import CLAIMS
from benchmarks.harness import Bench, Claim, exponent, in_child, machine, write_claim
from include.settings import PROJECT_ROOT


@pytest.mark.parametrize(
    ("ratio", "bar", "sense", "met"),
    [(3.0, 3.0, "at_least", True), (2.99, 3.0, "at_least", False), (0.3, 0.3, "at_most", True), (0.31, 0.3, "at_most", False)],
)
def test_a_bar_is_met_on_its_own_side(ratio: float, bar: float, sense, met: bool) -> None:
    assert Claim("c", 1.0, None, "s", ratio, bar, sense).met is met


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_of_a_power_law(power: float) -> None:
    sizes = [10.0, 100.0, 1000.0]
    assert exponent(sizes, [7 * size**power for size in sizes]) == pytest.approx(power)


def test_a_child_tells_its_own_memory_and_its_failure() -> None:
    held = bytearray(200_000_000)  # what this process holds must not count
    found = in_child("benchmarks.harness:machine", {})
    assert len(held) > found["peak_bytes"] > 5_000_000
    assert found["cores"] == machine()["cores"]
    with pytest.raises(RuntimeError, match="unexpected keyword"):
        in_child("benchmarks.harness:machine", {"nonsense": 1})


def test_a_claim_is_written_with_everything_that_it_rests_on(tmp_path: Path) -> None:
    claim = Claim("c", 2.0, 6.0, "s", 3.0, 3.0, "at_least", {"runs": [{"peak_bytes": 5_000_000}]})
    path = write_claim(tmp_path, claim, repetitions=3, sizes={"rows": 5}, on={"cpu": "x"})
    told = json.loads(path.read_text())
    assert {"claim", "ours", "peer", "ratio", "bar", "met", "machine", "repetitions", "sizes"} <= set(told)
    assert (told["met"], told["sizes"], told["memory"]) == (True, {"rows": 5}, {"ours": 5.0})


def test_repetitions_are_interleaved(tmp_path: Path) -> None:
    order: list[str] = []
    sides = {name: lambda name=name: order.append(name) or {"seconds": 1.0} for name in ("ours", "peer")}
    found = Bench({}, tmp_path, 2).interleaved(sides)
    assert (order, len(found["peer"])) == (["ours", "peer"] * 2, 2)


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_has_sizes_and_smaller_ones(name: str) -> None:
    module = __import__(f"benchmarks.{name}", fromlist=["run"])
    assert set(module.SIZES) == set(module.TINY)
    assert all(module.TINY[key] <= value for key, value in module.SIZES.items())
    assert callable(module.run)


def test_fetch_at_tiny_size_compares_values_and_writes_both_claims(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "fetch", "--tiny", "--repetitions", "1", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr  # tiny sizes miss the bars, or not
    assert "fetch_speed" in done.stdout
    told = json.loads((tmp_path / "fetch_memory.json").read_text())
    assert told["details"]["same_values"] is True
    assert told["details"]["runs"]["ours"][0]["rows"] == told["sizes"]["rows"]


def test_a_claim_that_breaks_is_named_and_is_exit_code_2(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "fetch",
        "--size",
        "columns=3",
        "--size",
        "rows=10",
        "--results",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "broke: fetch" in done.stdout) == (2, True)
    assert "claim fetch broke" in done.stderr
