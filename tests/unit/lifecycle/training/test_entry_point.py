"""Own training functions: the documented example works; whatever goes wrong names the function and keeps its traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from include.lifecycle.errors import EntryPointError
from include.lifecycle.training.entry_point import TrainingInput, call_entry_point, source_of
from include.settings import PROJECT_ROOT
from tests.conftest import NOW
from tests.unit.lifecycle.training.rows import BINARY, prepared, trips
from tests.unit.lifecycle.training.spec_for_tests import make_spec

POINT = "include.training.trips:train"


def inputs(tmp_path: Path, spec=BINARY, champion=None) -> TrainingInput:
    rows = prepared(tmp_path, trips(800), spec).train
    return TrainingInput(spec, rows, spec.training.seed, spec.training.threads, NOW, champion)


def project(tmp_path: Path, code: str) -> Path:
    home = tmp_path / "home"
    (home / "include" / "training").mkdir(parents=True, exist_ok=True)
    (home / "include" / "training" / "trips.py").write_text(code)
    return home


def test_the_documented_example(tmp_path: Path):
    home = project(tmp_path, (PROJECT_ROOT / "docs/examples/own_training.py").read_text())
    bundle = call_entry_point(home, POINT, inputs(tmp_path, champion={"max_iter": 30, "C": 1.0}))
    assert (bundle.algorithm, bundle.params["max_iter"], bundle.metrics) == (
        "calibrated_boosting",
        30,
        {"calibration_rows": 160.0},
    )
    given = inputs(tmp_path)
    predicted = bundle.estimator.predict_proba(given.table())[:, 1]
    assert abs(predicted.mean() - given.labels().mean()) < 0.05
    again = call_entry_point(home, POINT, inputs(tmp_path, champion={"max_iter": 30}))
    assert np.array_equal(again.estimator.predict_proba(given.table())[:, 1], predicted)
    file, digest = source_of(home, POINT)
    assert file == home / "include" / "training" / "trips.py"
    assert len(digest) == 64


TREE = "from sklearn.tree import DecisionTreeClassifier as Tree\n"
CODE = {
    "raise KeyError('fare')": "include.training.trips:train failed: KeyError: 'fare'",
    "return object()": "returned a object without predict_proba, which this task needs",
    "from sklearn.svm import LinearSVC; return LinearSVC().fit(i.table()[['distance']], i.labels())": "without predict_proba",
    "return Tree().fit(i.table()[['distance']], i.labels())": "its model does not answer a table of the columns distance, wind,",
    "return Nan()": "800 of 800 predictions are not finite",
    "return Two()": "predict_proba answers outside 0 to 1",
    "return Mine()": "its model holds types that are not trusted: .*Mine",
}
CLASSES = """
import numpy as np
class Mine:
    def predict_proba(self, table):
        return np.full((len(table), 2), 0.5)
class Nan(Mine):
    def predict_proba(self, table):
        return np.full((len(table), 2), np.nan)
class Two(Mine):
    def predict_proba(self, table):
        return np.full((len(table), 2), 2.0)
"""


@pytest.mark.parametrize(("body", "told"), CODE.items())
def test_what_is_wrong_is_named(tmp_path: Path, body: str, told: str, caplog: pytest.LogCaptureFixture):
    home = project(tmp_path, f"{TREE}{CLASSES}\ndef train(i):\n    {body}\n")
    with pytest.raises(EntryPointError, match=told) as caught:
        call_entry_point(home, POINT, inputs(tmp_path))
    assert POINT in str(caught.value)
    if body.startswith("raise"):
        assert isinstance(caught.value.__cause__, KeyError)
        assert "in train" in caplog.text


def test_a_module_that_does_not_import_and_a_function_that_is_not_there(tmp_path: Path):
    home = project(tmp_path, "import no_such_library\n")
    with pytest.raises(EntryPointError, match="ModuleNotFoundError: No module named 'no_such_library'"):
        call_entry_point(home, POINT, inputs(tmp_path))
    with pytest.raises(EntryPointError, match=r"no module 'include\.training\.other' below"):
        source_of(home, "include.training.other:train")
    home = project(tmp_path, "x = 1\n")
    with pytest.raises(EntryPointError, match="has no attribute 'train'"):
        call_entry_point(home, POINT, inputs(tmp_path))


def test_a_regression_needs_predict_only(tmp_path: Path):
    spec = make_spec(objective={"task": "regression", "metric": "rmse"}, data={"target": "delay"}, features={"categorical": []})
    code = "from sklearn.ensemble import HistGradientBoostingRegressor as R\n"
    code += "def train(i):\n    return R(random_state=i.seed).fit(i.table(), i.labels())\n"
    bundle = call_entry_point(project(tmp_path, code), POINT, inputs(tmp_path, spec))
    assert (bundle.algorithm, dict(bundle.params), dict(bundle.metrics)) == ("custom", {}, {})
