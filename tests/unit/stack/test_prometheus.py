"""Prometheus and Alertmanager of the stack: off unless asked for, their configurations and rules valid, each alert helpful."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from include.lifecycle.errors import SettingsError
from include.settings import PROJECT_ROOT, load_settings
from include.stack import prometheus
from include.stack.credentials import Credentials
from include.stack.layout import Layout
from include.stack.local import LocalStack
from include.stack.ports import Ports
from include.stack.programs import build_programs

FOLDER = PROJECT_ROOT / "docker" / "prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
needs = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("promtool", "amtool", "prometheus", "prometheus-alertmanager")),
    reason="Prometheus is not installed: apt-get install prometheus prometheus-alertmanager",
)


def alert_rules() -> list[dict]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def programs(layout: Layout, credentials: Credentials) -> dict[str, list[str]]:
    found = build_programs(layout, Ports(), credentials, LocalStack(layout).environment())
    return {program.name: program.argv for program in found}


@needs
def test_the_rules_do_what_they_say():
    assert run("promtool", "test", "rules", *TESTS).count("SUCCESS") == len(TESTS)


@needs
def test_rules_and_configurations_are_valid(layout: Layout, credentials: Credentials):
    prometheus.write(layout, Ports(), "all")
    run("promtool", "check", "config", layout.prometheus / "prometheus.yml")
    run("promtool", "check", "config", "--syntax-only", FOLDER / "prometheus.yml")
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    for file in (layout.prometheus / "alertmanager.yml", PROJECT_ROOT / "docker" / "alertmanager" / "alertmanager.yml"):
        assert "SUCCESS" in run("amtool", "check-config", file)


@needs
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=MonitorSilent model=churn", "modelops"),
        ("alertname=AirflowDown way=direct", "direct,modelops"),
        ("alertname=ModelDown model=churn priority=P0", "direct,modelops"),
        ("alertname=Own way=direct priority=P0", "direct,modelops"),
        ("alertname=CanaryErrorRate action=rollback model=churn", "rollback,modelops"),
    ],
)
def test_every_alert_goes_where_it_should(labels: str, receivers: str):
    config = PROJECT_ROOT / "docker" / "alertmanager" / "alertmanager.yml"
    assert run("amtool", "config", "routes", "test", "--config.file", config, *labels.split()).splitlines()[0] == receivers


def test_each_alert_is_tested_both_ways():
    tests = [one for file in TESTS for one in yaml.safe_load(file.read_text())["tests"]]
    cases = [case for one in tests for case in one.get("alert_rule_test", [])]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    assert fires == {rule["alert"] for rule in alert_rules()}


def test_each_alert_says_how_urgent_it_is_and_what_helps():
    runbooks = (PROJECT_ROOT / "docs" / "runbooks.md").read_text()
    headings = re.findall(r"^## (.*)$", runbooks, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
    listed = runbooks.partition("## Alerts from Prometheus")[2]
    for rule in alert_rules():
        assert rule["labels"]["priority"] in ("P0", "P1", "P2", "P3")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, anchor in anchors) == ("docs/runbooks.md", True), rule["alert"]
        assert f"`{rule['alert']}`" in listed, rule["alert"]


def test_every_metric_that_rules_read_is_documented():
    text = "\n".join(file.read_text() for file in RULES)
    read = set(re.findall(r"\b(?:model|modelops)_[a-z0-9_]+", "\n".join(re.findall(r"expr: .*|^ {10}.*", text, re.MULTILINE))))
    documented = (PROJECT_ROOT / "docs" / "observability.md").read_text() + (PROJECT_ROOT / "docs" / "serving.md").read_text()
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in read}
    assert {name for name in plain if name not in documented} == set()


def test_nothing_of_it_runs_unless_it_is_asked_for(layout: Layout, credentials: Credentials, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MODELOPS_PROMETHEUS", raising=False)
    assert not set(prometheus.OPTIONAL) & set(programs(layout, credentials))
    monkeypatch.setenv("MODELOPS_PROMETHEUS", "0")
    assert not set(prometheus.OPTIONAL) & set(programs(layout, credentials))
    assert "MODELOPS_PROMETHEUS_URL" not in LocalStack(layout).environment()


def test_the_exporter_alone_needs_no_prometheus(layout: Layout, credentials: Credentials, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODELOPS_PROMETHEUS", "exporter")
    monkeypatch.setenv("PATH", "/nowhere")
    found = programs(layout, credentials)
    assert list(found)[-1] == "exporter"
    assert found["exporter"][1:] == ["-m", "include.lifecycle.exporter", "--port", "18600"]


@needs
def test_with_1_all_three_run_on_loopback(layout: Layout, credentials: Credentials, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODELOPS_PROMETHEUS", "1")
    found = programs(layout, credentials)
    assert list(found)[-3:] == ["exporter", "prometheus", "alertmanager"]
    assert "--web.listen-address=127.0.0.1:18601" in found["prometheus"]
    assert "--web.listen-address=127.0.0.1:18602" in found["alertmanager"]
    assert LocalStack(layout).environment()["MODELOPS_PROMETHEUS_URL"] == "http://127.0.0.1:18601"


def test_what_is_asked_for_and_not_installed_is_said(layout: Layout, credentials: Credentials, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODELOPS_PROMETHEUS", "1")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SettingsError, match=r"MODELOPS_PROMETHEUS=1.*apt-get install"):
        programs(layout, credentials)


@pytest.mark.parametrize("text", ["2", "yes", "all"])
def test_what_the_setting_does_not_know_is_refused(text: str):
    with pytest.raises(SettingsError, match="MODELOPS_PROMETHEUS="):
        load_settings({"MODELOPS_PROMETHEUS": text})


def test_the_setting_is_kept_for_the_next_start(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MODELOPS_PROMETHEUS", raising=False)
    layout.env_file.write_text("MODELOPS_PROMETHEUS=exporter\n")
    assert LocalStack(layout).environment()["MODELOPS_PROMETHEUS"] == "exporter"
    monkeypatch.setenv("MODELOPS_PROMETHEUS", "0")
    assert LocalStack(layout).environment()["MODELOPS_PROMETHEUS"] == "0"


def test_configurations_carry_addresses_and_files_of_tokens_and_no_token(layout: Layout, credentials: Credentials):
    ports = Ports(airflow=1234, exporter=2345, gateway_admin=3456, alertmanager=4567)
    prometheus.write(layout, ports, "all")
    texts = [(layout.prometheus / name).read_text() for name in ("prometheus.yml", "alertmanager.yml")]
    assert all(f"127.0.0.1:{port}" in texts[0] for port in (2345, 3456, 4567))
    assert texts[1].count("http://127.0.0.1:1234/modelops/") == 2
    for name in ("metrics-token", "alert-webhook"):
        assert credentials.token(name) not in "".join(texts)
        assert str(layout.secrets / name) in "".join(texts)
        assert Path(layout.secrets / name).stat().st_mode & 0o077 == 0
