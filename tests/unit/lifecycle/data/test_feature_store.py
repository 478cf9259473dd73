"""The as-of join: never a value from later, never one that is too old, no row added or lost; against a plain reference."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.data.feature_store import as_of_join
from include.lifecycle.sections.sources import StoreSection

START = datetime(2013, 1, 1, tzinfo=UTC)
UTC_TIME = pa.timestamp("us", tz="UTC")
VIEW = StoreSection(table="visits", entity="who", event_time="seen", columns=["visits"], max_age=timedelta(hours=30))

# whole hours, few entities: equal times, ties and gaps are common
hours = st.integers(0, 100)
entities = st.one_of(st.none(), st.integers(1, 3))
rows_of = st.lists(st.tuples(st.one_of(st.none(), hours), entities), min_size=1, max_size=25)
history_of = st.lists(st.tuples(st.one_of(st.none(), hours), entities, st.one_of(st.none(), st.integers(0, 99))), max_size=40)


def moment(hour: int | None) -> datetime | None:
    return None if hour is None else START + timedelta(hours=hour)


def joined(rows: list[tuple[int | None, int | None]], history: list[tuple[int | None, int | None, int | None]]) -> pd.DataFrame:
    with TemporaryDirectory() as name:
        folder = Path(name)
        table = {
            "id": pa.array(range(len(rows)), pa.int64()),
            "at": pa.array([moment(at) for at, _ in rows], UTC_TIME),
            "who": pa.array([who for _, who in rows], pa.int64()),
        }
        pq.write_table(pa.table(table), folder / "rows.parquet")
        past = {
            "who": pa.array([None if who is None else str(who) for _, who, _ in history], pa.string()),
            "seen": pa.array([moment(at) for at, _, _ in history], UTC_TIME),
            "visits": pa.array([value for _, _, value in history], pa.float64()),
        }
        pq.write_table(pa.table(past), folder / "history.parquet")
        as_of_join(folder / "rows.parquet", folder / "history.parquet", folder / "joined.parquet", VIEW, "at", "id")
        return pd.read_parquet(folder / "joined.parquet")


def expected(
    at: int | None, who: int | None, history: list[tuple[int | None, int | None, int | None]]
) -> tuple[int | None, set[float | None]]:
    """Hour of the value that counts, and the values that were known at that hour."""
    if at is None or who is None:
        return None, {None}
    known = [hour for hour, entity, _ in history if hour is not None and entity == who and at - 30 <= hour <= at]
    if not known:
        return None, {None}
    return max(known), {value for hour, entity, value in history if hour == max(known) and entity == who}


@settings(max_examples=60, deadline=None)
@given(rows_of, history_of)
def test_no_value_from_later_is_ever_joined(rows, history):
    table = joined(rows, history)
    assert sorted(table["id"]) == list(range(len(rows)))
    for _, row in table.iterrows():
        at, who = rows[int(row["id"])]
        _, allowed = expected(at, who, history)
        got = None if pd.isna(row["visits"]) else row["visits"]
        # of several values at one moment the largest counts, and a known one before an unknown
        known = [value for value in allowed if value is not None]
        assert got == (max(known) if known else None)


@settings(max_examples=30, deadline=None)
@given(rows_of, history_of, st.integers(0, 100))
def test_what_happens_later_changes_nothing(rows, history, now):
    """Values after `now` may be anything: rows up to `now` stay as they are."""
    before = joined(rows, [entry for entry in history if entry[0] is None or entry[0] <= now])
    after = joined(rows, history)
    early = [number for number, (at, _) in enumerate(rows) if at is not None and at <= now]
    for table in (before, after):
        table.set_index("id", inplace=True)
    pd.testing.assert_series_equal(before.loc[early, "visits"], after.loc[early, "visits"])


def test_rows_come_sorted_and_a_value_lives_exactly_max_age():
    table = joined([(40, 1), (10, 1), (41, 1)], [(10, 1, 7)])
    assert table["id"].tolist() == [1, 0, 2]
    assert table["visits"].tolist()[:2] == [7, 7]
    assert pd.isna(table["visits"].iloc[2])
