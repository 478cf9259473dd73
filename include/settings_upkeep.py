"""Settings of what looks after an installation: the watchdog beside the gateway, and reconcile. Only settings.py reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from include.lifecycle.errors import SettingsError
from include.lifecycle.units import format_duration, parse_duration

_DURATIONS = {
    "watchdog_poll": ("MODELOPS_WATCHDOG_POLL", "1s"),
    "watchdog_grace": ("MODELOPS_WATCHDOG_GRACE", "3s"),
    "down_after": ("MODELOPS_DOWN_AFTER", "15s"),
    "orphan_after": ("MODELOPS_ORPHAN_AFTER", "10m"),
    "alert_cooldown": ("MODELOPS_ALERT_COOLDOWN", "15m"),
    "recovery_time": ("MODELOPS_RECOVERY_TIME", "1h"),
    "recovery_point": ("MODELOPS_RECOVERY_POINT", "1d"),
}
_LOG = "MODELOPS_GATEWAY_LOG_BYTES"
_SMALLEST_LOG = 1_000_000
_SHORTEST, _LONGEST = timedelta(milliseconds=1), timedelta(days=366)
NAMES = (*(name for name, _ in _DURATIONS.values()), _LOG)


@dataclass(frozen=True)
class UpkeepSettings:
    """Wall times, and `log_bytes`: the access log is rotated beyond this size.

    `watchdog_poll`: between two looks; `watchdog_grace`: a broken limit must stand so long, since the driver acts first;
    `down_after`: a model without a healthy server for so long is a P0; `orphan_after`: a server that no row wants is stopped.
    `alert_cooldown`: for so long after a way back an alert without a version starts no other one.
    A drill fails above `recovery_time` (RTO, of the service) and `recovery_point` (RPO, age of the newest backup).
    """

    watchdog_poll: timedelta = timedelta(seconds=1)
    watchdog_grace: timedelta = timedelta(seconds=3)
    down_after: timedelta = timedelta(seconds=15)
    orphan_after: timedelta = timedelta(minutes=10)
    alert_cooldown: timedelta = timedelta(minutes=15)
    recovery_time: timedelta = timedelta(hours=1)
    recovery_point: timedelta = timedelta(days=1)
    log_bytes: int = 200_000_000


def upkeep_settings(env: Mapping[str, str]) -> UpkeepSettings:
    """Build from `env`; SettingsError names a variable whose value cannot be used, and what is allowed."""
    durations = {field: _duration(name, env.get(name, default)) for field, (name, default) in _DURATIONS.items()}
    return UpkeepSettings(log_bytes=_bytes(env.get(_LOG, str(UpkeepSettings.log_bytes))), **durations)


def _duration(name: str, text: str) -> timedelta:
    allowed = f"a number and a unit of ms, s, m, h or d, from {format_duration(_SHORTEST)} to {format_duration(_LONGEST)}"
    try:
        value = parse_duration(text)
    except ValueError as problem:
        raise SettingsError(f"{name}={text!r}; allowed: {allowed}, such as 15s") from problem
    if not _SHORTEST <= value <= _LONGEST:
        raise SettingsError(f"{name}={text!r}; allowed: {allowed}, such as 15s")
    return value


def _bytes(text: str) -> int:
    if not text.isdecimal() or int(text) < _SMALLEST_LOG:
        raise SettingsError(f"{_LOG}={text!r}; allowed: a whole number of bytes from {_SMALLEST_LOG}")
    return int(text)
