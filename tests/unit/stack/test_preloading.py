"""plugins/airflow_local_settings.py acts only where tasks are forked, and survives a library that does not import."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from include.settings import PROJECT_ROOT

FILE = PROJECT_ROOT / "plugins" / "airflow_local_settings.py"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "argv", ["airflow", "api-server"])
    spec = importlib.util.spec_from_file_location("preloading_under_test", FILE)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_it_exports_nothing_to_airflow(module: ModuleType):
    assert module.__all__ == []


@pytest.mark.parametrize("command", ["api-server", "dag-processor", "triggerer", "db migrate", "celery flower", ""])
def test_other_processes_import_nothing(module: ModuleType, command: str):
    assert not module._forks_tasks(["airflow", *command.split()])


def test_scheduler_by_executor_and_celery_worker(module: ModuleType, monkeypatch: pytest.MonkeyPatch):
    assert module._forks_tasks(["airflow", "celery", "worker"])
    for executor, wanted in (("LocalExecutor", True), ("CeleryExecutor", False), ("KubernetesExecutor", False)):
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
        assert module._forks_tasks(["airflow", "scheduler"]) is wanted


def test_a_failing_import_is_named_and_skipped(module: ModuleType, capsys: pytest.CaptureFixture[str]):
    module._preload(("json", "no_such_library", "csv"))
    said = capsys.readouterr().err
    assert "preloaded 2 libraries" in said
    assert "no_such_library" in said


def test_every_library_is_installed(module: ModuleType):
    packages = {name.partition(".")[0] for name in module._LIBRARIES}
    assert not {package for package in packages if importlib.util.find_spec(package) is None}
