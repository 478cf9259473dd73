"""What really happened, read from where it is kept: our tables, and MLflow's registry over REST. The story shows and sums it up.

Every read raises SourceUnavailableError when its source does not answer, and may be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from sqlalchemy import Engine, RowMapping, Select, func, select

from include.lifecycle.database import transaction
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.rollout.states import OPEN_STATES
from include.lifecycle.tables import candidates, ledger, rollouts, signals, training_requests, windows

ARCHIVED = "Archived"


@dataclass(frozen=True)
class TableFacts:
    """Rows of one model."""

    engine: Engine
    model: str

    def newest_ledger_id(self) -> int:
        """Id of the newest ledger row of any model, 0 for an empty ledger."""
        return int(self._scalar(select(func.max(ledger.c.id))) or 0)

    def newest_event_time(self) -> datetime | None:
        """The newest event time that the ledger knows."""
        found = self._scalar(select(func.max(ledger.c.at)))
        return found if isinstance(found, datetime) else None

    def ledger_after(self, row_id: int) -> Sequence[RowMapping]:
        """Ledger rows of the model after `row_id`, oldest first."""
        return self._rows(select(ledger).where(ledger.c.model == self.model, ledger.c.id > row_id).order_by(ledger.c.id))

    def newest_request_id(self) -> int:
        """Id of the model's newest training request, 0 when there is none."""
        query = select(func.max(training_requests.c.id)).where(training_requests.c.model == self.model)
        return int(self._scalar(query) or 0)

    def requests_of(self, run_id: str) -> Sequence[RowMapping]:
        """Training requests that a run claimed."""
        mine = (training_requests.c.model == self.model) & (training_requests.c.run_id == run_id)
        return self._rows(select(training_requests).where(mine).order_by(training_requests.c.id))

    def claimed_for_signal(self, after: int, besides: Sequence[str]) -> RowMapping | None:
        """The first training request newer than `after` that a signal asked for and a run, none of `besides`, claimed."""
        table = training_requests.c
        query = select(training_requests).where(table.model == self.model, table.source == "signal", table.id > after)
        return self._first(query.where(table.run_id.is_not(None), table.run_id.not_in(besides)).order_by(table.id))

    def candidate(self, version: int) -> RowMapping | None:
        """The candidate row of a version; None when it may not be rolled out."""
        return self._first(select(candidates).where(candidates.c.model == self.model, candidates.c.version == version))

    def training_now(self) -> str | None:
        """Run id of a training that is under way."""
        mine = (training_requests.c.model == self.model) & (training_requests.c.state == "claimed")
        found = self._scalar(select(training_requests.c.run_id).where(mine).limit(1))
        return None if found is None else str(found)

    def signal_of(self, request_id: int) -> RowMapping | None:
        """The signal that a training was requested for, not one that was accepted with it: effects of kinds do not compare."""
        leading = select(training_requests.c.cause["cause"].astext).where(training_requests.c.id == request_id).scalar_subquery()
        query = select(signals).where(signals.c.training_request_id == request_id)
        return self._first(query.order_by((signals.c.cause == leading).desc(), signals.c.effect.desc()))

    def open_signals(self) -> Sequence[RowMapping]:
        """Signals that stand now."""
        return self._rows(select(signals).where(signals.c.model == self.model, signals.c.state == "open").order_by(signals.c.id))

    def rollout_of(self, version: int) -> RowMapping | None:
        """The newest rollout of a version."""
        mine = (rollouts.c.model == self.model) & (rollouts.c.version == version)
        return self._first(select(rollouts).where(mine).order_by(rollouts.c.id.desc()))

    def open_rollout(self) -> RowMapping | None:
        """The model's rollout that is under way."""
        return self._first(select(rollouts).where(rollouts.c.model == self.model, rollouts.c.state.in_(OPEN_STATES)))

    def newest_window(self) -> RowMapping | None:
        """The window that was measured last."""
        return self._first(select(windows).where(windows.c.model == self.model).order_by(windows.c.id.desc()))

    def _rows(self, query: Select[Any]) -> Sequence[RowMapping]:
        with transaction(self.engine) as connection:
            return connection.execute(query).mappings().all()

    def _first(self, query: Select[Any]) -> RowMapping | None:
        return next(iter(self._rows(query.limit(1))), None)

    def _scalar(self, query: Select[Any]) -> Any:
        with transaction(self.engine) as connection:
            return connection.execute(query).scalar()


@dataclass(frozen=True)
class RegisteredModel:
    """What MLflow's registry says of one version."""

    version: int
    run_id: str
    stage: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class RegistryFacts:
    """MLflow's registry over REST: importing MLflow would take seconds of a machine that has work to do."""

    url: str
    model: str

    def alias(self, name: str) -> int | None:
        """The version that holds an alias, None when no version does."""
        answer = self._get("registered-models/alias", {"name": self.model, "alias": name}, missing={400, 404})
        return int(answer["model_version"]["version"]) if answer else None

    def holders(self) -> set[int]:
        """Versions that hold the alias champion or previous."""
        return {version for name in ("champion", "previous") if (version := self.alias(name)) is not None}

    def versions(self) -> list[RegisteredModel]:
        """All versions, oldest first, with the metrics of their runs."""
        answer = self._get("model-versions/search", {"filter": f"name='{self.model}'", "max_results": "1000"})
        rows = sorted(answer.get("model_versions", []), key=lambda row: int(row["version"]))
        return [self._version(row) for row in rows]

    def _version(self, row: dict[str, Any]) -> RegisteredModel:
        tags = {tag["key"]: tag["value"] for tag in row.get("tags", [])}
        run = self._get("runs/get", {"run_id": row["run_id"]}, missing={400, 404})
        metrics = run.get("run", {}).get("data", {}).get("metrics", [])
        values = {metric["key"]: float(metric["value"]) for metric in metrics}
        return RegisteredModel(int(row["version"]), row["run_id"], tags.get("stage", "None"), values)

    def _get(self, path: str, parameters: dict[str, str], missing: set[int] | None = None) -> dict[str, Any]:
        try:
            answer = httpx.get(f"{self.url}/api/2.0/mlflow/{path}", params=parameters, timeout=10)
        except httpx.TransportError as problem:
            raise SourceUnavailableError(f"MLflow at {self.url} did not answer: {problem!r}") from problem
        if missing and answer.status_code in missing:
            return {}
        if not answer.is_success:
            raise SourceUnavailableError(
                f"MLflow at {self.url} answered {path} with HTTP {answer.status_code}: {answer.text[:300]}"
            )
        return dict(answer.json())
