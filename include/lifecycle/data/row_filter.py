"""What of the rows that were read is written: not the immature, not those of faulted windows, not those outside the hash sample.

The database filters what it can; this filters batches by the same rules, and counts each reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from include.lifecycle.data.exclusion import ExcludedWindow, outside
from include.lifecycle.data.sampling import bucket_of

if TYPE_CHECKING:
    import pyarrow


@dataclass
class RowFilter:
    """Filter and tally of one fetch.

    `cutoff`: rows with an event time at or after it have labels that may still change; None: the query sees to that itself.
    `sample`: (column, number of hash buckets to keep), None where the database samples, or everything fits.
    """

    event_time: str
    excluded_windows: Sequence[ExcludedWindow] = ()
    cutoff: datetime | None = None
    sample: tuple[str, int] | None = None
    read: int = field(default=0, init=False)
    immature: int = field(default=0, init=False)
    excluded: int = field(default=0, init=False)
    written: int = field(default=0, init=False)

    def keep(self, table: pyarrow.Table) -> pyarrow.Table:
        """The rows to write; `table` holds the training schema. Rows without an event time pass: validation names them."""
        self.read += table.num_rows
        table = self._sampled(table)
        table, self.immature = self._mature(table)
        table, self.excluded = self._trusted(table)
        self.written += table.num_rows
        return table

    def _sampled(self, table: pyarrow.Table) -> pyarrow.Table:
        import pyarrow as pa

        if self.sample is None:
            return table
        column, share = self.sample
        return table.filter(pa.array([bucket_of(str(key)) < share for key in table.column(column).to_pylist()], pa.bool_()))

    def _mature(self, table: pyarrow.Table) -> tuple[pyarrow.Table, int]:
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.cutoff is None:
            return table, self.immature
        cutoff = pa.scalar(self.cutoff, pa.timestamp("us", tz="UTC"))
        kept = table.filter(pc.fill_null(pc.less(table.column(self.event_time), cutoff), True))
        return kept, self.immature + table.num_rows - kept.num_rows

    def _trusted(self, table: pyarrow.Table) -> tuple[pyarrow.Table, int]:
        if not self.excluded_windows or not table.num_rows:
            return table, self.excluded
        kept = table.filter(outside(table.column(self.event_time).combine_chunks(), self.excluded_windows))
        return kept, self.excluded + table.num_rows - kept.num_rows
