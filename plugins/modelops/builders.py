"""ModelSpec -> the model's two Dags. The only place where a model's tasks are wired.

A Dag file is `build("name", globals())`; a broken YAML raises here and becomes that file's own import error.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, Param
from airflow.sdk.definitions.context import get_parsing_context

from include.lifecycle.decisions.schedule import cron_of
from include.lifecycle.loading import load_model
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.conf import REASON_KINDS, most_trials
from modelops.assets import candidate, training_requested
from modelops.operators.approvals import ApproveRolloutOperator, AskApprovalOperator, ConfirmApprovalOperator
from modelops.operators.data import FetchDataOperator, PrepareDataOperator, SnapshotDataOperator, ValidateDataOperator
from modelops.operators.evaluation import EvaluateModelOperator
from modelops.operators.registry import RegisterModelOperator
from modelops.operators.rollout import (
    CheckServingOperator,
    ConcludeRolloutOperator,
    PlanRolloutOperator,
    RollOutVersionOperator,
)
from modelops.operators.training import ConfirmTrainingOperator, ReportFailureOperator, RunTrialsOperator, TrainModelOperator


def build(model: str, namespace: dict[str, Any]) -> None:
    """Add `train__<model>` and `deploy__<model>` to a Dag file's globals; raise SpecInvalidError for a broken YAML.

    A task process asks for one Dag only, and gets only that one built.
    """
    wanted = get_parsing_context().dag_id
    spec = load_model(model)
    for dag_id, builder in ((f"train__{model}", train_dag), (f"deploy__{model}", deploy_dag)):
        if wanted in (None, dag_id):
            namespace[dag_id] = builder(spec)


def train_dag(spec: ModelSpec) -> DAG:
    """The training of one model: by its schedule, by a training request, or by a person."""
    with DAG(
        f"train__{spec.name}",
        schedule=_training_schedule(spec),
        params=_training_form(spec),
        **_common(spec, "training"),
    ) as dag:
        order = ConfirmTrainingOperator(task_id="confirm_training", model=spec.name).output
        fetched = FetchDataOperator(task_id="fetch_data", model=spec.name, order=order).output
        validate = ValidateDataOperator(task_id="validate_data", model=spec.name, fetched=fetched)
        snapshot = SnapshotDataOperator(task_id="snapshot_data", model=spec.name, validated=validate.output)
        prepare = PrepareDataOperator(task_id="prepare_data", model=spec.name, order=order, validated=validate.output)
        tune = RunTrialsOperator.partial(
            task_id="tune",
            model=spec.name,
            prepared=prepare.output,
            map_index_template="{{ worker }}",
            pool="training",
        ).expand(worker=list(range(spec.training.workers)))
        trained = TrainModelOperator(
            task_id="train_model", model=spec.name, order=order, prepared=prepare.output, pool="training"
        )
        judged = EvaluateModelOperator(
            task_id="evaluate_model", model=spec.name, order=order, prepared=prepare.output, trained=trained.output
        )
        registered = RegisterModelOperator(
            task_id="register_model",
            model=spec.name,
            order=order,
            snapshot=snapshot.output,
            prepared=prepare.output,
            trained=trained.output,
            evaluation=judged.output,
        )
        validate >> snapshot >> prepare
        tune >> trained
        # A leaf that shares the run's fate, so that a failed run stays failed although the reporter itself succeeds.
        registered >> EmptyOperator(task_id="training_ended", doc_md="The training came to a registered version.")
        registered >> ReportFailureOperator(
            task_id="report_failure", model=spec.name, trigger_rule="one_failed", doc_md="Runs only when a task failed."
        )
    return dag


def deploy_dag(spec: ModelSpec) -> DAG:
    """The rollout of one model's newest candidate."""
    wakes, common = [candidate(spec.name)], _common(spec, "deployment")
    with DAG(f"deploy__{spec.name}", schedule=wakes, params=_deploy_form(spec), **common) as dag:
        planned = PlanRolloutOperator(task_id="plan_rollout", model=spec.name).output
        check = CheckServingOperator(task_id="check_serving", model=spec.name, planned=planned)
        ask, confirm = _approval(spec, planned)
        roll_out = RollOutVersionOperator(
            task_id="roll_out", model=spec.name, planned=planned, poll=spec.rollout.poll.total_seconds()
        )
        conclude = ConcludeRolloutOperator(task_id="conclude_rollout", model=spec.name, outcome=roll_out.output)
        check >> ask
        confirm >> roll_out >> conclude
    return dag


def _deploy_form(spec: ModelSpec) -> dict[str, Any]:
    """What a run by hand may give in place of the YAML's steps, and plan mode; a run that an event woke leaves all empty."""
    words = ", ".join(f"{step.percent} %" for step in spec.rollout.steps)
    usual: dict[str, Any] = {"section": "Canary steps of this run"}
    return {
        "initial_traffic": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=99,
            title="First share in percent",
            description=f"Empty: as the YAML says ({words}). Recorded with your name.",
            **usual,
        ),
        "increment": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=99,
            title="Added at each step, in percent",
            description="Up to all traffic. Empty, with a first share given: that one step only.",
            **usual,
        ),
        "interval_minutes": Param(
            None,
            type=["null", "number"],
            minimum=0,
            maximum=10_080,
            title="Minutes that each step lasts at least",
            description="Empty: as the YAML's first step.",
            **usual,
        ),
        "plan_only": Param(
            False, type="boolean", title="Only plan", description="The plan goes to the log of plan_rollout; nothing is done."
        ),
    }


def _approval(spec: ModelSpec, planned: Any) -> tuple[Any, Any]:
    """First and last task of the approval. Who is asked depends on the version, so the seats are mapped when the run knows it."""
    ask = AskApprovalOperator(task_id="ask_approval", model=spec.name, planned=planned)
    approve = ApproveRolloutOperator.partial(
        task_id="approve",
        model=spec.name,
        planned=planned,
        map_index_template="{{ task.seat['users'] | join(', ') or 'anyone' }}",
    ).expand(seat=ask.output)
    confirm = ConfirmApprovalOperator(
        task_id="confirm_approval", model=spec.name, planned=planned, trigger_rule="none_failed_min_one_success"
    )
    ask >> confirm  # when nobody is asked, this one alone succeeded before it
    approve >> confirm
    return ask, confirm


def _training_schedule(spec: ModelSpec) -> Any:
    """Training requests, and the cron of the YAML if it has one."""
    requests, cron = training_requested(spec.name), cron_of(spec)
    if cron is None:
        return [requests]
    timetable = CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))
    return AssetOrTimeSchedule(timetable=timetable, assets=requests)


def _training_form(spec: ModelSpec) -> dict[str, Any]:
    return {
        "reason": Param("", type="string", title="Reason", description="Why this training is wanted; it stands in the ledger."),
        "reason_kind": Param("other", type="string", enum=list(REASON_KINDS), title="Kind of reason"),
        "method": Param(
            None,
            type=["null", "string"],
            enum=[None, "full", "incremental"],
            title="Method",
            description="full: from nothing; incremental: the champion learns on from newer rows. Empty: as the YAML says.",
        ),
        "trials": Param(
            spec.training.trials,
            type="integer",
            minimum=1,
            maximum=most_trials(spec),
            title="Optuna trials",
            section="Tuning",
        ),
        "data": Param(
            None,
            type=["null", "string"],
            title="New data in place of the source",
            section="Data",
            description="Parquet or CSV files below MODELOPS_TRAINING_DATA: a file, a folder or a glob, local or s3://.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Train although freeze or budget say no",
            section="Policy",
            description="Recorded with your name.",
        ),
    }


def _common(spec: ModelSpec, stage: str) -> dict[str, Any]:
    return {
        "description": spec.description,
        "doc_md": f"**{spec.name}**: {spec.description}\n\nOwner {spec.owner}, tier {spec.tier}, risk {spec.risk}. "
        f"What happens unattended: `python -m include.lifecycle.cli explain {spec.name}`.",
        "tags": [f"model:{spec.name}", f"stage:{stage}", f"tier:{spec.tier}"],
        "catchup": False,
        "max_active_runs": 1,
        "default_args": {
            "owner": spec.owner,
            "retries": 3,
            "retry_delay": timedelta(seconds=10),
            "retry_exponential_backoff": True,
        },
    }
