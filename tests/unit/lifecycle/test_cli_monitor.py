"""`cli monitor`: a look every so many seconds, until a signal ends it; what fails meanwhile is told and tried again."""

from __future__ import annotations

import os
import signal

from include.lifecycle.cli import main
from include.lifecycle.commands import monitor as command
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.results import MonitoredModel
from include.settings import load_settings


def test_looks_go_on_until_a_signal_and_survive_a_failure(monkeypatch, tmp_path, capsys):
    looks = []

    def look(spec, rt, run, access):
        looks.append(run.run_id)
        if len(looks) == 1:
            raise SourceUnavailableError("the prediction log is away")
        os.kill(os.getpid(), signal.SIGTERM)
        return MonitoredModel(model=spec.name, windows=[], signals=[7], health=0.5, verdicts=[])

    monkeypatch.setattr("include.lifecycle.monitoring.monitor.monitor_model", look)
    monkeypatch.setattr(command, "source_of", lambda *_: None)
    settings = load_settings({"MODELOPS_LOCAL": str(tmp_path)})
    before = signal.getsignal(signal.SIGTERM)
    assert main(["monitor", "flight_delay", "--interval", "1"], settings=settings) == command.SIGNALS
    assert len(set(looks)) == 2
    assert signal.getsignal(signal.SIGTERM) is before
    told = capsys.readouterr()
    assert "error: flight_delay: the prediction log is away" in told.err
    assert told.out == "flight_delay: 0 windows measured, 1 signals open, health 0.50\n"


def test_all_models_are_looked_at_and_one_failure_is_the_exit_code(monkeypatch, tmp_path, capsys):
    def look(spec, rt, run, access):
        if spec.name == "flight_delay":
            raise SourceUnavailableError("away")
        return MonitoredModel(model=spec.name, windows=[1], signals=[], health=None, verdicts=[])

    monkeypatch.setattr("include.lifecycle.monitoring.monitor.monitor_model", look)
    monkeypatch.setattr(command, "source_of", lambda *_: None)
    assert main(["monitor", "all", "--once"], settings=load_settings({"MODELOPS_LOCAL": str(tmp_path)})) == command.PROBLEM
    assert "health_visits: 1 windows measured, 0 signals open, health unknown" in capsys.readouterr().out
