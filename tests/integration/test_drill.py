"""The drill on the real Envoy with real model servers: its figures, what it leaves alone, and what is left when it is killed."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.registry.backup import make_backup
from include.lifecycle.rollout.drills.drill import last_drill, run_drill
from include.lifecycle.rollout.drills.report import judged
from include.lifecycle.rollout.drills.traces import only_drill, traces
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, read_desired
from include.lifecycle.rollout.reconcile import reconcile
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.lifecycle.rollout.ways_back.freezing import ALL, freeze
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import desired_traffic
from tests.integration.canary_driver import tiny_hands
from tests.integration.rollout_stack import Clients, tiny_target, tiny_version, wait_for

pytestmark = pytest.mark.integration
RUN = RunContext("drill", "run-1", "run_drill")


@pytest.fixture
def rt(stack, make_runtime):
    """A Runtime on the stack, where model churn serves version 7."""
    made = make_runtime(**stack.environment)
    folder, digest = tiny_version(made, "churn", 7)
    target = tiny_target(made)
    ports = target.ensure_server("churn", 7, folder, digest, made.storage.predictions("churn"))
    server = Server(ports=ports, digest=digest, folder=str(folder))
    target.apply(DesiredTraffic(model="churn", champion=7, weights={7: 100}, servers={7: server}))
    yield made
    target.gateway.write(list)
    target.supervisor.remove("server-churn-7")


def nothing_left(rt):
    with transaction(rt.engine) as connection:
        models = list(connection.execute(select(desired_traffic.c.model)).scalars())
    return (traces(rt), models, set(EmbeddedTarget(rt).gateway.admin.splits())) == ([], ["churn"], {"churn"})


def test_figures_of_a_drill_and_nothing_else_is_touched(rt, stack):
    with transaction(rt.engine) as connection:
        before = read_desired(connection, "churn")
    with Clients(stack.port, "/v2/models/churn/infer", count=2, pause=0.02) as clients:
        report = run_drill(rt, RUN)
    print(f"drill: {report}")
    assert clients.failed == 0, clients.problems[:5]
    assert min(report.detection, report.decision, report.traffic) >= 0
    assert report.detection + report.decision + report.traffic <= report.recovery + 0.1
    assert report.requests > 100
    assert report.failed == 0
    assert (report.verdict, report.backup_age) == ("inconclusive", None)
    assert last_drill(rt) == report
    assert nothing_left(rt)
    with transaction(rt.engine) as connection:
        assert read_desired(connection, "churn") == before


def test_a_killed_drill_is_swept_by_reconcile(rt, stack):
    environment = os.environ | stack.environment | {"MODELOPS_PASSFILE": str(rt.settings.passfile)}
    environment |= {"MODELOPS_DATABASE_URL": rt.settings.database_url}
    environment |= {"MODELOPS_SERVER_PORTS": "{}-{}".format(*rt.settings.server_ports)}
    process = subprocess.Popen([sys.executable, "-m", "tests.integration.drill_process"], env=environment)
    admin = EmbeddedTarget(rt).gateway.admin
    wait_for(lambda: any(split.weights.get(2) == 50 for split in admin.splits().values()), "the drill's canary", seconds=60)
    assert reconcile(rt, ["churn"], hands=tiny_hands(rt)) == []  # a living drill is left alone
    with pytest.raises(GateFailedError, match="another drill is running"):
        run_drill(rt, RUN)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(set(traces(rt))) == 1
    (said,) = reconcile(rt, ["churn"], hands=tiny_hands(rt))
    assert "what a killed drill left was taken away" in said
    assert nothing_left(rt)


def test_bounds_of_the_figures(rt, make_runtime, mlflow_server):
    report = run_report(rt)
    assert judged(rt, report).verdict == "inconclusive"
    registry = make_runtime(MODELOPS_MLFLOW_URL=mlflow_server, MODELOPS_BACKUP_DIR=str(rt.settings.backup_dir))
    make_backup(registry, rt.settings.backup_dir)
    good = judged(rt, report)
    assert (good.verdict, good.backup_age) == ("pass", 0.0)
    assert judged(rt, report.model_copy(update={"recovery": 3601.0})).verdict == "fail"
    (rt.settings.backup_dir / "backup.json").write_text("{}")
    damaged = judged(rt, report)
    assert damaged.verdict == "fail"
    assert "the backup is damaged" in damaged.reason


def test_an_old_backup_misses_the_recovery_point(rt, make_runtime, mlflow_server):
    from include.lifecycle.clock import FixedClock

    make_backup(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server), rt.settings.backup_dir)
    later = make_runtime(clock=FixedClock(rt.clock.now() + timedelta(hours=25)), MODELOPS_BACKUP_DIR=str(rt.settings.backup_dir))
    assert judged(later, run_report(rt)).verdict == "fail"


def run_report(rt):
    from datetime import UTC, datetime

    from include.lifecycle.rollout.drills.report import DrillReport

    figures = {"detection": 1.0, "decision": 0.1, "traffic": 0.1, "recovery": 3.0, "requests": 500, "failed": 0}
    return DrillReport(model="_drill_x", at=datetime.now(UTC), **figures)


def test_no_drill_while_everything_is_frozen(rt):
    freeze(rt, ALL, reason="holidays", by="ada")
    with pytest.raises(GateFailedError, match="everything is frozen"):
        run_drill(rt, RUN)
    assert nothing_left(rt)
    with only_drill(rt):
        pass
