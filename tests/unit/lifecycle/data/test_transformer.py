"""Own feature code in training: what it may be, that a row stands alone, and that the copy beside the tables is what ran."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.lifecycle.cli import main
from include.lifecycle.clock import FixedClock
from include.lifecycle.data.preparation import prepare_data
from include.lifecycle.data.transformer import source_digest, transformer_copy, with_features
from include.lifecycle.data.transformer_source import source_problem
from include.lifecycle.data.types import required_columns
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.loading import load_model
from include.lifecycle.registry.scoring import describe
from include.lifecycle.results import FetchedData, TrainingOrder
from include.lifecycle.runtime import RunContext, build_runtime
from include.settings import load_settings
from tests.unit.lifecycle.conftest import CHURN, Project
from tests.unit.lifecycle.data.test_preparation import START, trips
from tests.unit.lifecycle.training.spec_for_tests import make_spec

GOOD = """\
import numpy as np

def transform(rows):
    rows["far"] = np.log1p(rows["distance"])
    rows["route"] = rows["carrier"].str.upper() + "-" + rows["hour"]
    return rows
"""
FEATURES = {
    "numeric": ["far", "wind"],
    "categorical": ["route"],
    "transformer": "trips:transform",
    "inputs": {"numeric": ["distance", "wind"], "categorical": ["carrier", "hour"]},
}
SPEC = make_spec(features=FEATURES)


def write(home: Path, text: str) -> Path:
    file = home / "include" / "features" / "trips.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def rows() -> pd.DataFrame:
    return trips(400).assign(wind=3.0)


def test_query_and_request_hold_the_inputs_and_the_model_reads_the_features():
    assert required_columns(SPEC) == ["trip_id", "starts_at", "late", "distance", "wind", "carrier", "hour"]
    served = describe(SPEC, version=1, engine="onnx")
    assert [column.name for column in served.inputs] == ["distance", "wind", "carrier", "hour"]
    assert [column.name for column in served.model_columns] == ["far", "wind", "route"]
    assert served.transformer == "transform"


def test_prepare_adds_the_features_and_keeps_the_source(tmp_path: Path):
    file = write(tmp_path, GOOD)
    rt = build_runtime(load_settings({"MODELOPS_HOME": str(tmp_path)}), FixedClock(START))
    rows().to_parquet(tmp_path / "data.parquet")
    fetched = FetchedData(path=tmp_path / "data.parquet", rows=400, rows_in_window=400, columns=[], seconds=0)
    order = TrainingOrder(
        model="trips", request_ids=[], source="manual", reason="", as_of=START, window_start=START, window_end=START
    )
    prepared = prepare_data(SPEC, rt, RunContext("trips", "r1", "prepare_data"), order, fetched)
    train = pd.read_parquet(prepared.train)
    np.testing.assert_allclose(train["far"], np.log1p(train["distance"]))
    assert train["route"].dropna().str.fullmatch(r"C1-\d+").all()
    assert train["route"].isna().sum() == train["carrier"].isna().sum() > 0
    copy = transformer_copy(prepared.train)
    assert copy is not None
    assert copy.read_bytes() == file.read_bytes()
    assert source_digest(prepared.train) == hashlib.sha256(GOOD.encode()).hexdigest()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("rows['far'] = rows['distance'] / rows['distance'].mean()", "far of 1[0-9]+ of 200 rows changes with the other rows"),
        ("rows['far'] = range(len(rows))", "far of .* changes with the other rows"),
        ("rows = rows.head(3).assign(far=1.0)", "returned 3 rows for 400"),
        ("rows = rows.iloc[::-1].assign(far=1.0)", "returned 400 rows for 400, or in another order"),
        ("pass", "leaves out far, which features lists"),
        ("rows['far'] = 'x'", "makes far as str; a number is expected"),
        ("rows = [1]", "returned list; a pandas.DataFrame is expected"),
        ("rows['nope']", "failed: KeyError: 'nope'"),
    ],
)
def test_a_broken_contract_is_named(tmp_path: Path, body: str, told: str):
    write(tmp_path, f"def transform(rows):\n    rows['route'] = rows['hour']\n    {body}\n    return rows\n")
    with pytest.raises(DataInvalidError, match=f"model trips, features.transformer trips:transform: transformer .*{told}"):
        with_features(SPEC, tmp_path, rows(), tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD, None),
        ("def transfrom(rows): return rows\n", "it defines no function 'transform'"),
        ("def transform(rows: return rows\n", "line 1: "),
        ("from include.features.shared import f\ndef transform(rows): return rows\n", "line 1: it imports code of this project"),
        ("def transform(rows):\n    import include.settings\n    return rows\n", "line 2: it imports code of this project"),
        ("from . import shared\ndef transform(rows): return rows\n", "line 1: it imports code of this project"),
    ],
)
def test_what_a_source_may_be(text: str, told: str | None):
    problem = source_problem(text, "transform")
    assert (problem is None) if told is None else (problem is not None and told in problem)


def with_transformer(extra: str) -> str:
    return CHURN.replace("categorical: [plan]}", f"categorical: [plan], {extra}}}")


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("transformer: 'trips:transform'", "features.transformer: its inputs are not named"),
        ("transformer: 'trip:transform', inputs: {numeric: [age]}", "include/features/trip.py; did you mean 'trips'"),
        ("transformer: 'trips:transfrm', inputs: {numeric: [age]}", "no function 'transfrm'; did you mean 'transform'"),
        ("inputs: {numeric: [age]}", "features.inputs: without features.transformer the features themselves are read"),
        ("transformer: 'trips:transform', inputs: {numeric: [age, left]}", "'left' is data.target and cannot be an input"),
        ("transformer: '../trips.py', inputs: {numeric: [age]}", "features.transformer"),
    ],
)
def test_wrong_declarations_are_told_at_lint(project: Project, extra: str, told: str):
    write(project.home, GOOD)
    (problem,) = project.problems(with_transformer(extra))
    assert told in problem
    assert problem.startswith("churn.yaml:7:")


def test_a_right_declaration_loads(project: Project):
    write(project.home, GOOD)
    project.write(with_transformer("transformer: 'trips:transform', inputs: {numeric: [age], categorical: [plan]}"))
    assert load_model("churn", settings=project.settings).features.read == ["age", "plan"]


def test_lint_says_what_own_code_costs_at_serving(project: Project, capsys: pytest.CaptureFixture[str]):
    write(project.home, GOOD)
    assert main(["lint", "churn"], settings=project.settings) == 0
    assert "not served by ONNX alone" not in capsys.readouterr().out
    project.write(with_transformer("transformer: 'trips:transform', inputs: {numeric: [age], categorical: [plan]}"))
    assert main(["lint", "churn"], settings=project.settings) == 0
    assert "note: churn is not served by ONNX alone: each request of it passes through trips:transform" in capsys.readouterr().out
