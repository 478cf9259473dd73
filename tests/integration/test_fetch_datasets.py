"""fetch_data from Parquet and CSV files, on disk and on S3: window, labels, samples, bad files; data given to one training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.lifecycle.data.fetch import fetch_data
from include.lifecycle.data.s3 import S3Account
from include.lifecycle.data.sampling import bucket_of
from include.lifecycle.errors import DataInvalidError, SourceQueryError, SpecInvalidError
from include.lifecycle.monitoring.labels import fetch_labels
from include.lifecycle.results import FetchedData
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from tests.conftest import NOW
from tests.integration.s3_server import BUCKET, KEY, SECRET, S3Server, s3_server
from tests.integration.trips_source import trips_order
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
RUN = RunContext("trips", "r1", "fetch_data")
FIRST = datetime(2013, 1, 1, tzinfo=UTC)


def trips(rows: int = 3000) -> pd.DataFrame:
    """Trips from January 2013 over 212 days, newest first in the file; the outcome is known six hours later."""
    rng = np.random.default_rng(5)
    at = pd.to_datetime([FIRST + timedelta(days=212 * i / rows) for i in range(rows)]).floor("s")
    table = pd.DataFrame({"trip_id": range(rows), "starts_at": at, "known_at": at + pd.Timedelta(hours=6)})
    table["distance"] = rng.integers(100, 900, rows)
    table["wind"] = np.where(rng.random(rows) < 0.1, np.nan, rng.random(rows) * 30)
    table["carrier"] = [f"C{i % 7}" for i in range(rows)]
    table["hour"] = [f"h{i % 24}" for i in range(rows)]
    table["late"] = (rng.random(rows) < 0.3).astype(int)
    return table.iloc[::-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trips in three Parquet files with typed times, in three without a zone, and in CSV files with text."""
    root, table = tmp_path_factory.mktemp("files"), trips()
    for place, part in enumerate(np.array_split(np.arange(len(table)), 3)):
        for name in ("typed", "naive", "csv"):
            (root / name / f"part={place}").mkdir(parents=True)
        rows = table.iloc[part]
        rows.to_parquet(root / "typed" / f"part={place}" / "a.parquet", index=False)
        rows.assign(starts_at=rows["starts_at"].dt.tz_localize(None)).to_parquet(
            root / "naive" / f"part={place}" / "a.parquet", index=False
        )
        rows.to_csv(root / "csv" / f"part={place}" / "a.csv", index=False)
    return root


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        for file in (folder / "typed").rglob("*.parquet"):
            server.client.upload_file(str(file), BUCKET, f"trips/{file.parent.name}/{file.name}")
        yield server


@pytest.fixture
def local(make_runtime: Callable[..., Runtime], folder: Path) -> Runtime:
    return make_runtime(MODELOPS_TRAINING_DATA=f"{folder}, s3://{BUCKET}/trips")


def dataset_spec(path: object, kind: str = "parquet", **data: object) -> ModelSpec:
    source = {"connection": None, "query": None, "dataset": {"path": str(path), "format": kind}}
    return make_spec(data=source | data, labels={"query": None, "known_at": "known_at"})


def in_window(table: pd.DataFrame) -> pd.DataFrame:
    order = trips_order()
    inside = (table["starts_at"] >= order.window_start) & (table["starts_at"] < order.window_end)
    return table[inside].sort_values("starts_at", ignore_index=True)


def check_rows(fetched: FetchedData) -> None:
    frame, wanted = pd.read_parquet(fetched.path), in_window(trips())
    assert fetched.rows == fetched.rows_in_window == len(wanted)
    assert frame["trip_id"].tolist() == wanted["trip_id"].astype(str).tolist()
    assert frame["starts_at"].tolist() == wanted["starts_at"].tolist()
    np.testing.assert_allclose(frame["wind"], wanted["wind"])
    assert frame["late"].tolist() == wanted["late"].tolist()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("typed", "parquet"), ("naive", "parquet"), ("typed/*/a.parquet", "parquet"), ("csv", "csv"), ("csv/part=*/*.csv", "csv")],
)
def test_the_window_of_local_files_sorted_by_time(local: Runtime, folder: Path, path: str, kind: str):
    check_rows(fetch_data(dataset_spec(folder / path, kind), local, RUN, trips_order()))


def test_one_file_and_a_path_below_the_project(make_runtime: Callable[..., Runtime], tmp_path: Path):
    trips().to_csv(tmp_path / "trips.csv", index=False)
    check_rows(fetch_data(dataset_spec("trips.csv", "csv"), make_runtime(MODELOPS_HOME=str(tmp_path)), RUN, trips_order()))


@pytest.mark.parametrize("path", [f"s3://{BUCKET}/trips", f"s3://{BUCKET}/trips/*/*.parquet"])
def test_files_on_s3_by_settings_and_by_connection(make_runtime: Callable[..., Runtime], s3: S3Server, path: str):
    check_rows(fetch_data(dataset_spec(path), make_runtime(**s3.environment), RUN, trips_order()))
    account = S3Account(endpoint=s3.endpoint, region="us-east-1", access_key=KEY, secret_key=SECRET)
    check_rows(fetch_data(dataset_spec(path, connection="lake"), make_runtime(), RUN, trips_order(), account))
    assert SECRET not in repr(account)


def test_a_bucket_that_is_not_there_is_named(make_runtime: Callable[..., Runtime], s3: S3Server):
    for path in ("s3://nobody-has-this/x", f"s3://{BUCKET}/none/*.parquet"):
        with pytest.raises(SourceQueryError, match=path.replace("*", r"\*")):
            fetch_data(dataset_spec(path), make_runtime(**s3.environment), RUN, trips_order())


def test_outcomes_that_were_not_known_stay_out(local: Runtime, folder: Path):
    order = trips_order(as_of=datetime(2013, 5, 1, tzinfo=UTC))
    late = trips().assign(known_at=pd.Timestamp("2013-06-01", tz="UTC"))
    late.iloc[:2000].to_parquet(folder / "late.parquet", index=False)
    with pytest.raises(DataInvalidError, match="the dataset returns no rows"):
        fetch_data(dataset_spec(folder / "late.parquet"), local, RUN, order)


def test_over_the_cap_the_same_hash_sample_as_a_database_takes(local: Runtime, folder: Path):
    fetched = fetch_data(dataset_spec(folder / "typed", max_rows=800), local, RUN, trips_order())
    keys = set(pd.read_parquet(fetched.path)["trip_id"])
    threshold = max(map(bucket_of, keys))
    assert 700 < fetched.rows <= 800
    assert keys == {key for key in in_window(trips())["trip_id"].astype(str) if bucket_of(key) <= threshold}


def test_labels_are_the_datasets_target(local: Runtime, folder: Path):
    span = datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 3, 8, tzinfo=UTC)
    wanted = trips()
    wanted = wanted[(wanted["starts_at"] >= span[0]) & (wanted["starts_at"] < span[1])]
    for kind in ("typed", "csv"):
        spec = dataset_spec(folder / kind, "csv" if kind == "csv" else "parquet")
        found = fetch_labels(spec, local.settings, None, *span, NOW)
        assert {key for key, _ in found.positions} == set(wanted["trip_id"].astype(str))
        assert sum(found.values) == wanted["late"].sum()
        assert not fetch_labels(spec, local.settings, None, *span, span[0] + timedelta(hours=1)).positions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="wind"), "declared column 'wind'"),
        (lambda table: table.drop(columns="starts_at"), "has no column 'starts_at'. It has trip_id"),
        (lambda table: table.assign(starts_at="soon"), "dataset .* cannot be read: .*soon"),
    ],
)
def test_files_that_cannot_be_trained_on(
    local: Runtime, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
):
    change(trips()).to_parquet(tmp_path / "bad.parquet", index=False)
    with pytest.raises((DataInvalidError, SourceQueryError), match=message):
        fetch_data(dataset_spec(tmp_path / "bad.parquet"), local, RUN, trips_order())
    (tmp_path / "bad.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(SourceQueryError, match=r"bad\.parquet cannot be read"):
        fetch_data(dataset_spec(tmp_path / "bad.parquet"), local, RUN, trips_order())


def test_data_given_to_one_training_is_read_in_place_of_the_query(local: Runtime, folder: Path):
    order = trips_order().model_copy(update={"overrides": {"data": str(folder / "typed")}})
    fetched = fetch_data(make_spec(), local, RUN, order)
    check_rows(fetched)
    assert fetched.source == f"dataset {folder / 'typed'}"
    assert local.ledger.read("trips", kind="training")[0]["evidence"]["source"] == fetched.source


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{folder}/../elsewhere.csv", "s3://other/x.parquet", f"s3://{BUCKET}/trips/../x"]
)
def test_data_from_elsewhere_is_refused(local: Runtime, folder: Path, path: str):
    order = trips_order().model_copy(update={"overrides": {"data": path.format(folder=folder)}})
    with pytest.raises(SpecInvalidError, match=r"allowed: files below .*MODELOPS_TRAINING_DATA"):
        fetch_data(make_spec(), local, RUN, order)
