"""Features that are made of the calendar, told by their names: a window of an hour drifts in them by construction."""

from __future__ import annotations

import re

from include.lifecycle.spec import ModelSpec

_CALENDAR = re.compile(r"hour|minute|weekday|weekend|dow|day|week|month|quarter|season|year|date|time|daytime|holiday")
_BESIDE = re.compile(r"of|in|the|is|at|local|utc|event|scheduled|booking")


def calendar_columns(spec: ModelSpec) -> list[str]:
    """Watched features that look so: words of the calendar (`day_of_week`), and nothing that makes a length of them."""
    return [name for name in spec.watched if _looks_so(name)]


def _looks_so(name: str) -> bool:
    words = [word for word in re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_") if word]
    of_calendar = [bool(_CALENDAR.fullmatch(word)) for word in words]
    return any(of_calendar) and all(of or _BESIDE.fullmatch(word) for of, word in zip(of_calendar, words, strict=True))
