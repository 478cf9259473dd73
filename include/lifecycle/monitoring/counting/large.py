"""A window that is too large for memory, one slice after the other: counts of all of its rows, a sample of them, their labels.

Memory is that of one slice and the sample, whatever the window's rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.counting.sampling import Sample
from include.lifecycle.monitoring.counting.shards import ProfileOf, Shard, read_slice, stored_shard
from include.lifecycle.monitoring.counting.slices import slices
from include.lifecycle.monitoring.labels import Labels
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec

LabelsOf = Callable[[Window], Labels]


@dataclass
class _Found:
    """What the slices so far hold, by version; `labels` of sampled rows only."""

    counts: dict[int, WindowCounts] = field(default_factory=dict)
    samples: dict[int, Sample] = field(default_factory=dict)
    positions: dict[tuple[str, int], float] = field(default_factory=dict)


def read_large(
    spec: ModelSpec, rt: Runtime, window: Window, rows: int, profile_of: ProfileOf, labels_of: LabelsOf
) -> tuple[list[Predictions], Labels]:
    """Each version's sample of the window with the counts of all its rows, and the labels of sampled rows.

    `rows`: about how many the window has. `labels_of` is asked once per slice. Shards that are there are not counted again.
    """
    size = spec.monitoring.sample_rows
    share, found = min(1.0, 1.2 * size / max(rows, 1)), _Found()
    for part in slices(window, rows, spec.monitoring.slice_rows):
        counted = stored_shard(rt.storage, Shard(spec.name, window, part))
        for version, one in read_slice(spec, rt, part, profile_of, counted, share).items():
            if one.counts is not None:
                known = found.counts.get(version)
                found.counts[version] = one.counts if known is None else known.merge(one.counts)
            if one.sample is not None:
                found.samples.setdefault(version, Sample(version, size)).add(one.sample, one.rows)
        _keep_labels(found, labels_of(part), part)
    whole = [replace(sample.whole(window), counts=found.counts.get(version)) for version, sample in sorted(found.samples.items())]
    places = {pair: place for place, pair in enumerate(found.positions)}
    return whole, Labels(places, np.array(list(found.positions.values()), dtype=np.float64))


def _keep_labels(found: _Found, labels: Labels, part: Window) -> None:
    """Of this slice's labels those that a sampled row may ask for."""
    for sample in found.samples.values():
        newest = sample.held[-1]
        if newest.window != part:
            continue
        values = labels.match(newest.keys, newest.times)
        some = np.isfinite(values)
        pairs = zip(newest.keys[some].tolist(), newest.times[some].tolist(), strict=True)
        found.positions.update(zip(pairs, values[some].tolist(), strict=True))
