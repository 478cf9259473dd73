"""The ways back: a model's rollback, the kill switch, and the drill that shows that both traffic and servers do return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from include.lifecycle.errors import GateFailedError
from include.lifecycle.loading import load_model
from include.lifecycle.results import RollbackPlan, RolloutOutcome
from include.lifecycle.runtime import RunContext, Runtime, runtime
from include.lifecycle.spec import ModelSpec
from modelops.operators.base import LifecycleOperator, airflow_errors, run_context


class RollBackModelOperator(LifecycleOperator):
    """Return a model's traffic and champion alias to its previous version, or to one that is named.

    :param reason: Why, for the ledger. (templated)
    :param reason_kind: business, complaint, regulator or incident. (templated)
    :param to_version: Version number, or empty for the previous champion. (templated)
    :param leaving: Nothing is done unless this version has traffic; empty: whatever has. (templated)
    :param plan: Only tell what would be done. (templated)
    :param unless_back: Nothing is done when the traffic went back within MODELOPS_ALERT_COOLDOWN. (templated)
    """

    template_fields: Sequence[str] = ("model", "reason", "reason_kind", "to_version", "leaving", "plan", "unless_back")

    def __init__(
        self,
        *,
        reason: str,
        reason_kind: str = "incident",
        to_version: str = "",
        leaving: str = "",
        plan: Any = False,
        unless_back: Any = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reason = reason
        self.unless_back = unless_back
        self.reason_kind = reason_kind
        self.to_version = to_version
        self.leaving = leaving
        self.plan = plan

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> RolloutOutcome | RollbackPlan:
        """Roll back now, or plan it; never queued behind the model's own runs."""
        from include.lifecycle.rollout.ways_back.rollback import Occasion, plan_rollback, roll_back_model

        to_version, leaving = _version("to_version", self.to_version), _version("leaving", self.leaving)
        if str(self.plan).lower() == "true":
            planned = plan_rollback(spec, rt, to_version=to_version)
            self.log.info("%s", planned)
            return planned
        occasion = Occasion(str(self.reason_kind), leaving, str(self.unless_back).lower() == "true")
        return roll_back_model(spec, rt, run, reason=self.reason, by=_person(context), to_version=to_version, occasion=occasion)


class FreezeOperator(BaseOperator):
    """Freeze a model or all, or end that; with `return_traffic` open rollouts are ended, too.

    :param model: Name of a model, or "all". (templated)
    :param act: freeze or unfreeze. (templated)
    :param reason: Why, for the ledger. (templated)
    :param return_traffic: Abort open rollouts: champions get all traffic. (templated)
    """

    template_fields: Sequence[str] = ("model", "act", "reason", "return_traffic")
    ui_color = "#fde2dc"

    def __init__(self, *, model: str, act: str, reason: str, return_traffic: Any = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.act = act
        self.reason = reason
        self.return_traffic = return_traffic

    def execute(self, context: Context) -> list[str]:
        """Freeze or unfreeze; returns one sentence per thing that changed."""
        from include.lifecycle.rollout.ways_back import freezing

        with airflow_errors():
            rt, by = runtime(), _person(context)
            model = freezing.ALL if self.model == "all" else load_model(self.model).name
            if self.act == "unfreeze":
                return ["unfrozen"] if freezing.unfreeze(rt, model, reason=self.reason, by=by) else ["it was not frozen"]
            said = ["frozen" if freezing.freeze(rt, model, reason=self.reason, by=by) else "it was frozen already"]
            if str(self.return_traffic).lower() == "true":
                models = freezing.rolling_out(rt) if model == freezing.ALL else [model]
                said += freezing.return_all_traffic(rt, models, reason=self.reason, by=by)
            return said


class RunDrillOperator(BaseOperator):
    """Break a scratch model's canary on purpose and measure how its traffic comes back; red when a bound was missed."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the drill; its figures are the result and stand in the ledger."""
        from include.lifecycle.rollout.drills.drill import run_drill

        with airflow_errors():
            report = run_drill(runtime(), run_context("drill", context))
        if report.verdict == "fail":
            raise AirflowFailException(f"the drill failed: {report.reason}")
        return report.model_dump(mode="json")


class BackUpOperator(BaseOperator):
    """Write or refresh the backup of versions, ledger and configuration in MODELOPS_BACKUP_DIR."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the versions by model, what was left out and why, and the manifest's digest."""
        from include.lifecycle.registry.backup import make_backup

        with airflow_errors():
            return make_backup(runtime(), runtime().settings.backup_dir)


def _person(context: Context) -> str:
    dag_run: Any = context["dag_run"]
    return str(getattr(dag_run, "triggering_user_name", None) or "airflow")


def _version(name: str, text: str) -> int | None:
    """The version that was named, None for nothing; GateFailedError for anything else, so that no other one is taken."""
    wanted = str(text or "").strip()
    if wanted and not (wanted.isascii() and wanted.isdigit()):
        raise GateFailedError(f"{name} is {text!r}; allowed: a version's number, or nothing")
    return int(wanted) if wanted else None
