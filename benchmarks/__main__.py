"""`python -m benchmarks [CLAIM ...]`: run the claims, print a table, write a JSON file each. Exit code 1: a bar is missed."""

from __future__ import annotations

import argparse
import importlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks.harness import REPETITIONS, Bench, Claim, machine, write_claim
from include.lifecycle.commands.tables import aligned
from include.settings import load_settings
from include.stack.launch import let_through

CLAIMS = (
    "fetch",
    "validate",
    "tuning",
    "fleet",
    "train_overhead",
    "growth",
    "rollouts",
    "serving",
    "waiting",
    "experiments",
    "rollout_statistics",
    "calibration_gaps",
    "monitoring",
    "pages",
    "false_alarms",
)
"""Modules of this package, in the order in which they run."""
_SIGN = {"at_least": ">=", "at_most": "<="}


def main(arguments: list[str]) -> int:
    """Run what was asked for; a claim that breaks is told with its reason and stops no other."""
    signal.signal(signal.SIGTERM, _interrupt)
    options = _parser().parse_args(arguments)
    on, found, broken = machine(), list[Claim](), list[str]()
    results = load_settings().storage.parent / "bench" if options.results is None else options.results
    print(", ".join(f"{name} {value}" for name, value in on.items()), file=sys.stderr)
    for name in options.claims or CLAIMS:
        try:
            found += _measure(name, options, results, on)
        except Exception:  # noqa: BLE001 - the other claims are still to be measured
            broken.append(name)
            print(f"claim {name} broke:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
    print("\n".join(aligned([("CLAIM", "OURS", "PEER", "RATIO", "BAR", "MET"), *map(_row, found)])))
    print(f"\n{len(found)} claims, {sum(claim.met for claim in found)} met; written to {results}")
    if broken:
        print(f"broke: {', '.join(broken)}")
    return 2 if broken else 0 if all(claim.met for claim in found) else 1


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Treat SIGTERM like Ctrl-C, so that the servers that were started are ended."""
    raise KeyboardInterrupt


def _measure(name: str, options: argparse.Namespace, results: Path, on: dict[str, object]) -> list[Claim]:
    module = importlib.import_module(f"benchmarks.{name}")
    sizes = dict(module.TINY if options.tiny else module.SIZES)
    for key, value in options.size:
        if key in sizes:
            sizes[key] = value
    folder, began = Path(tempfile.mkdtemp(prefix=f"modelops-bench-{name}-")), time.monotonic()
    let_through(folder)
    bench = Bench(sizes, folder, options.repetitions)
    bench.say(f"claim {name}: {', '.join(f'{key}={value}' for key, value in sizes.items())}")
    try:
        claims: list[Claim] = module.run(bench)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for claim in claims:
        write_claim(results, claim, repetitions=bench.repetitions, sizes=sizes, on=on)
    bench.say(f"claim {name} took {time.monotonic() - began:.0f} s")
    return claims


def _row(claim: Claim) -> tuple[str, ...]:
    peer = "-" if claim.peer is None else f"{claim.peer:.4g} {claim.unit}"
    bar = f"{_SIGN[claim.sense]} {claim.bar:g}"
    return (claim.claim, f"{claim.ours:.4g} {claim.unit}", peer, f"{claim.ratio:.3g}", bar, "yes" if claim.met else "NO")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"of {', '.join(CLAIMS)} (default: all)")
    parser.add_argument("--tiny", action="store_true", help="sizes that prove the machinery, not the claims")
    parser.add_argument(
        "--size", action="append", default=[], type=_size, metavar="NAME=N", help="another size, such as rows=10000"
    )
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--results", type=Path, help="folder of the JSON files (default: <local>/bench)")
    return parser


def _size(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.replace("_", "").isdecimal():
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: name=number")
    return name, int(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
