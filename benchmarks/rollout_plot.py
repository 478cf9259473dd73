"""`python -m benchmarks.rollout_plot RESULTS FILE.png`: draws what rollout_statistics found, for docs/rollout-analysis.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

POINTS, FACTORS = ("2", "5", "10"), ("1.2", "1.5", "2")
COLOURS = {"ours": "#1f77b4", "flagger 95 %": "#ff7f0e", "flagger 500 ms": "#ff7f0e", "kayenta": "#7f7f7f"}


def main(arguments: list[str]) -> int:
    """Draw both panels: errors and latency on independent streams."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder, target = Path(arguments[0]), Path(arguments[1])
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), dpi=90, sharey=True)
    errors = [_details(folder, f"rollout_catch_{one}_points")["streams"]["independent"] for one in POINTS]
    _panel(left, errors, [f"+{one}" for one in POINTS], ("ours", "flagger 95 %", "kayenta"))
    left.set(xlabel="points of error above the champion's 1 %", ylabel="canary requests until rolled back")
    latency = [_details(folder, f"rollout_catch_{one}x_latency")["independent"] for one in FACTORS]
    _panel(right, latency, [f"{one}x" for one in FACTORS], ("ours", "flagger 500 ms", "kayenta"))
    right.set(xlabel="latency, champion's median 100 ms")
    figure.tight_layout()
    figure.savefig(target, metadata={"Software": None})
    return 0


def _details(folder: Path, claim: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{claim}.json").read_text(encoding="utf-8"))["details"]
    return found


def _panel(axes: Any, found: list[dict[str, Any]], labels: list[str], judges: tuple[str, ...]) -> None:
    """Bars from median (filled) with a line to the 90th percentile; a judge that never stops most streams has none."""
    for number, judge in enumerate(judges):
        places = [place + 0.27 * (number - 1) for place in range(len(found))]
        medians = [one[judge]["median"] or 0 for one in found]
        late = [
            max((one[judge]["p90"] or one[judge]["median"] or 0) - median, 0) for one, median in zip(found, medians, strict=True)
        ]
        axes.bar(
            places, medians, 0.25, yerr=[[0] * len(late), late], color=COLOURS[judge], label=judge, capsize=2, ecolor="#444444"
        )
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yscale("log")
    axes.legend(fontsize=8, frameon=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
