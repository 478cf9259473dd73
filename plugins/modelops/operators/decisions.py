"""The arbiter's tasks: turn open signals of all models into training requests and questions, and put a question to people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from include.lifecycle.decisions.deliveries import ExternalEvent
from include.lifecycle.errors import GateFailedError
from include.lifecycle.loading import load_model
from include.lifecycle.runtime import RunContext, Runtime, runtime
from include.lifecycle.spec import ModelSpec
from modelops.assets import WAKE_UPS, external_requests, training_requested, wake
from modelops.operators.base import airflow_errors, plain, run_context


class DecideOperator(BaseOperator):
    """Decide on every open signal; wake the train Dags whose training was requested. A broken YAML concerns only its model.

    :param model: Name of a model, or "all". (templated)
    :param check: Decide and stop: the answer is logged and returned, nothing is written. (templated)
    :param force: Lift the cautions; only for one named model, and with a reason. (templated)
    :param reason: Why it is forced. (templated)
    """

    template_fields: Sequence[str] = ("model", "check", "force", "reason")
    ui_color = "#fdf3dc"

    def __init__(self, *, model: str = "all", check: Any = False, force: Any = False, reason: str = "", **kwargs: Any) -> None:
        super().__init__(outlets=[WAKE_UPS], inlets=[external_requests()], **kwargs)
        self.model = model
        self.check = check
        self.force = force
        self.reason = reason

    def execute(self, context: Context) -> dict[str, Any]:
        """Take in what other systems asked for, then run the policy over the models."""
        from include.lifecycle.decisions.decide import decide
        from modelops.models import valid_specs

        with airflow_errors():
            rt, run, forced = runtime(), run_context("all", context), self._forced(context)
            specs = valid_specs(self.log) if self.model in ("", "all") else [load_model(self.model)]
            if _is_true(self.check):
                return {"checked": _checked(specs, rt, self.log)}
            _take_external(context, rt, run)
            decisions = decide(specs, rt, run, forced=forced)
        wake(context["outlet_events"], [training_requested(model) for model in decisions.training_requested])
        return plain(decisions)

    def _forced(self, context: Context) -> Any:
        from include.lifecycle.decisions.decide import Forced

        if not _is_true(self.force):
            return None
        if self.model in ("", "all") or not self.reason.strip():
            raise GateFailedError(f"force: got model {self.model!r}, reason {self.reason!r}; allowed: one model, and a reason")
        return Forced(by=_person(context) or "airflow", reason=self.reason)


class ListQuestionsOperator(BaseOperator):
    """List the questions that nobody was asked yet, as arguments of the runs of Dag `ask` that put them to people."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """One mapping of arguments per question; a run is named by its question, so whoever starts it starts it once."""
        from include.lifecycle.decisions.questions import unasked

        with airflow_errors():
            waiting = unasked(runtime())
        return [{"trigger_run_id": f"question-{one.id}", "conf": {"question": one.id, "model": one.model}} for one in waiting]


class AskOperator(ApprovalOperator):
    """Put one question to people (Required Actions) and record the answer; a missing one declines.

    The YAML says who may answer and for how long it is waited; the question's row says what is asked.

    :param question: Number of the row in table `questions`. (templated)
    """

    template_fields: Sequence[str] = ("subject", "body", "question")

    def __init__(self, *, question: Any, **kwargs: Any) -> None:
        super().__init__(subject="A question about a model", defaults="Reject", **(kwargs | {"outlets": [WAKE_UPS]}))
        self.question = question

    def execute(self, context: Context) -> Any:
        """Ask, unless the question is over already."""
        from include.lifecycle.decisions.questions import read_question

        with airflow_errors():
            asked = read_question(runtime(), int(self.question), run_context("all", context).run_id)
            if asked.state != "open":
                raise AirflowSkipException(f"question {asked.id} about {asked.model} is {asked.state}: nobody need be asked")
            policy = load_model(asked.model).retraining
        verb = "Train" if asked.kind == "suggest" else "Start the requested training of"
        self.subject = f"{verb} {asked.model}?"
        self.body = _body(asked.reason, asked.causes)
        self.assigned_users = [{"id": name, "name": name} for name in policy.approvers] or None
        self.response_timeout = policy.answer_within
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Record who answered what, and wake the train Dag after a yes."""
        from include.lifecycle.decisions.questions import answer

        user = event.get("responded_by_user") or {}
        approved = self.APPROVE in (event.get("chosen_options") or [])
        comment = str((event.get("params_input") or {}).get("comment", ""))
        with airflow_errors():
            taken = answer(
                runtime(),
                run_context("all", context),
                int(self.question),
                approved=approved and bool(user),
                by=str(user["name"]) if user.get("name") else None,
                comment=comment,
            )
        if taken.state == "approved":
            wake(context["outlet_events"], [training_requested(taken.model)])
        self.log.info("question %s: %s", taken.question, taken.reason)
        return super().execute_complete(context, event)


def _take_external(context: Context, rt: Runtime, run: RunContext) -> None:
    """Read the asset's history, not only what started this run: events to a paused Dag start nothing, but are kept."""
    from include.lifecycle.decisions.deliveries import read_from, take_events
    from include.lifecycle.loading import model_names

    events: Any = context["inlet_events"][external_requests()]
    if (since := read_from(rt)) is not None:
        events = events.after(since.isoformat())
    take_events(rt, _external(events), model_names(), actor=run.actor)


def _external(events: Iterable[Any]) -> Iterable[ExternalEvent]:
    return [
        ExternalEvent(f"{event.id}:{event.timestamp.isoformat()}", event.timestamp, dict(event.extra or {})) for event in events
    ]


def _checked(specs: Sequence[ModelSpec], rt: Runtime, log: Any) -> list[dict[str, Any]]:
    """What `decide` would do about each model, and why; the database refuses any write on the way."""
    from include.lifecycle.decisions.preview import preview_decision

    answers = []
    for spec in specs:
        decision = preview_decision(spec, rt).decision
        log.info("%s: %s, %s", spec.name, decision.act, decision.reason)
        answers.append({"model": spec.name, "act": decision.act, "reason": decision.reason})
    return answers


def _body(reason: str, causes: dict[str, Any]) -> str:
    rows = [f"| {cause} | {told['effect']:.3g} | {told['version'] or ''} |" for cause, told in sorted(causes.items())]
    return "\n".join([reason, "", "| cause | effect | version |", "|---|---|---|", *rows])


def _person(context: Context) -> str | None:
    dag_run: Any = context["dag_run"]
    name: str | None = getattr(dag_run, "triggering_user_name", None)
    return name


def _is_true(value: Any) -> bool:
    """A boolean, or what templating made of one."""
    return value is True or str(value).lower() == "true"
