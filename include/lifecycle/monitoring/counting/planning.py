"""Which slices of which windows are worth tasks of their own: those of windows that are due and too large for memory."""

from __future__ import annotations

from include.lifecycle.database import transaction
from include.lifecycle.monitoring.counting.shards import Shard
from include.lifecycle.monitoring.counting.slices import estimated_rows, slices
from include.lifecycle.monitoring.windows import finished_windows, read_measured, windows_back
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec


def plan_shards(spec: ModelSpec, rt: Runtime) -> list[Shard]:
    """Shards of every window that was never measured and holds more than one slice; the database is asked only when there may be
    such a window. What is measured once more (late labels) the monitor counts itself."""
    rules, folder = spec.monitoring, rt.storage.predictions(spec.name)
    windows = finished_windows(rt.clock.now(), rules.window, windows_back(spec))
    if rules.counting == "exact" or rules.window_by != "time":
        return []
    if estimated_rows(folder, windows[0].start, windows[-1].end) <= max(rules.exact_rows, rules.slice_rows):
        return []
    with transaction(rt.engine) as connection:
        known = {window for window, _ in read_measured(connection, spec.name, windows[0].start)}
    found = []
    for window in windows:
        rows = estimated_rows(folder, window.start, window.end)
        parts = slices(window, rows, rules.slice_rows)
        if window not in known and rows > rules.exact_rows and len(parts) > 1:
            found += [Shard(spec.name, window, part) for part in parts]
    return found
