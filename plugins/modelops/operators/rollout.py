"""Stages of a deploy Dag: plan, check in a real server, roll out, conclude. People: approvals.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.lifecycle.results import PlannedRollout, RolloutOutcome, ServingCheck
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from modelops.assets import WAKE_UPS, promotions, wake
from modelops.links import RolloutReportLink
from modelops.operators.base import LifecycleOperator, plain

if TYPE_CHECKING:
    from include.lifecycle.rollout.planning.by_hand import ByHand


class PlanRolloutOperator(LifecycleOperator):
    """Open a rollout for the newest candidate; skip the run when there is none or another rollout is open.

    A plan that cannot end in time at the model's traffic fails the run. Its estimate stands in the task's log.
    """

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> PlannedRollout:
        """Claim the candidate and write the rollout's row."""
        from include.lifecycle.rollout.planning.by_hand import read_by_hand
        from include.lifecycle.rollout.planning.planning import plan_rollout

        dag_run: Any = context["dag_run"]
        by = getattr(dag_run, "triggering_user_name", None) or "airflow"
        params = dict(context["params"])
        by_hand = read_by_hand(params, by)
        if params.get("plan_only"):
            self._only_plan(spec, rt, by_hand, context)
        planned = plan_rollout(spec, rt, run, by_hand=by_hand)
        if planned.refused:
            raise AirflowFailException(planned.reason)
        if planned.rollout_id is None:
            raise AirflowSkipException(planned.reason)
        for line in planned.estimate:
            self.log.info(line)
        return planned

    def _only_plan(self, spec: ModelSpec, rt: Runtime, by_hand: ByHand | None, context: Context) -> NoReturn:
        """Plan mode: the plan goes to the log and to XCom `plan`; the run ends skipped, and nothing was claimed."""
        from include.lifecycle.rollout.planning.preview import preview_rollout

        preview = preview_rollout(spec, rt, by_hand=by_hand)
        for line in preview.told():
            self.log.info(line)
        context["ti"].xcom_push(key="plan", value=plain(preview))
        raise AirflowSkipException(f"plan only: {preview.told()[0]}")


class CheckServingOperator(LifecycleOperator):
    """Load the exact artefact in a real server and ask golden requests before any traffic.

    :param planned: Result of `plan_rollout`. (templated)
    """

    template_fields: Sequence[str] = ("model", "planned")

    def __init__(self, *, planned: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> ServingCheck:
        """Start the server and compare its answers."""
        from include.lifecycle.rollout.before_traffic.serving_check import check_serving

        return check_serving(spec, rt, run, PlannedRollout.model_validate(self.planned))


class RollOutVersionOperator(LifecycleOperator):
    """Wait, deferred, until the rollout's row is closed; a trigger drives it step by step.

    :param planned: Result of `plan_rollout`. (templated)
    :param poll: Seconds of wall time between two looks.
    """

    template_fields: Sequence[str] = ("model", "planned")
    operator_extra_links = (RolloutReportLink(),)

    def __init__(self, *, planned: Any, poll: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned
        self.poll = poll

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> RolloutOutcome:
        """Hand the rollout to the triggerer."""
        from modelops.triggers.rollout import RolloutTrigger

        planned = PlannedRollout.model_validate(self.planned)
        if planned.rollout_id is None:
            raise AirflowSkipException(planned.reason)
        # No timeout: the state machine gives up by itself, and a person may pause for as long as need be.
        trigger = RolloutTrigger(planned.rollout_id, self.poll, self.model, planned.version)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return how the rollout ended."""
        return plain(RolloutOutcome.model_validate(event))


class ConcludeRolloutOperator(LifecycleOperator):
    """Succeed when the version was promoted, and wake `retire`, or when an A/A test was concluded; else fail with the reason.

    :param outcome: Result of `roll_out`. (templated)
    """

    template_fields: Sequence[str] = ("model", "outcome")

    def __init__(self, *, outcome: Any, **kwargs: Any) -> None:
        super().__init__(outlets=[WAKE_UPS], **kwargs)
        self.outcome = outcome

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> RolloutOutcome:
        """A rollout that went back is a red run: somebody should look."""
        outcome = RolloutOutcome.model_validate(self.outcome)
        if outcome.state == "concluded":
            return outcome
        if outcome.state != "promoted":
            raise AirflowFailException(f"version {outcome.version} of {outcome.model} ended {outcome.state}: {outcome.reason}")
        wake(context["outlet_events"], [promotions()])
        return outcome
