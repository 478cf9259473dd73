"""Tasks of alerts: tell people what changed, and take a person's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from include.lifecycle.runtime import runtime
from modelops.operators.base import airflow_errors, plain


class TellAlertsOperator(BaseOperator):
    """Plan messages for alerts that changed, escalate what nobody answered, and send what is due through its channels.

    A channel that fails is no failure of the task: it is tried again, and becomes an alert of its own.
    """

    ui_color = "#fbe3e0"

    def execute(self, context: Context) -> dict[str, Any]:
        """Return what was planned, sent and written."""
        from include.lifecycle.alerting.telling import tell_alerts
        from modelops.notifiers.channels import send_parcels

        with airflow_errors():
            told = tell_alerts(runtime(), send_parcels)
        for error in told.errors:
            self.log.error("not sent: %s", error)
        return plain(told)


class AnswerAlertOperator(BaseOperator):
    """Take an alert, or end it, in the name of who started this run.

    :param alert: Number of the alert. (templated)
    :param act: ack: somebody has it, nobody else is called; resolve: it is over. (templated)
    :param reason: Why, for the ledger; asked for by resolve. (templated)
    """

    template_fields: Sequence[str] = ("alert", "act", "reason")
    ui_color = "#fbe3e0"

    def __init__(self, *, alert: Any, act: str = "ack", reason: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alert = alert
        self.act = act
        self.reason = reason

    def execute(self, context: Context) -> dict[str, Any]:
        """Answer; GateFailedError fails the task when there is no such alert."""
        from include.lifecycle.alerting.answering import answer_alert

        dag_run: Any = context["dag_run"]
        by = getattr(dag_run, "triggering_user_name", None) or "airflow"
        with airflow_errors():
            answered = answer_alert(runtime(), int(self.alert), self.act, by=by, reason=self.reason)  # type: ignore[arg-type]
        self.log.info("%s", answered.told)
        return plain(answered)
