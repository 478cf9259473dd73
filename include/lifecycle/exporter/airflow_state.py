"""What Airflow says of itself as metrics: components, paused Dags, runs by state, files that cannot be read. Asked by REST.

It is asked in the background: an Airflow that hangs delays no scrape, and the answer's age is a metric, too.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from include.lifecycle.airflow_api import AirflowApi
from include.lifecycle.errors import LifecycleError
from include.lifecycle.exporter.families import Families
from include.settings import Settings

log = logging.getLogger(__name__)
PIPELINES = ("train__", "deploy__")
"""Prefixes of the Dags whose runs count as pipelines for the KPI "pipeline success"."""

_KPI_DAYS = 30
_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


@dataclass(frozen=True)
class AirflowState:
    """One answer: component -> healthy, Dag -> paused, (Dag, state) -> runs, and (pipeline, outcome) -> runs of 30 days."""

    components: dict[str, bool]
    paused: dict[str, bool]
    runs: dict[tuple[str, str], int]
    recent: dict[tuple[str, str], int]
    import_errors: int


@dataclass
class AirflowWatch:
    """Asks Airflow every `every` seconds; `add` tells what was last heard."""

    settings: Settings
    every: float = 30.0
    _state: AirflowState | None = None
    _heard: float | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Ask in a thread until `stop`."""
        threading.Thread(target=self._run, name="airflow", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()

    def look(self) -> None:
        """Ask once; without an answer the state is unknown, never the last one."""
        try:
            self._state = read_airflow(self.settings)
            self._heard = time.time()
        except LifecycleError as problem:
            log.warning("Airflow's state is unknown: %s", problem)
            self._state = None

    def add(self, families: Families) -> None:
        """Airflow's metrics; `modelops_airflow_up` alone while it does not answer."""
        state = self._state
        families.gauge("modelops_airflow_up", "1 while Airflow's API answers", state is not None)
        text = "wall time of Airflow's last answer"
        families.gauge("modelops_airflow_heard_timestamp_seconds", text, self._heard)
        if state is None:
            return
        for component, healthy in state.components.items():
            text = "1 while Airflow calls the component healthy"
            families.gauge("modelops_airflow_component_up", text, healthy, component=component)
        families.gauge("modelops_dag_import_errors", "Dag files that cannot be read", state.import_errors)
        for dag, paused in state.paused.items():
            families.gauge("modelops_dag_paused", "1 while the Dag is paused", paused, dag_id=dag, kind=_kind(dag))
        for (dag, outcome), count in state.runs.items():
            families.gauge(
                "modelops_dag_runs", "runs that Airflow keeps, by state", count, dag_id=dag, state=outcome, kind=_kind(dag)
            )
        for (pipeline, outcome), count in state.recent.items():
            text = "runs of train and deploy Dags that ended within 30 days"
            families.gauge("modelops_pipeline_runs_30d", text, count, pipeline=pipeline, outcome=outcome)

    def _run(self) -> None:
        while not self._ended.is_set():
            self.look()
            self._ended.wait(self.every)


def read_airflow(settings: Settings) -> AirflowState:
    """Ask Airflow's REST API; LifecycleError when it does not answer or refuses."""
    with AirflowApi(settings) as api:
        health = api.health()
        components = {name: health.get(name, {}).get("status") == "healthy" for name in _COMPONENTS if name in health}
        return AirflowState(components, api.paused_dags(), api.run_counts(), _recent(api), len(api.import_errors()))


def _recent(api: AirflowApi) -> dict[tuple[str, str], int]:
    since = (datetime.now(UTC) - timedelta(days=_KPI_DAYS)).isoformat()
    found: dict[tuple[str, str], int] = {}
    for prefix in PIPELINES:
        for state in ("success", "failed"):
            found[prefix.rstrip("_"), state] = api.count_runs(dag_id_prefix=prefix, state=state, ended_since=since)
    return found


def _kind(dag: str) -> str:
    """`pipeline` for a model's own Dags, `platform` for the rest."""
    return "pipeline" if dag.startswith(PIPELINES) else "platform"
