"""A run of the Dag `steer` in a real Airflow: its form, what it writes, what does not fit; and the form of a deploy run."""

from __future__ import annotations

import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.sdk.exceptions import ParamValidationError
from airflow.utils.db import initdb

from include.lifecycle.loading import load_model
from include.lifecycle.rollout.driver import drive_once
from tests.dags.conftest import ROOT
from tests.dags.own_process import own_process
from tests.unit.lifecycle.rollout.conftest import open_rollout, row_of, world  # noqa: F401 - fixtures

QUICK = {"steps": [{"percent": 10, "at_least": "0s", "requests": 50}], "bake": "0s"}
MODEL = "churn"


@pytest.fixture(autouse=True)
def installation(rt, monkeypatch):
    """A model named as the fixtures' rollouts are."""
    with own_process(rt, monkeypatch):
        spec = load_model("flight_delay").model_copy(update={"name": MODEL})
        monkeypatch.setattr("modelops.operators.base.load_model", lambda name: spec)
        yield


@pytest.fixture(scope="module")
def dag():
    initdb()
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(str(ROOT / "dags" / "steer.py"))
    sync_bag_to_db(bag, "dags-folder", None)
    (found,) = bag.dags.values()
    found.get_task("steer").patience = 0.0
    found.get_task("steer").retries = 0
    return found


def run(dag, **conf):
    return dag.test(run_conf={"model": MODEL, **conf})


def test_a_run_writes_the_command_and_its_own_name_into_ledger_and_row(dag, rt, world, open_rollout, row_of):  # noqa: F811
    rollout_id = open_rollout(**QUICK)
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    done = run(dag, command="pause", reason="a demonstration")
    assert str(done.state) == "success"
    assert row_of(rollout_id)["command"]["wish"] == "pause"
    (asked,) = [row for row in rt.ledger.read(MODEL, kind="rollout") if row["act"] == "ask to pause"]
    assert (asked["run_id"], asked["reason"].endswith("asked to pause: a demonstration")) == (done.run_id, True)
    refused = run(dag, command="skip", reason="at once")
    assert str(refused.state) == "failed"
    assert row_of(rollout_id)["command"]["wish"] == "pause"


def test_the_form_refuses_what_is_no_command_and_no_reason(dag):
    for conf in ({"command": "stop", "reason": "because"}, {"command": "pause", "reason": ""}):
        with pytest.raises(ParamValidationError):
            run(dag, **conf)


def test_a_deploy_run_by_hand_may_bring_its_steps_within_bounds():
    form = DagBag(str(ROOT / "dags" / "flight_delay.py")).dags["deploy__flight_delay"].params
    assert form.dump().items() >= dict.fromkeys(("initial_traffic", "increment", "interval_minutes")).items()
    for name, value in (("initial_traffic", 10), ("increment", 10), ("interval_minutes", 5)):
        form[name] = value
        assert form[name] == value
    for name, value in (("initial_traffic", 100), ("increment", 0), ("interval_minutes", -1), ("initial_traffic", "ten")):
        with pytest.raises(ParamValidationError):
            form[name] = value
