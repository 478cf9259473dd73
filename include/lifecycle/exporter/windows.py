"""The newest window of each version that serves, as metrics: drift, performance, health; and how old it is.

Verdicts are read once per window: between two windows a scrape asks for their ids only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select, text

from include.lifecycle.exporter.families import Families
from include.lifecycle.monitoring.kinds import COVARIATE, CREEP, EQUIPMENT, POPULATION, PREDICTION_DRIFT, SKEW
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import windows

_DRIFT = (COVARIATE, POPULATION, EQUIPMENT)
_COLUMN_KINDS = (*_DRIFT, CREEP, SKEW)
_SCHEDULES = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}
# One probe of the index per served version, and one per model for the newest window with labels.
_NEWEST = text("""
    SELECT d.model, w.id
    FROM desired_traffic d
    CROSS JOIN LATERAL (SELECT key::int AS version FROM jsonb_object_keys(d.weights) key
                        UNION SELECT d.champion WHERE d.champion IS NOT NULL) v
    CROSS JOIN LATERAL (SELECT id FROM windows WHERE model = d.model AND version = v.version
                        ORDER BY window_start DESC, window_end DESC, revision DESC LIMIT 1) w
""")
_AGES = text("""
    SELECT d.model,
           (SELECT max(window_end) FROM windows WHERE model = d.model) AS measured,
           (SELECT max(window_end) FROM windows WHERE model = d.model AND mature_rows > 0) AS labelled,
           (SELECT min(created_at) FROM rollouts WHERE model = d.model) AS since
    FROM desired_traffic d
""")


@dataclass
class NewestWindows:
    """Rows of newest windows by their id, kept from one scrape to the next."""

    kept: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, families: Families, connection: Connection) -> None:
        """Metrics of the newest window of every version that has a share of traffic or is the champion."""
        wanted = {int(row.id) for row in connection.execute(_NEWEST)}
        self.kept = {known: row for known, row in self.kept.items() if known in wanted}
        if missing := wanted - set(self.kept):
            query = select(windows).where(windows.c.id.in_(bindparam("ids", expanding=True)))
            for row in connection.execute(query, {"ids": sorted(missing)}).mappings():
                self.kept[int(row["id"])] = dict(row)
        for kept in self.kept.values():
            _add_window(families, kept)


def add_ages(families: Families, connection: Connection, specs: dict[str, ModelSpec], now: datetime) -> None:
    """How old the newest window and the newest mature labels of each served model are, and how old they may be (event time).

    A window is due every `monitoring.window`, looked for at each `monitoring.schedule`; labels come later, by
    `labels.mature_after`. A model that was never measured counts from its first rollout.
    """
    for row in connection.execute(_AGES).mappings():
        spec, model = specs.get(row["model"]), row["model"]
        if spec is None:
            continue
        due = max(_SCHEDULES[spec.monitoring.schedule], spec.monitoring.window).total_seconds()
        text = "event time since the newest measured window ended"
        families.gauge("model_window_age_seconds", text, _age(now, row["measured"] or row["since"]), model=model)
        families.gauge("model_window_interval_seconds", "event time from one window to the next", due, model=model)
        if spec.labels.query is not None or spec.data.dataset is not None:
            text = "event time since the newest window with mature labels ended"
            families.gauge("model_labels_age_seconds", text, _age(now, row["labelled"] or row["since"]), model=model)
            mature = spec.labels.mature_after.total_seconds()
            families.gauge("model_labels_mature_seconds", "labels.mature_after", mature, model=model)


def _age(now: datetime, at: datetime | None) -> float | None:
    return None if at is None else (now - at).total_seconds()


def _add_window(families: Families, row: dict[str, Any]) -> None:
    own = {"model": row["model"], "version": row["version"]}
    families.gauge("model_window_rows", "predictions of the newest window", row["rows"], **own)
    families.gauge("model_window_mature_rows", "its predictions with a mature label", row["mature_rows"], **own)
    families.gauge("model_window_end_timestamp_seconds", "event time at which it ended", row["window_end"].timestamp(), **own)
    families.gauge("model_window_measured_timestamp_seconds", "wall time of its measurement", row["wall_at"].timestamp(), **own)
    families.gauge("model_health_score", "health of the newest window, 0 to 1", row["health"], **own)
    for part, value in row["health_parts"].items():
        if isinstance(value, int | float):
            families.gauge("model_health_part", "parts of the health, 0 to 1", value, **own, part=part)
    _add_performance(families, row["measurements"], own)
    _add_drift(families, row["verdicts"], own)


def _add_performance(families: Families, measurements: dict[str, Any], own: dict[str, Any]) -> None:
    coverage = measurements.get("label_coverage")
    families.gauge("model_label_coverage", "share of its predictions with a mature label", _number(coverage), **own)
    performance = measurements.get("performance") or {}
    families.gauge("model_accuracy", "accuracy on its mature labels", _number(performance.get("accuracy")), **own)
    for metric, value in performance.items():
        families.gauge("model_performance", "measurements on its mature labels", _number(value), **own, metric=metric)


def _add_drift(families: Families, verdicts: list[dict[str, Any]], own: dict[str, Any]) -> None:
    """Distances of conclusive checks, whether they failed or not; the score is the largest."""
    largest: float | None = None
    failed: dict[str, int] = {}
    for verdict in verdicts:
        kind, _, column = str(verdict["check"]).partition(":")
        failed[kind] = failed.get(kind, 0) + (verdict["outcome"] == "fail")
        effect = _number((verdict.get("evidence") or {}).get("effect"))
        if verdict["outcome"] == "inconclusive" or effect is None:
            continue
        if kind in _COLUMN_KINDS and column:
            text = "distance of a column to its reference"
            column, _, aspect = column.partition(":")
            families.gauge("model_column_drift_score", text, effect, **own, column=column, kind=kind, aspect=aspect)
        if kind in _DRIFT:
            largest = effect if largest is None else max(largest, effect)
        if kind == PREDICTION_DRIFT:
            families.gauge("model_prediction_drift_score", "distance of the predictions to the hold-out's", effect, **own)
    families.gauge("model_drift_score", "largest distance of a column to its reference, newest window", largest, **own)
    for kind, count in failed.items():
        families.gauge("model_failed_checks", "checks of the newest window that failed", count, **own, kind=kind)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
