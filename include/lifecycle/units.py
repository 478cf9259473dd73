"""Durations as people write them in YAML (`90s`, `5m`, `24h`, `7d`, `100ms`) and back."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PATTERN = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)$")


def parse_duration(value: object) -> timedelta:
    """Read `<number><unit>`; raise ValueError naming what is allowed."""
    if isinstance(value, timedelta):
        return value
    match = _PATTERN.match(str(value).strip())
    if not match:
        raise ValueError(f"{value!r} is no duration: write a number and a unit of ms, s, m, h, d or w, such as 24h")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError:
        raise ValueError(f"{value!r} is too long; the longest is {timedelta.max.days}d") from None


def format_duration(value: timedelta) -> str:
    """The shortest exact form, in the largest unit that divides the value."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(_UNITS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN.pattern, "examples": ["24h", "5m", "90s", "7d"]}),
]


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError(f"{format_duration(value)} is too short; it must be longer than 0s")
    return value


PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
