"""The periodic reports' charts as SVG text: lines over event time, and a map of columns by windows. Same numbers, same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

import numpy as np

from include.lifecycle.evaluation.plots import COLOURS, WIDTH, line_chart

MOST_CELLS = 48
"""Stretches of time on a map; more windows than that are drawn together, each stretch by its largest value."""
_STEPS = ((1.0, "#eaf5ea"), (1.25, "#fff3cd"), (2.0, "#f7b267"), (math.inf, "#cf222e"))
_UNKNOWN = "#f6f8fa"
_LEFT, _CELL, _HEIGHT = 150, 11, 16

Series = tuple[str, Sequence[tuple[datetime, float]]]


def over_time(title: str, up: str, start: datetime, series: Sequence[Series]) -> tuple[str, str]:
    """(title, SVG) of named values at times; the axis counts days from `start`."""
    lines = []
    for _, points in series:
        known = [(at, value) for at, value in points if value is not None and math.isfinite(value)]
        days = np.array([(at - start).total_seconds() / 86400 for at, _ in known], dtype=np.float64)
        lines.append(("", days, np.array([value for _, value in known], dtype=np.float64)))
    chart = line_chart(title, f"days from {start:%Y-%m-%d}", up, lines)
    return title, chart.removesuffix("</svg>") + _legend([name for name, _ in series]) + "</svg>"


def ratio_map(title: str, rows: Mapping[str, Mapping[datetime, float]], times: Sequence[datetime]) -> tuple[str, str]:
    """(title, SVG) of value / threshold by row and time: green within the threshold, yellow to red above it, grey unknown."""
    stretches = _stretches(times)
    width, height = _LEFT + _CELL * max(len(stretches), 1) + 10, 44 + _HEIGHT * len(rows)
    parts = [f'<text x="8" y="14" font-weight="bold">{escape(title)}</text>']
    for line, (name, values) in enumerate(rows.items()):
        top = 24 + line * _HEIGHT
        parts.append(f'<text x="{_LEFT - 6}" y="{top + 11}" text-anchor="end">{escape(name[:24])}</text>')
        parts += [_cell(place, top, stretch, values) for place, stretch in enumerate(stretches)]
    if stretches:
        base = height - 8
        parts.append(f'<text x="{_LEFT}" y="{base}">{stretches[0][0]:%Y-%m-%d %H:%M}</text>')
        parts.append(f'<text x="{width - 10}" y="{base}" text-anchor="end">{stretches[-1][-1]:%m-%d %H:%M}</text>')
    wide = max(width, _LEFT + 230)
    return title, (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{height}" role="img" aria-label="{escape(title)}" '
        f'font-family="sans-serif" font-size="10" fill="#24292f">{"".join(parts)}</svg>'
    )


def _legend(names: Sequence[str]) -> str:
    """The lines' names beside the title, where no line can cross them."""
    if len(names) < 2:
        return ""
    told = [f'<tspan fill="{COLOURS[place % len(COLOURS)]}"> {escape(name)}</tspan>' for place, name in enumerate(names)]
    return f'<text x="{WIDTH - 8}" y="14" text-anchor="end">{"".join(told)}</text>'


def _stretches(times: Sequence[datetime]) -> list[list[datetime]]:
    ordered = sorted(set(times))
    size = math.ceil(len(ordered) / MOST_CELLS) or 1
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]


def _cell(place: int, top: int, stretch: Sequence[datetime], values: Mapping[datetime, float]) -> str:
    known = [values[at] for at in stretch if at in values]
    colour = next(colour for limit, colour in _STEPS if max(known) <= limit) if known else _UNKNOWN
    told = f"{stretch[0]:%Y-%m-%d %H:%M}: {max(known):.2f} x threshold" if known else f"{stretch[0]:%Y-%m-%d %H:%M}: not known"
    x = _LEFT + place * _CELL
    return f'<rect x="{x}" y="{top}" width="{_CELL - 1}" height="{_HEIGHT - 2}" fill="{colour}"><title>{told}</title></rect>'
