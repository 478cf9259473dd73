"""New data that is worth a training: how many rows with final labels came since the newest training's data ended.

Counted by the model's own training query, one statement per connection for all its models, and never beyond what each model
asks for. The watermark that keeps a count from being raised twice is its caller's (triggers/new_rows.py).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import DateTime, cast, func, select, tuple_

from include.lifecycle.data.source import Database, open_source, wrapped
from include.lifecycle.data.training_source import Access, TrainingRows, training_rows
from include.lifecycle.database import transaction
from include.lifecycle.decisions.deliveries import NEW_ROWS, forget_old, once
from include.lifecycle.decisions.raising import Fact, raise_fact
from include.lifecycle.errors import LifecycleError, SourceQueryError
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import ledger, training_requests
from include.lifecycle.training.permission import CONFIRM_ACT

log = logging.getLogger(__name__)
CAUSE = "volume:new_rows"
_LIMITED = ("postgresql", "mysql", "sqlite", "duckdb")


@dataclass(frozen=True)
class NewRows:
    """Rows of [since, until) by event time; counted up to the model's threshold, so `rows` is at most that."""

    model: str
    rows: int
    since: datetime
    until: datetime


def threshold_of(spec: ModelSpec) -> int | None:
    """How many new rows ask for a training; None: they are not counted."""
    wanted = spec.data.new_rows_threshold
    return None if isinstance(wanted, str) else wanted


def by_connection(specs: Sequence[ModelSpec]) -> dict[str, list[ModelSpec]]:
    """The models whose new rows are counted, by what is asked for them at once: a database, or files."""
    found: dict[str, list[ModelSpec]] = {}
    for spec in specs:
        if threshold_of(spec) is not None:
            kind = "database" if spec.data.dataset is None else "files"
            found.setdefault(f"{kind} {spec.data.connection or ''}".strip(), []).append(spec)
    return found


def trained_until(rt: Runtime) -> dict[str, datetime]:
    """By model, where the data of its newest training that made a version ended; a model never trained is not in it."""
    rows = training_requests.c
    made = select(rows.model, rows.run_id).where(rows.state == "done", rows.version.is_not(None))
    ended = func.max(cast(ledger.c.evidence["order"]["window_end"].as_string(), DateTime(timezone=True)))
    query = select(ledger.c.model, ended).where(ledger.c.kind == "training", ledger.c.act == CONFIRM_ACT)
    query = query.where(tuple_(ledger.c.model, ledger.c.run_id).in_(made)).group_by(ledger.c.model)
    with transaction(rt.engine) as connection:
        return {model: until for model, until in connection.execute(query) if until is not None}


def count_new_rows(specs: Sequence[ModelSpec], rt: Runtime, access: Access, marks: Mapping[str, datetime]) -> dict[str, NewRows]:
    """Count for all models of one connection at once; models without a mark, or whose mark is not past yet, are left out.

    One model's broken query does not hide the others: then each is asked alone, and the broken one is logged.

    Raises:
        SourceUnavailableError: the source did not answer.
        LifecycleError: none of the models could be counted; the first one's error.
    """
    asked = {spec.name: window for spec in specs if (window := _window(spec, rt, marks)) is not None}
    parts: dict[str, tuple[TrainingRows, int]] = {}
    problems: list[LifecycleError] = []
    for spec in specs:
        if spec.name not in asked:
            continue
        try:
            rows = training_rows(spec, rt, _order(spec, asked[spec.name], rt), access, "new rows")
        except LifecycleError as problem:
            log.error("model %s is left out of the count: %s", spec.name, problem)
            problems.append(problem)
            continue
        parts[spec.name] = (rows, threshold_of(spec) or 0)
    counted = _counted(parts, access, problems) if parts else {}
    if problems and not counted:
        raise problems[0]
    return {name: NewRows(name, rows, *asked[name]) for name, rows in counted.items()}


def raise_volume(spec: ModelSpec, rt: Runtime, found: NewRows, *, actor: str) -> bool:
    """Write the signal of this count, once for each mark that it starts from; False when that was done before."""
    wanted = threshold_of(spec) or 0
    reason = f"at least {found.rows:,} new rows with final labels since {found.since:%Y-%m-%d %H:%M} UTC"
    reason += f"; data.new_rows_threshold is {wanted:,}"
    evidence = {"rows": found.rows, "since": found.since.isoformat(), "until": found.until.isoformat()}
    with transaction(rt.engine) as connection:
        forget_old(connection, NEW_ROWS, rt.clock.now())
        if not once(connection, NEW_ROWS, f"{spec.name}:{found.since.isoformat()}", rt.clock.now(), reason):
            return False
        raise_fact(rt, connection, Fact(spec.name, CAUSE, 1.0, reason, evidence=evidence), actor=actor, adds=True)
    return True


def count_statement(parts: Mapping[str, tuple[TrainingRows, int]], dialect: str) -> str:
    """One statement (model, n) over all models. Each query is read no further than its threshold, where SQL can say so."""
    selects = []
    for model, (rows, most) in parts.items():
        limit = f"LIMIT {most}" if dialect in _LIMITED else ""
        selects.append(f"SELECT '{model}' AS model, count(*) AS n FROM ({wrapped('1 AS one', rows.query, limit)}) counted")  # noqa: S608 - names are [a-z0-9_], queries rendered by type
    return "\nUNION ALL\n".join(selects)


def _counted(parts: Mapping[str, tuple[TrainingRows, int]], access: Access, problems: list[LifecycleError]) -> dict[str, int]:
    if not isinstance(access, Database):
        return _each_alone(parts, problems)
    source = open_source(access, "the count of new rows")
    source.check()
    try:
        with source.stream(count_statement(parts, source.dialect.name)) as rows:
            return {str(row["model"]): int(row["n"]) for batch in rows for row in batch.to_pylist()}
    except SourceQueryError as problem:
        log.warning("the count of new rows is asked model by model: %s", problem)
        return _each_alone(parts, problems)


def _each_alone(parts: Mapping[str, tuple[TrainingRows, int]], problems: list[LifecycleError]) -> dict[str, int]:
    found = {}
    for model, (rows, most) in parts.items():
        try:
            found[model] = min(rows.source.count(rows.query), most)
        except SourceQueryError as problem:
            log.error("model %s is left out of the count: %s", model, problem)
            problems.append(problem)
    return found


def _window(spec: ModelSpec, rt: Runtime, marks: Mapping[str, datetime]) -> tuple[datetime, datetime] | None:
    since, until = marks.get(spec.name), rt.clock.now() - spec.labels.mature_after
    return None if since is None or since >= until else (since, until)


def _order(spec: ModelSpec, window: tuple[datetime, datetime], rt: Runtime) -> TrainingOrder:
    return TrainingOrder(
        model=spec.name,
        request_ids=[],
        source="signal",
        reason="count",
        as_of=rt.clock.now(),
        window_start=window[0],
        window_end=window[1],
    )
