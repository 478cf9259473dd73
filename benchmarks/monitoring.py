"""Monitoring: drift of 1M rows x 30 columns against Evidently and NannyML, how it grows, and what a fleet of models costs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import MEGABYTE, Bench, Claim, exponent, in_child, median
from benchmarks.monitoring_data import DRIFTED, LENGTH, START, columns_of, spec_of, write_log, write_table

SIZES = {"rows": 1_000_000, "columns": 30, "growth_rows": 10_000_000, "growth_columns": 9, "models": 40}
TINY = {"rows": 20_000, "columns": 6, "growth_rows": 150_000, "growth_columns": 3, "models": 2}
FASTER, SMALLER = 10.0, 1 / 6
EFFECT = 0.1
GROWTH = {"seconds": 1.2, "memory": 0.2}
NANNYML = ("nannyml==0.13.1", "statsmodels", "setuptools<80")
_NANNYML_SECONDS = 1800


def run(bench: Bench) -> list[Claim]:
    """The comparison, the growth, the fleet."""
    from benchmarks.monitoring_fleet import fleet_claims  # here, so that a measured side does not load its servers

    return [*_against_peers(bench), *_growth(bench), *fleet_claims(bench)]


def _prepared(bench: Bench, name: str, rows: int, columns: int) -> dict[str, Any]:
    """Reference, window, log and profile in a folder of their own; the arguments of all sides."""
    folder = bench.folder / name
    folder.mkdir()
    write_table(folder / "reference.parquet", min(rows, 1_000_000), columns, drifted=False, seed=1)
    write_table(folder / "window.parquet", rows, columns, drifted=True, seed=2)
    write_log(folder / "data" / "predictions" / "bench", folder / "window.parquet", rows, columns)
    in_child("benchmarks.monitoring:build", {"folder": str(folder), "columns": columns})
    return {"folder": str(folder), "rows": rows, "columns": columns}


def _against_peers(bench: Bench) -> list[Claim]:
    given = _prepared(bench, "peers", bench.sizes["rows"], bench.sizes["columns"])
    peers = {"evidently": lambda: in_child("benchmarks.monitoring:evidently", given)}
    if python := _nannyml(bench):
        peers["nannyml"] = lambda: _in_its_own(python, given)
    found = bench.interleaved({"ours": lambda: in_child("benchmarks.monitoring:ours", given), **peers})
    claims = []
    for name in peers:
        flags = [
            {side: row["flags"] for side, row in (("ours", one), (name, two))}
            for one, two in zip(found["ours"], found[name], strict=True)
        ]
        if any(pair["ours"] != pair[name] for pair in flags):
            raise AssertionError(f"{name} flags other columns than we do: {flags[0]}")
        sides = {"ours": found["ours"], name: found[name]}
        seconds = {side: median(rows, "cpu") for side, rows in sides.items()}
        memory = {side: median(rows, "peak_bytes") / MEGABYTE for side, rows in sides.items()}
        apart = max(abs(found["ours"][0]["effects"][column] - effect) for column, effect in found[name][0]["effects"].items())
        told = {"runs": sides, "flags": flags[0]["ours"], "largest_difference": apart, "drifted": DRIFTED}
        speed = seconds[name] / seconds["ours"]
        claims.append(Claim(f"monitoring_speed_{name}", seconds["ours"], seconds[name], "CPU s", speed, FASTER, "at_least", told))
        share = memory["ours"] / memory[name]
        claims.append(Claim(f"monitoring_memory_{name}", memory["ours"], memory[name], "MB", share, SMALLER, "at_most", told))
    return claims


def _growth(bench: Bench) -> list[Claim]:
    """A hundredth, a tenth and the whole, counted slice by slice."""
    points: dict[str, list[float]] = {"rows": [], "seconds": [], "memory": []}
    for step in (100, 10, 1):
        rows = bench.sizes["growth_rows"] // step
        given = _prepared(bench, f"growth-{rows}", rows, bench.sizes["growth_columns"])
        found = in_child("benchmarks.monitoring:ours", given)
        bench.say(f"{rows} rows: {found['cpu']:.2f} CPU s, {found['peak_bytes'] / MEGABYTE:.0f} MB")
        points["rows"].append(rows)
        points["seconds"].append(found["cpu"])
        points["memory"].append(found["peak_bytes"] / MEGABYTE)
        shutil.rmtree(given["folder"])
    claims = []
    for what, bar in GROWTH.items():
        slope = exponent(points["rows"], points[what])
        claims.append(Claim(f"growth_monitoring_{what}", slope, None, "exponent", slope, bar, "at_most", points))
    return claims


def build(folder: str, columns: int) -> dict[str, Any]:
    """The version's profile, from the reference table: what registration does once."""
    import pandas

    from include.lifecycle.monitoring.profile import build_profile

    train = pandas.read_parquet(Path(folder) / "reference.parquet")
    holdout = train.iloc[:: max(1, len(train) // 5_000)].reset_index(drop=True)
    build_profile(spec_of(columns), train, holdout, holdout["prediction"].to_numpy(), seed=1).write(Path(folder) / "profile")
    return {"rows": len(train)}


def ours(folder: str, rows: int, columns: int) -> dict[str, Any]:
    """Read the window from the log, slice by slice, count it, and measure every column; as the monitor does."""
    import duckdb  # noqa: F401 - imports are not timed, on no side

    from include.lifecycle.monitoring.counting.large import read_large
    from include.lifecycle.monitoring.drift import check_drift
    from include.lifecycle.monitoring.labels import Labels
    from include.lifecycle.monitoring.profile import read_profile
    from include.lifecycle.monitoring.windows import Window
    from include.lifecycle.runtime import build_runtime
    from include.settings import load_settings

    spec = spec_of(columns)
    rt = build_runtime(load_settings({"MODELOPS_STORAGE": str(Path(folder) / "data"), "MODELOPS_LOCAL": folder}))
    began, spent = time.monotonic(), time.process_time()
    profile, window = read_profile(Path(folder) / "profile"), Window(START, START + LENGTH)
    (predictions,), _ = read_large(spec, rt, window, rows, lambda version: profile, lambda part: Labels({}, np.empty(0)))
    verdicts = check_drift(spec, profile, predictions)
    told = {"seconds": time.monotonic() - began, "cpu": time.process_time() - spent}
    if predictions.total != rows:
        raise AssertionError(f"counted {predictions.total} of {rows} rows")
    return told | _flags({verdict.check.partition(":")[2]: verdict.evidence["effect"] for verdict in verdicts})


def evidently(folder: str, rows: int, columns: int) -> dict[str, Any]:
    """Evidently's DataDriftPreset with the same methods on the same rows."""
    import pandas
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numeric, categorical = columns_of(columns)
    began, spent = time.monotonic(), time.process_time()
    names = [*numeric, *categorical]
    current, reference = (
        pandas.read_parquet(Path(folder) / f"{part}.parquet", columns=names) for part in ("window", "reference")
    )
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
    preset = DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon", num_threshold=EFFECT, cat_threshold=EFFECT)
    sides = [Dataset.from_pandas(side, data_definition=definition) for side in (current, reference)]
    found = Report([preset]).run(*sides).dict()
    told = {"seconds": time.monotonic() - began, "cpu": time.process_time() - spent, "rows": rows}
    metrics = [one for one in found["metrics"] if one["config"].get("column")]
    return told | _flags({one["config"]["column"]: float(one["value"]) for one in metrics})


def _flags(effects: dict[str, float]) -> dict[str, Any]:
    return {"effects": effects, "flags": sorted(name for name, effect in effects.items() if effect > EFFECT)}


def _nannyml(bench: Bench) -> Path | None:
    """The Python of an environment with NannyML; None, with the reason told, where there is none to be had."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    home = bench.folder / "nannyml"
    try:
        subprocess.run([uv, "venv", "--quiet", "--python", "3.11", str(home)], check=True, capture_output=True, text=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), *NANNYML]
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=_NANNYML_SECONDS)
    except (OSError, subprocess.SubprocessError) as problem:
        bench.say(f"NannyML is left out, its environment cannot be made: {getattr(problem, 'stderr', None) or problem}")
        return None
    return home / "bin" / "python"


def _in_its_own(python: Path, given: dict[str, Any]) -> dict[str, Any]:
    numeric, categorical = columns_of(given["columns"])
    told = {"folder": given["folder"], "numeric": numeric, "categorical": categorical, "effect": EFFECT}
    script = Path(__file__).with_name("nannyml_side.py")
    quiet = {"NML_DISABLE_USAGE_LOGGING": "1", "PATH": "/usr/bin:/bin"}
    command = [str(python), str(script), json.dumps(told)]
    done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"NannyML failed:\n{done.stderr.strip()[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
