"""Small SVG charts for the evaluation's page, made by hand: no plotting library in a task, same numbers, same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from include.lifecycle.statistics.intervals import Floats

WIDTH, HEIGHT, PAD = 340, 240, 48
COLOURS = ("#1f6feb", "#bf8700", "#8250df", "#cf222e", "#1a7f37")
MOST_POINTS = 400
Line = tuple[str, Floats, Floats]


def line_chart(title: str, across: str, up: str, lines: Sequence[Line], *, diagonal: bool = False, dots: bool = False) -> str:
    """Named lines of (x (k,), y (k,)) in one frame; long ones are thinned; `dots` draws points instead."""
    frame = _Frame.around([x for _, x, _ in lines], [y for _, _, y in lines])
    parts = [frame.axes(title, across, up)]
    if diagonal:
        parts.append(frame.path([frame.left, frame.right], [frame.left, frame.right], "#8c959f", dashed=True))
    for number, (_, x, y) in enumerate(lines):
        step = max(1, math.ceil(len(x) / MOST_POINTS))
        thin_x, thin_y = [*x[::step].tolist(), *x[-1:].tolist()], [*y[::step].tolist(), *y[-1:].tolist()]
        colour = COLOURS[number % len(COLOURS)]
        parts.append(frame.dots(thin_x, thin_y, colour) if dots else frame.path(thin_x, thin_y, colour))
    return _svg(title, [*parts, _legend([name for name, _, _ in lines])])


def bar_chart(title: str, bars: Sequence[tuple[str, float, float | None, float | None]]) -> str:
    """Horizontal bars (name, value, lower, upper), the interval as a thin line; at most twenty."""
    shown = [bar for bar in bars if math.isfinite(bar[1])][:20]
    ends = [end for bar in shown for end in bar[1:] if end is not None and math.isfinite(end)] + [0.0]
    low, high = min(ends), max(ends)
    scale = (WIDTH - 160) / ((high - low) or 1.0)
    parts, row = [], 18
    for place, (name, value, lower, upper) in enumerate(shown):
        top = 26 + place * row
        zero, end = 150 + (0.0 - low) * scale, 150 + (value - low) * scale
        parts.append(f'<text x="144" y="{top + 10}" text-anchor="end">{escape(name[:24])}</text>')
        parts.append(f'<rect x="{min(zero, end):.1f}" y="{top}" width="{abs(end - zero):.1f}" height="12" fill="{COLOURS[0]}"/>')
        if lower is not None and upper is not None:
            first, last = 150 + (lower - low) * scale, 150 + (upper - low) * scale
            parts.append(f'<path d="M{first:.1f} {top + 6}H{last:.1f}" stroke="#24292f"/>')
    head = f'<text x="8" y="14" font-weight="bold">{escape(title)}</text>'
    return _svg(title, [head, *parts], height=34 + row * max(1, len(shown)))


class _Frame:
    """A plotting area with linear axes."""

    def __init__(self, left: float, right: float, bottom: float, top: float) -> None:
        self.left, self.right, self.bottom, self.top = left, right, bottom, top

    @classmethod
    def around(cls, xs: Sequence[Floats], ys: Sequence[Floats]) -> _Frame:
        """The frame that holds all points; a single value gets an axis of length 1, no point at all the unit square."""
        flat_x = [float(value) for part in xs if len(part) for value in (part.min(), part.max())] or [0.0, 1.0]
        flat_y = [float(value) for part in ys if len(part) for value in (part.min(), part.max())] or [0.0, 1.0]
        left, right, bottom, top = min(flat_x), max(flat_x), min(flat_y), max(flat_y)
        return cls(left, right if right > left else left + 1, bottom, top if top > bottom else bottom + 1)

    def _at(self, x: float, y: float) -> str:
        across = PAD + (x - self.left) / (self.right - self.left) * (WIDTH - PAD - 10)
        down = HEIGHT - PAD - (y - self.bottom) / (self.top - self.bottom) * (HEIGHT - PAD - 26)
        return f"{across:.1f} {down:.1f}"

    def path(self, x: Sequence[float], y: Sequence[float], colour: str, *, dashed: bool = False) -> str:
        """A line through the points."""
        points = "L".join(self._at(one, other) for one, other in zip(x, y, strict=True))
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        return f'<path d="M{points}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>'

    def dots(self, x: Sequence[float], y: Sequence[float], colour: str) -> str:
        """The points alone."""
        points = "".join(f"M{self._at(one, other)}h0" for one, other in zip(x, y, strict=True))
        return f'<path d="{points}" fill="none" stroke="{colour}" stroke-width="3" stroke-linecap="round" opacity="0.4"/>'

    def axes(self, title: str, across: str, up: str) -> str:
        """Title, both axes with their ends, and what they show."""
        base = HEIGHT - PAD
        return (
            f'<text x="8" y="14" font-weight="bold">{escape(title)}</text>'
            f'<path d="M{PAD} 26V{base}H{WIDTH - 10}" fill="none" stroke="#57606a"/>'
            f'<text x="{PAD}" y="{base + 12}">{self.left:.3g}</text>'
            f'<text x="{WIDTH - 10}" y="{base + 12}" text-anchor="end">{self.right:.3g}</text>'
            f'<text x="{WIDTH / 2}" y="{base + 24}" text-anchor="middle">{escape(across)}</text>'
            f'<text x="{PAD - 4}" y="{base}" text-anchor="end">{self.bottom:.3g}</text>'
            f'<text x="{PAD - 4}" y="34" text-anchor="end">{self.top:.3g}</text>'
            f'<text x="{PAD + 6}" y="36">{escape(up)}</text>'
        )


def _legend(names: Sequence[str]) -> str:
    shown = names if len(names) > 1 else []
    return "".join(
        f'<text x="{WIDTH - 14}" y="{HEIGHT - PAD - 8 - 13 * place}" text-anchor="end" fill="{COLOURS[place % len(COLOURS)]}">'
        f"{escape(name)}</text>"
        for place, name in enumerate(shown)
    )


def _svg(title: str, parts: Sequence[str], *, height: int = HEIGHT) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}" '
        f'font-family="sans-serif" font-size="10" fill="#24292f">{"".join(parts)}</svg>'
    )
