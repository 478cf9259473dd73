"""NannyML's side of the monitoring claims, run by the Python of its own environment: knows nothing of this project."""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any


def main(given: dict[str, Any]) -> dict[str, Any]:
    """Univariate drift of one window as one chunk; Wasserstein is divided by the reference's deviation, as the others do."""
    import nannyml
    import pandas

    numeric, categorical = given["numeric"], given["categorical"]
    began, spent = time.monotonic(), time.process_time()
    names = [*numeric, *categorical]
    reference, window = (
        pandas.read_parquet(f"{given['folder']}/{part}.parquet", columns=names) for part in ("reference", "window")
    )
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=names,
        treat_as_categorical=categorical,
        continuous_methods=["wasserstein"],
        categorical_methods=["jensen_shannon"],
        chunk_number=1,
    )
    calculator.fit(reference)
    found = calculator.calculate(window).filter(period="analysis").to_df()
    spread = {name: max(float(reference[name].std(ddof=0)), 1e-3) for name in numeric}
    seconds, cpu = time.monotonic() - began, time.process_time() - spent
    effects = {name: float(found[(name, "wasserstein", "value")].iloc[0]) / spread[name] for name in numeric}
    natural = math.log(2) ** 0.5  # NannyML's logarithm is binary
    effects |= {name: natural * float(found[(name, "jensen_shannon", "value")].iloc[0]) for name in categorical}
    flags = sorted(name for name, effect in effects.items() if effect > given["effect"])
    return {"seconds": seconds, "cpu": cpu, "effects": effects, "flags": flags, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    with open("/proc/self/status", encoding="utf-8") as status:  # noqa: PTH123 - no path arithmetic here
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
