"""`cli ab`: list, show, conclude, measure on real rows; start-aa asks Airflow."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from include.lifecycle import airflow_api
from include.lifecycle.cli import main
from include.lifecycle.database import transaction
from include.lifecycle.loading import load_model
from include.lifecycle.rollout.experiments.measure import measure_experiment
from include.lifecycle.tables import rollouts
from tests.conftest import NOW
from tests.unit.lifecycle.rollout import experiment_lab as lab
from tests.unit.lifecycle.rollout.test_experiment import ab_plan

MODEL = "flight_delay"


@pytest.fixture
def access(postgres):
    return lab.database(postgres)


@pytest.fixture
def running(rt, access):
    """An A/B test of flight_delay that was measured once; its rollout id."""
    plan = ab_plan(minimum_effect=0.02).model_copy(update={"model": MODEL})
    rollout_id = lab.start(rt, plan, began=datetime.now(UTC) - timedelta(days=8))
    rows, known = lab.traffic(NOW, users=2600, right=(0.95, 0.80))
    lab.answers(rt.storage.predictions(MODEL), rows)
    lab.outcomes(access, known)
    measure_experiment(load_model(MODEL), rt, access)
    return rollout_id


def test_nothing_to_list_and_nothing_to_show(rt, capsys):
    assert main(["ab", "list"], settings=rt.settings) == 0
    assert main(["ab", "show", MODEL], settings=rt.settings) == 1
    assert capsys.readouterr().out.splitlines() == ["no test is open", f"{MODEL} has had no A/B test"]
    for act in (["show", "flight_delai"], ["conclude", "flight_delai", "--winner", "champion", "--reason", "x"]):
        assert main(["ab", *act], settings=rt.settings) == 2
        assert "no model 'flight_delai'" in capsys.readouterr().err


def test_list_tells_how_each_open_test_stands(rt, running, capsys):
    assert main(["ab", "list"], settings=rt.settings) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["MODEL", "TEST", "CHALLENGER", "CHAMPION", "STATE", "DAYS", "SAMPLES", "DIFFERENCE", "VERDICT"]
    assert line.startswith(f"{MODEL}")
    assert ("A/B" in line, "8.0" in line, line.endswith("pass")) == (True, True, True)
    with transaction(rt.engine) as connection:
        connection.execute(rollouts.update().values(state="promoted"))
    assert main(["ab", "list", "--json"], settings=rt.settings) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["ab", "list", "--all", "--json"], settings=rt.settings) == 0
    (ended,) = json.loads(capsys.readouterr().out)
    assert (ended["rollout_id"], ended["state"], ended["kind"]) == (running, "promoted", "ab_test")


def test_show_compares_champion_and_challenger(rt, running, capsys):
    assert main(["ab", "show", MODEL], settings=rt.settings) == 0
    told = capsys.readouterr().out
    assert f"A/B test of {MODEL}: version 8 against champion 7, running" in told
    assert "sticky_header x-user-id" in told
    assert "experiment-run-8.html" in told
    assert main(["ab", "show", MODEL, "--json"], settings=rt.settings) == 0
    found = json.loads(capsys.readouterr().out)
    (success,) = found["evidence"]["detail"]["metrics"]
    assert success["challenger"]["mean"] == pytest.approx(0.95, abs=0.02)
    assert success["champion"]["mean"] == pytest.approx(0.80, abs=0.02)
    assert [one["outcome"] for one in found["verdicts"]] == ["pass", "pass"]


def test_conclude_is_left_in_the_row_when_nobody_drives(rt, running, capsys, monkeypatch):
    from include.lifecycle.rollout import steering

    asked = steering.answered
    monkeypatch.setattr(steering, "answered", lambda rt, rollout_id, seconds: asked(rt, rollout_id, 0.0))
    arguments = ["ab", "conclude", MODEL, "--winner", "champion", "--reason", "enough seen", "--by", "ada"]
    assert main(arguments, settings=rt.settings) == 1
    assert "nobody drives" in capsys.readouterr().out
    with transaction(rt.engine) as connection:
        command = connection.execute(select(rollouts.c.command)).scalar_one()
    assert (command["wish"], command["winner"], command["by"]) == ("conclude", "champion", "ada")
    assert main(["ab", "conclude", "health_visits", "--winner", "champion", "--reason", "enough"], settings=rt.settings) == 1
    assert "refused" in capsys.readouterr().out


def test_measure_without_airflow(rt, access, running, make_runtime, postgres, capsys):
    url = access.render_as_string(hide_password=True).replace(":***", "")
    assert main(["ab", "measure", MODEL, "--url", url, "--json"], settings=rt.settings) == 0
    assert json.loads(capsys.readouterr().out)["evidence"]["samples"] > 1000
    with transaction(rt.engine) as connection:
        connection.execute(rollouts.update().values(state="promoted"))
    assert main(["ab", "measure", MODEL, "--url", url], settings=rt.settings) == 1
    assert f"no A/B test of {MODEL} is running" in capsys.readouterr().out


def test_start_aa_starts_the_dag(rt, capsys, monkeypatch):
    started = []
    monkeypatch.setattr(airflow_api.AirflowApi, "__enter__", lambda self: self)
    monkeypatch.setattr(airflow_api.AirflowApi, "start_run", lambda self, *given: started.append(given))
    assert main(["ab", "start-aa", MODEL, "--reason", "trust", "--json"], settings=rt.settings) == 0
    told = json.loads(capsys.readouterr().out)
    assert started == [("aa_test", told["run_id"], {"model": MODEL, "reason": "trust"})]


@pytest.mark.parametrize("arguments", [["ab"], ["ab", "conclude", MODEL], ["ab", "conclude", MODEL, "--winner", "nobody"]])
def test_usage_errors(rt, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments, settings=rt.settings)
    assert ended.value.code == 2
