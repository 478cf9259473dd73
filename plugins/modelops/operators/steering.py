"""A person's hand on a model's open rollout, from Airflow's UI or REST API; the command line does the same without Airflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from airflow.sdk.definitions.context import Context

from include.lifecycle.errors import GateFailedError
from include.lifecycle.results import RolloutOutcome
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from modelops.operators.base import LifecycleOperator


class SteerRolloutOperator(LifecycleOperator):
    """Ask the model's open rollout to pause, resume, skip a stage, abort or conclude, and return how it stands after the answer.

    :param command: One of pause, resume, skip, abort, conclude. (templated)
    :param reason: Why, for the ledger. (templated)
    :param winner: Of an A/B test that is concluded: challenger or champion; else empty. (templated)
    :param patience: Seconds that the driver's answer is waited for.
    """

    template_fields: Sequence[str] = ("model", "command", "reason", "winner")

    def __init__(self, *, command: str, reason: str, winner: str = "", patience: float = 30.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = command
        self.reason = reason
        self.winner = winner
        self.patience = patience

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> RolloutOutcome:
        """Write the command with the name of who started this run; GateFailedError when it does not fit the rollout."""
        from include.lifecycle.rollout.driver import outcome_of
        from include.lifecycle.rollout.steering import WISHES, answered, steer

        if self.command not in WISHES:
            raise GateFailedError(f"command is {self.command!r}; allowed: {', '.join(WISHES)}")
        dag_run: Any = context["dag_run"]
        by = getattr(dag_run, "triggering_user_name", None) or "airflow"
        winner = cast("Any", self.winner or None)
        told = {"by": by, "reason": self.reason, "winner": winner, "run_id": run.run_id}
        rollout_id = steer(rt, spec.name, cast("Any", self.command), **told)
        row = answered(rt, rollout_id, self.patience)
        if row["command"] is not None:
            self.log.warning("nobody drives rollout %s now; the command waits in its row", rollout_id)
        return outcome_of(row)
