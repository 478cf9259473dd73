"""Keeps the counts of what one look measured, and lets old ones go: the monitor calls it before it stores the windows' rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.counting.scheme import STORED_CELLS, scheme_of
from include.lifecycle.monitoring.counting.store import counts_path, forget_windows
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec


def keep_counts(
    rt: Runtime, spec: ModelSpec, counted: Mapping[tuple[Window, int], tuple[Profile, WindowCounts]], now: datetime
) -> None:
    """Write one file per window and version over STORED_CELLS cells; remove what is older than `monitoring.keep_counts`.

    A file is written whole, and again the same by whoever measures the window again: nothing depends on the rows in the table.
    """
    for (window, version), (profile, counts) in counted.items():
        counts.onto(scheme_of(profile, STORED_CELLS)).save(counts_path(rt.storage, spec.name, version, window.start))
    forget_windows(rt.storage, spec.name, now - spec.monitoring.keep_counts)
