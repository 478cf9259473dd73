"""What both versions decided in the same minutes, from the prediction log. Read only when the YAML limits the action rate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.monitoring.log_folder import remote_of
from include.lifecycle.rollout.judging.source_evidence import ActionEvidence
from include.lifecycle.rollout.sources.base import Look
from include.serving.log_schema import BASELINE, LIVE, logged_relation

if TYPE_CHECKING:
    import duckdb

EVERY = 30.0  # wall seconds between two readings
_SETTLED = 2.0  # wall seconds after which a served row stands in the log
_CUT = "SELECT median(prediction) FROM log WHERE assigned_version = $champion AND arm = $live AND prediction IS NOT NULL"
_MINUTES = """
WITH minutes AS (
  SELECT date_trunc('minute', logged_at) AS minute, {ours} AS ours, count(*) AS rows,
    count(*) FILTER (prediction >= $cut) AS positive, sum(prediction) AS total
  FROM log WHERE logged_at < to_timestamp($until) AND prediction IS NOT NULL AND ({ours} OR {theirs})
  GROUP BY ALL
)
SELECT one.ours, sum(one.rows), sum(one.positive), sum(one.total)
FROM minutes AS one WHERE EXISTS (SELECT 1 FROM minutes AS other WHERE other.minute = one.minute AND other.ours <> one.ours)
GROUP BY one.ours
"""


@dataclass(frozen=True)
class PredictionLogSource:
    """Reads what was logged since the last reading; a minute counts when both versions answered in it."""

    name: str = "predictions"

    def read(self, look: Look) -> dict[str, Any]:
        """`actions`: rows and positive decisions of both versions since the stage began, by assigned version.

        Positive is: a probability from `objective.threshold` on, a class other than the first, a value from the champion's first
        median on. Files that were shipped meanwhile are read from S3. Raises SourceUnavailableError when the log's files kept
        vanishing, or S3 did not answer; the next reading begins where the last good one ended.
        """
        before, plan = look.before.actions, look.plan
        since = before.at - _SETTLED if before else look.status.cursor.since
        if plan.limits.action_rate_change is None or plan.champion in (None, plan.version) or look.stage is None:
            return {}
        if look.stage.kind == "mirror" or not look.due(before.at if before else look.status.cursor.since, EVERY):
            return {}
        import duckdb

        folder = look.rt.storage.predictions(plan.model)
        with duckdb.connect(":memory:", config={"threads": "1"}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            try:
                began = datetime.fromtimestamp(since, UTC)
                logged_relation(connection, folder, began, remote=remote_of(look.rt.settings)).create("log")
            except (duckdb.Error, OSError, ValueError) as problem:
                raise SourceUnavailableError(f"prediction log {folder} of {plan.model}: {problem}") from problem
            return self._counted(connection, look, before)

    def _counted(self, connection: duckdb.DuckDBPyConnection, look: Look, before: ActionEvidence | None) -> dict[str, Any]:
        plan = look.plan
        cut = before.cut if before else self._cut(connection, look)
        if cut is None:
            return {}
        beside = BASELINE if look.stage is not None and look.stage.baseline else LIVE
        ours, theirs = "assigned_version = $version", "(assigned_version = $champion AND arm = $beside)"
        values = {"version": plan.version, "champion": plan.champion, "beside": beside, "cut": cut, "until": look.now - _SETTLED}
        found = connection.execute(_MINUTES.format(ours=ours, theirs=theirs), values).fetchall()
        sums = {bool(mine): (int(rows), int(positive), float(total)) for mine, rows, positive, total in found}
        return {"actions": _grown(before, cut, look.now, sums.get(True, (0, 0, 0.0)), sums.get(False, (0, 0, 0.0)))}

    def _cut(self, connection: duckdb.DuckDBPyConnection, look: Look) -> float | None:
        objective = look.plan.objective
        if objective is not None and objective.task == "binary_classification":
            return objective.threshold
        if objective is not None and objective.classes:
            return 1.0
        row = connection.execute(_CUT, {"champion": look.plan.champion, "live": LIVE}).fetchone()
        return None if row is None or row[0] is None else float(row[0])


def _grown(
    before: ActionEvidence | None, cut: float, at: float, ours: tuple[int, int, float], theirs: tuple[int, int, float]
) -> ActionEvidence:
    past = before or ActionEvidence(at=at)
    rows, champion_rows = past.rows + ours[0], past.champion_rows + theirs[0]
    return ActionEvidence(
        at=at,
        cut=cut,
        rows=rows,
        positive=past.positive + ours[1],
        champion_rows=champion_rows,
        champion_positive=past.champion_positive + theirs[1],
        mean=((past.mean or 0.0) * past.rows + ours[2]) / rows if rows else None,
        champion_mean=((past.champion_mean or 0.0) * past.champion_rows + theirs[2]) / champion_rows if champion_rows else None,
    )
