"""REST: measured windows, signals, health, decisions and trainings of one model, newest first. Read only; app.py mounts it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import Connection

from include.lifecycle.database import transaction
from include.lifecycle.decisions.listing import (
    DecisionMade,
    Health,
    MeasuredWindow,
    StandingSignal,
    find_health,
    knows,
    list_decisions,
    list_signals,
    list_windows,
)
from include.lifecycle.decisions.statistics import RetrainingStatistics, Training, retraining_statistics, trainings_of
from include.lifecycle.loading import model_names
from include.lifecycle.runtime import runtime

router = APIRouter(prefix="/models/{model}")
Limit = Annotated[int, Query(ge=1, le=500, description="so many at most")]
Before = Annotated[int | None, Query(ge=1, description="only those with a lower id, to read on")]
Version = Annotated[int | None, Query(ge=1, description="only this version")]
Verdicts = Annotated[bool, Query(description="every check's verdict with its evidence")]
State = Annotated[Literal["open", "accepted", "expired", "resolved"] | None, Query(description="only those of this state")]


@router.get("/windows")
def windows(
    model: str, version: Version = None, limit: Limit = 50, before: Before = None, verdicts: Verdicts = False
) -> list[MeasuredWindow]:
    """Measured windows, each revision apart."""
    with _known(model) as connection:
        return list_windows(connection, model, version=version, limit=limit, before=before, verdicts=verdicts)


@router.get("/signals")
def signals(model: str, state: State = None, limit: Limit = 50, before: Before = None) -> list[StandingSignal]:
    """Signals, of one state or of all."""
    with _known(model) as connection:
        return list_signals(connection, model, state=state, limit=limit, before=before)


@router.get("/health")
def health(model: str, limit: Limit = 50) -> Health:
    """How the champion stands; `limit` windows of history."""
    with _known(model) as connection:
        return find_health(connection, model, limit=limit)


@router.get("/decisions")
def decisions(model: str, limit: Limit = 50, before: Before = None) -> list[DecisionMade]:
    """What was decided about training, and why."""
    with _known(model) as connection:
        return list_decisions(connection, model, limit=limit, before=before)


@router.get("/trainings")
def trainings(model: str, limit: Limit = 50, before: Before = None) -> list[Training]:
    """Training requests, and what came of each."""
    with _known(model) as connection:
        return trainings_of(connection, model, limit=limit, before=before)


@router.get("/retraining")
def retraining(model: str) -> RetrainingStatistics:
    """All trainings of the model in numbers."""
    with _known(model) as connection:
        return retraining_statistics(connection, model)


@contextmanager
def _known(model: str) -> Iterator[Connection]:
    """A transaction; 404 for a model that is neither in the YAML files nor in any table."""
    with transaction(runtime().engine) as connection:
        if model not in model_names() and not knows(connection, model):
            raise HTTPException(404, f"there is no model {model!r}")
        yield connection
