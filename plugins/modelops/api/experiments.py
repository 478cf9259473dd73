"""REST: A/B and A/A tests, newest first, champion against challenger with verdicts and report. Read only; app.py mounts it."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from include.lifecycle.rollout.experiments.listing import ExperimentStanding, experiment_standings
from include.lifecycle.runtime import runtime

router = APIRouter()
Closed = Annotated[bool, Query(alias="all", description="the ended ones, too")]


@router.get("/experiments")
def experiments(closed: Closed = False) -> list[ExperimentStanding]:
    """The tests of all models; by default those under way."""
    return experiment_standings(runtime(), closed=closed)


@router.get("/models/{model}/experiment")
def experiment(model: str) -> ExperimentStanding:
    """A model's newest test; 404 when it had none."""
    found = experiment_standings(runtime(), model=model, closed=True)
    if not found:
        raise HTTPException(404, f"model {model!r} has had no A/B test")
    return found[0]
