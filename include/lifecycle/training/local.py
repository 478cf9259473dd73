"""A whole training in plain processes, without Airflow: the very functions that the train Dag's tasks call, in their order.

For `cli train --local`, `cli log-model` and the benchmark that measures what Airflow adds. It claims no training requests: those
that wait stay the Dag's. Permission, gates, ledger and registry are the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any
from uuid import uuid4

from sqlalchemy import URL

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import TrainingRefusedError
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.client import champion_version
from include.lifecycle.results import (
    Evaluation,
    FetchedData,
    PreparedData,
    RegisteredVersion,
    Snapshot,
    StudyPlan,
    TrainedModel,
    TrainingOrder,
)
from include.lifecycle.runtime import RunContext, Runtime, build_runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.conf import TrainingConf, read_conf
from include.lifecycle.training.permission import CONFIRM_ACT, FORCED, refusal
from include.settings import Settings


@dataclass
class LocalTraining:
    """One training run of `spec` outside Airflow; `seconds` holds each stage's wall time, in the Dag's task names."""

    spec: ModelSpec
    rt: Runtime
    url: URL | None
    run_id: str = field(default_factory=lambda: f"local__{datetime.now(UTC):%Y%m%dT%H%M%S}__{uuid4().hex[:6]}")
    seconds: dict[str, float] = field(default_factory=dict)

    def train(self, conf: dict[str, Any]) -> tuple[Evaluation, RegisteredVersion]:
        """All stages; `conf` as of the Dag's form (reason, method, trials, force).

        Raises:
            TrainingRefusedError: freeze, budget, open rollout or another training.
            LifecycleError: what the stages raise.
        """
        order = self.confirm(conf)
        fetched, snapshot = self.data(order)
        prepared, plan = self.prepare(order, fetched)
        self.tune(plan, prepared)
        return self.finish(order, snapshot, prepared, self.fit(order, plan, prepared))

    def confirm(self, conf: dict[str, Any]) -> TrainingOrder:
        """Ask for permission as confirm_training does, and note the order in the ledger."""
        wanted, rt, spec = read_conf(conf, self.spec), self.rt, self.spec
        with self.stage("confirm_training") as run:
            champion = champion_version(rt, spec.name)
            with transaction(rt.engine) as connection:
                lock_model(connection, spec.name)
                now = rt.clock.now()
                refused = refusal(connection, spec, run.run_id, now, sources={"manual"}, force=wanted.force)
                if refused is not None:
                    raise TrainingRefusedError(f"model {spec.name}: {refused.reason}")
                order = _order(spec, wanted, now, champion)
                evidence = {"order": order.model_dump(mode="json"), FORCED: wanted.force, "requested_by": [run.actor]}
                rt.ledger.write(_entry(spec, run, order.reason, evidence), connection)
        return order

    def data(self, order: TrainingOrder) -> tuple[FetchedData, Snapshot]:
        """Fetch, validate (bad rows are set aside), snapshot; returns what is left to learn from."""
        from include.lifecycle.data.fetch import fetch_data
        from include.lifecycle.data.snapshot import snapshot_data
        from include.lifecycle.data.validation import validate_data

        with self.stage("fetch_data") as run:
            fetched = fetch_data(self.spec, self.rt, run, order, self.url)
        with self.stage("validate_data") as run:
            fetched = validate_data(self.spec, self.rt, run, fetched).clean
        with self.stage("snapshot_data") as run:
            return fetched, snapshot_data(self.spec, self.rt, run, fetched)

    def prepare(self, order: TrainingOrder, fetched: FetchedData) -> tuple[PreparedData, StudyPlan]:
        """Split the rows and open the study."""
        from include.lifecycle.data.preparation import prepare_data
        from include.lifecycle.training.tuning import open_study

        with self.stage("prepare_data") as run:
            prepared = prepare_data(self.spec, self.rt, run, order, fetched)
            return prepared, open_study(self.spec, self.rt, run, order, prepared)

    def tune(self, plan: StudyPlan, prepared: PreparedData) -> None:
        """All trials, by as many fresh processes as the Dag has workers."""
        settings, spec, context = self.rt.settings, self.spec, get_context("spawn")
        with self.stage("tune") as run, ProcessPoolExecutor(plan.workers, mp_context=context) as pool:
            shares = [pool.submit(_tune_here, settings, spec, run, plan, prepared, worker) for worker in range(plan.workers)]
            for share in shares:
                share.result()

    def fit(self, order: TrainingOrder, plan: StudyPlan, prepared: PreparedData) -> TrainedModel:
        """Refit the winner on all training rows."""
        from include.lifecycle.training.fitting import train_model

        with self.stage("train_model") as run:
            return train_model(self.spec, self.rt, run, order, plan, prepared)

    def finish(
        self, order: TrainingOrder, snapshot: Snapshot, prepared: PreparedData, trained: TrainedModel
    ) -> tuple[Evaluation, RegisteredVersion]:
        """Judge by the gates and register; a version that lost is registered too, without a candidate."""
        from include.lifecycle.evaluation.evaluate import evaluate_model
        from include.lifecycle.registry.registration import register_model

        with self.stage("evaluate_model") as run:
            judged = evaluate_model(self.spec, self.rt, run, order, prepared, trained)
        with self.stage("register_model") as run:
            return judged, register_model(self.spec, self.rt, run, order, snapshot, prepared, trained, judged)

    def run(self, task: str) -> RunContext:
        """The task's place in folders and ledger."""
        return RunContext(self.spec.name, self.run_id, task)

    @contextmanager
    def stage(self, task: str) -> Iterator[RunContext]:
        """Yield the task's context and note its wall time."""
        started = time.monotonic()
        yield self.run(task)
        self.seconds[task] = time.monotonic() - started


def _tune_here(settings: Settings, spec: ModelSpec, run: RunContext, plan: StudyPlan, prepared: PreparedData, worker: int) -> int:
    """In a process of its own: one worker's share; how many trials it ran."""
    from include.lifecycle.training.tuning import run_trials

    return run_trials(spec, build_runtime(settings), run, plan, prepared, worker).trials


def _order(spec: ModelSpec, wanted: TrainingConf, now: datetime, champion: int | None) -> TrainingOrder:
    return TrainingOrder(
        model=spec.name,
        request_ids=[],
        source="manual",
        reason=wanted.reason or "somebody trained on the command line",
        cause={"cause": "manual"},
        method=wanted.method or spec.training.method,
        as_of=now,
        window_start=now - spec.data.window,
        window_end=now - spec.labels.mature_after,
        champion=champion,
        overrides={"trials": wanted.trials} if wanted.trials else {},
    )


def _entry(spec: ModelSpec, run: RunContext, reason: str, evidence: dict[str, Any]) -> Entry:
    return Entry(
        model=spec.name,
        kind="training",
        act=CONFIRM_ACT,
        reason=reason,
        actor=f"command line:{run.task}",
        spec_hash=spec.digest,
        run_id=run.run_id,
        idempotency_key=f"confirm-training:{run.model}:{run.run_id}",
        evidence=evidence,
    )
