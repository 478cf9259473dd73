"""Stages of a deploy Dag before traffic moves: ask for approval, one answer per seat (human in the loop), and conclude."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from include.lifecycle.results import PlannedRollout, StageResult
from include.lifecycle.rollout.approving.need import Seat
from include.lifecycle.runtime import RunContext, Runtime, runtime
from include.lifecycle.spec import ModelSpec
from modelops.operators.base import LifecycleOperator, airflow_errors, plain, run_context

APPROVE, REJECT = "Approve", "Reject"


class AskApprovalOperator(LifecycleOperator):
    """Work out who must approve a rollout; the result is the list of seats that are to answer, empty when nobody is asked.

    :param planned: Result of `plan_rollout`. (templated)
    """

    template_fields: Sequence[str] = ("model", "planned")

    def __init__(self, *, planned: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> dict[str, Any]:
        """Write the question into the ledger."""
        from include.lifecycle.rollout.approving.approval import ask_approval

        seats = ask_approval(spec, rt, run, PlannedRollout.model_validate(self.planned))
        return {"seats": [plain(seat) for seat in seats]}

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """The seats themselves: task `approve` is mapped over them."""
        seats: list[dict[str, Any]] = super().execute(context)["seats"]
        return seats


class ApproveRolloutOperator(HITLOperator):
    """One seat's answer about a rollout, in Required Actions or by REST; the votes stand in the ledger.

    It waits in slices of `approval.look`: after each it goes away when the question was settled by others, and else waits on.
    An answer that does not count (the requester's yes, a second one of the same person) is noted and the seat asked again.

    :param model: Name of the model.
    :param planned: Result of `plan_rollout`. (templated)
    :param seat: Number and users of the seat, from `ask_approval`. (templated)
    """

    template_fields: Sequence[str] = ("subject", "body", "planned", "seat")

    def __init__(self, *, model: str, planned: Any, seat: Any, **kwargs: Any) -> None:
        given = {
            "subject": f"Roll out a new version of {model}?",
            "options": [APPROVE, REJECT],
            "defaults": REJECT,
            "params": {"comment": Param("", type="string", title="Comment for the ledger")},
        }
        super().__init__(**(given | kwargs))
        self.model = model
        self.planned = planned
        self.seat = seat

    def execute(self, context: Context) -> Any:
        """Ask, unless nobody need answer any more."""
        from include.lifecycle.loading import load_model
        from include.lifecycle.rollout.approving.approval import look

        seat = Seat.model_validate(self.seat)
        with airflow_errors():
            ballot = look(runtime(), self._rollout())
            slice_of = load_model(self.model).approval.look
        given = next((vote for vote in ballot.votes if vote.seat == seat.number), None)
        if ballot.over or given is not None:
            self.log.info("seat %s need not answer any more: %s", seat.number, ballot.told())
            return plain(given) if given else {"seat": seat.number, "approved": None}
        self.subject, self.body = ballot.subject, ballot.body
        self.assigned_users = [{"id": name, "name": name} for name in seat.users] or None
        self.response_timeout = min(slice_of, ballot.left)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Cast the vote of whoever answered; then be done, or ask again."""
        from include.lifecycle.rollout.approving.approval import vote

        answer = super().execute_complete(context, event)
        if user := answer["responded_by_user"]:
            with airflow_errors():
                ballot = vote(
                    runtime(),
                    run_context(self.model, context),
                    self._rollout(),
                    Seat.model_validate(self.seat).number,
                    approved=APPROVE in answer["chosen_options"],
                    by=str(user["name"]),
                    comment=str((answer["params_input"] or {}).get("comment", "")),
                )
            self.log.info("%s", ballot.told())
        return self.execute(context)

    def _rollout(self) -> int:
        planned = PlannedRollout.model_validate(self.planned)
        if planned.rollout_id is None:
            raise AirflowSkipException(planned.reason)
        return planned.rollout_id


class ConfirmApprovalOperator(LifecycleOperator):
    """Conclude from the votes and check every gate once more; without a yes the rest of the run is skipped.

    :param planned: Result of `plan_rollout`. (templated)
    """

    template_fields: Sequence[str] = ("model", "planned")

    def __init__(self, *, planned: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> StageResult:
        """The rollout may go on only if this says so."""
        from include.lifecycle.rollout.approving.approval import confirm_approval

        concluded = confirm_approval(spec, rt, run, PlannedRollout.model_validate(self.planned))
        if not concluded.approved:
            raise AirflowSkipException(concluded.reason)
        return concluded
