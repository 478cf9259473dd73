"""Measures a model's open A/B or A/A test: exposure, outcomes, differences -> one row of `experiments` and the report.

Run every few minutes by the Dag `measure_experiments`, which holds the way to labels and business data; the rollout's driver only
reads the row. Run again it replaces the row; nothing is counted twice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, RowMapping, select
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.data.training_source import Access
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.monitoring.log_folder import remote_of
from include.lifecycle.rollout.evidence import ExperimentEvidence
from include.lifecycle.rollout.experiments.differences import Exposure, Metric, Rules, experiment_evidence
from include.lifecycle.rollout.experiments.exposure import Exposed, read_exposure
from include.lifecycle.rollout.experiments.outcomes import BUSINESS, LOSS, SUCCESS, business_values, label_metrics, matched_labels
from include.lifecycle.rollout.experiments.page import write_page
from include.lifecycle.rollout.states import OPEN_STATES, Plan, Stage, State, Status
from include.lifecycle.runtime import Runtime
from include.lifecycle.sections.rollout_strategies import AbTestSection
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.difference import Floats
from include.lifecycle.tables import experiments, rollouts

MOST_HISTORY = 400  # points of the report's curve; beyond it every second one goes


def running_experiments(connection: Connection) -> list[str]:
    """Names of the models whose open rollout is in an A/B or A/A test now."""
    query = select(rollouts).where(rollouts.c.state == State.RUNNING.value).order_by(rollouts.c.model)
    return [row["model"] for row in connection.execute(query).mappings() if _stage(row) is not None]


def measure_experiment(spec: ModelSpec, rt: Runtime, access: Access) -> ExperimentEvidence | None:
    """Measure the model's running test and store what was found; None when none is running.

    `access`: database of labels and business values, or the S3 account of a dataset.
    Raises:
        SourceUnavailableError: our database, the prediction log or the labels' source did not answer (retryable).
        SourceQueryError: a query was refused.
    """
    with transaction(rt.engine) as connection:
        row = _running(connection, spec.name)
    if row is None:
        return None
    plan, status = Plan.model_validate(row["plan"]), Status.model_validate(row["status"])
    evidence = measured(spec, rt, plan, status, access)
    return _stored(rt, row["id"], plan, evidence)


def measured(spec: ModelSpec, rt: Runtime, plan: Plan, status: Status, access: Access) -> ExperimentEvidence:
    """What the test shows now, from the log since its stage began."""
    rules, stage = _agreed(plan, status)
    started = datetime.fromtimestamp(status.cursor.since, UTC)
    objective = plan.objective or spec.objective
    folder, remote = rt.storage.predictions(spec.name), remote_of(rt.settings)
    exposed = read_exposure(plan, folder, started, len(objective.classes), remote=remote)
    now = rt.clock.now()
    labels = matched_labels(spec, rt.settings, access, exposed, now)
    values = label_metrics(objective, exposed, labels)
    if rules.business.query is not None:
        values[BUSINESS] = business_values(spec, rules.business, rt.settings, access, exposed, now)
    evidence = experiment_evidence(_exposure(exposed, labels), _metrics(spec.name, rules, values), _rules(plan, rules, stage))
    measured_at = datetime.now(UTC)
    told: dict[str, Any] = {"started": started.isoformat(), "measured_at": measured_at.isoformat(), "as_of": now.isoformat()}
    told["elapsed_seconds"] = round((measured_at - (status.since or started)).total_seconds())
    return evidence.model_copy(update={"detail": evidence.detail | told})


def deciding_metric(rules: AbTestSection, values: dict[str, Floats]) -> str:
    """Name of the metric that decides: the YAML's, else success, or loss where nothing is decided."""
    return rules.metric or (SUCCESS if SUCCESS in values else LOSS)


def _metrics(model: str, rules: AbTestSection, values: dict[str, Floats]) -> list[Metric]:
    """The deciding metric first. The other label metric is left out: it says the same thing another way, and costs level."""
    chosen = deciding_metric(rules, values)
    if chosen not in values:
        raise SpecInvalidError(f"{model}: rollout.ab_test.metric is {chosen!r}; there is {', '.join(values)} for its task")
    guards = [BUSINESS] if chosen != BUSINESS and BUSINESS in values else []
    guards += [SUCCESS if SUCCESS in values else LOSS] if chosen == BUSINESS else []
    higher = {SUCCESS: True, LOSS: False, BUSINESS: rules.business.direction == "higher"}
    return [Metric(name, values[name], higher[name], name == chosen) for name in (chosen, *guards)]


def _agreed(plan: Plan, status: Status) -> tuple[AbTestSection, Stage]:
    stage = plan.stage_at(status.step)
    if plan.ab_test is None or stage is None:
        raise SpecInvalidError(f"rollout of {plan.model} {plan.version} is in no A/B test")
    return plan.ab_test, stage


def _rules(plan: Plan, rules: AbTestSection, stage: Stage) -> Rules:
    share = (stage.percent or stage.baseline) / 100
    return Rules(share, rules.alpha, plan.alpha, rules.minimum_samples)


def _exposure(exposed: Exposed, labels: Floats) -> Exposure:
    return Exposure(
        challenger=exposed.challenger,
        crossed=exposed.crossed,
        rows=int(exposed.codes.size) + exposed.rows_without_key,
        rows_without_key=exposed.rows_without_key,
        rows_without_label=int(np.sum(~np.isfinite(labels))),
    )


def _running(connection: Connection, model: str) -> RowMapping | None:
    query = select(rollouts).where(rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES))
    row = connection.execute(query).mappings().first()
    return row if row is not None and _stage(row) is not None else None


def _stage(row: RowMapping) -> Stage | None:
    """The test's stage that the rollout is in."""
    plan, status = Plan.model_validate(row["plan"]), Status.model_validate(row["status"])
    stage = plan.stage_at(status.step) if status.state is State.RUNNING else None
    return stage if stage is not None and stage.kind == "ab_test" else None


def _stored(rt: Runtime, rollout_id: int, plan: Plan, evidence: ExperimentEvidence) -> ExperimentEvidence:
    """Replace the test's row, with the curve of its estimates so far, and write the page."""
    with transaction(rt.engine) as connection:
        lock_model(connection, plan.model)
        before = connection.execute(select(experiments.c.evidence).where(experiments.c.rollout_id == rollout_id)).scalar()
        history = _history(before, evidence)
        row = connection.execute(select(rollouts).where(rollouts.c.id == rollout_id)).mappings().one()
        path = write_page(rt.storage, dict(row), evidence, history)
        found = evidence.model_copy(update={"detail": evidence.detail | {"report": str(path)}})
        plain = found.model_dump(mode="json")
        plain["detail"]["history"] = history
        values = {"rollout_id": rollout_id, "model": plan.model, "at": rt.clock.now(), "evidence": plain}
        values["wall_at"] = datetime.now(UTC)
        statement = insert(experiments).values(values)
        connection.execute(statement.on_conflict_do_update(index_elements=["rollout_id"], set_=values))
    return found


def _history(before: dict[str, Any] | None, now: ExperimentEvidence) -> list[list[Any]]:
    """Points (measured at, samples, difference, lower, upper), oldest first; of another stage's test none are kept."""
    earlier = (before or {}).get("detail", {})
    points = list(earlier.get("history", [])) if earlier.get("started") == now.detail["started"] else []
    both = now.samples + now.champion_samples
    if points and points[-1][1:] == [both, now.difference, now.lower, now.upper]:
        return points
    points.append([now.detail["measured_at"], both, now.difference, now.lower, now.upper])
    return points if len(points) <= MOST_HISTORY else points[:-1:2] + points[-1:]
