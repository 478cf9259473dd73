"""Operators without Airflow's database: errors become the right exceptions, triggers rebuild themselves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.lifecycle.errors import DataInvalidError, GateFailedError, SourceUnavailableError, TrainingRefusedError
from include.lifecycle.results import MonitoredModel
from modelops.operators.base import airflow_errors, plain
from modelops.operators.rollback import _version
from modelops.operators.training import _conf, _trigger
from modelops.triggers.rollout import RolloutTrigger


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (DataInvalidError("no rows"), AirflowFailException),
        (TrainingRefusedError("frozen"), AirflowSkipException),
        (SourceUnavailableError("down"), SourceUnavailableError),
        (KeyError("a bug"), KeyError),
    ],
)
def test_errors_fail_skip_or_are_tried_again(raised, expected):
    with pytest.raises(expected, match=str(raised).strip("'")), airflow_errors():
        raise raised


def test_results_become_json():
    result = MonitoredModel(model="m", windows=[1], signals=[], health=0.9)
    assert plain({"inner": result})["inner"]["windows"] == [1]


def test_trigger_rebuilds_itself():
    path, arguments = RolloutTrigger(rollout_id=7, poll=0.5).serialize()
    assert path == f"{RolloutTrigger.__module__}.{RolloutTrigger.__name__}"
    assert RolloutTrigger(**arguments).serialize() == (path, arguments)


def test_a_version_to_roll_back_to_is_a_number_or_nothing():
    assert (_version("leaving", ""), _version("to_version", " 12 ")) == (None, 12)
    with pytest.raises(GateFailedError, match=r"to_version is 'v3'; allowed: a version's number"):
        _version("to_version", "v3")


def test_nobody_asks_in_another_name():
    conf = {"reason": "new fares", "requested_by": "bob"}
    by_ann = _conf({"trials": 6}, SimpleNamespace(conf=conf, triggering_user_name="ann"))
    assert by_ann == {"trials": 6, "reason": "new fares", "requested_by": "ann"}
    assert _conf({}, SimpleNamespace(conf=conf, triggering_user_name=None))["requested_by"] == "bob"
    assert _conf({}, SimpleNamespace(conf=None, triggering_user_name=None)) == {}


@pytest.mark.parametrize(
    ("run_type", "conf", "expected"),
    [
        ("asset_triggered", {}, "signal"),
        ("scheduled", {}, "schedule"),
        ("manual", {}, "manual"),
        ("manual", {"source": "schedule"}, "schedule"),
        ("DagRunType.ASSET_TRIGGERED", {"source": "schedule"}, "signal"),
    ],
)
def test_what_started_a_training(run_type, conf, expected):
    assert _trigger(run_type, conf) == expected
