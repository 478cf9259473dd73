"""REST: the rollouts of all models and of one, newest first, and one with approval and history. Read only; app.py mounts it."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from include.lifecycle.database import transaction
from include.lifecycle.loading import model_names
from include.lifecycle.rollout.telling.deployments import Deployment, DeploymentDetail, find_deployment, list_deployments
from include.lifecycle.runtime import runtime

router = APIRouter()
Open = Annotated[bool, Query(alias="open", description="only those under way")]
Limit = Annotated[int, Query(ge=1, le=500, description="so many at most")]
Before = Annotated[int | None, Query(ge=1, description="only those with a lower id, to read on")]


@router.get("/deployments")
def deployments(only_open: Open = False, limit: Limit = 50, before: Before = None) -> list[Deployment]:
    """The rollouts of all models."""
    with transaction(runtime().engine) as connection:
        return list_deployments(connection, only_open=only_open, limit=limit, before=before)


@router.get("/models/{model}/deployments")
def deployments_of(model: str, only_open: Open = False, limit: Limit = 50, before: Before = None) -> list[Deployment]:
    """The rollouts of one model; 404 for a model that is neither in the YAML files nor was ever rolled out."""
    with transaction(runtime().engine) as connection:
        found = list_deployments(connection, model, only_open=only_open, limit=limit, before=before)
        known = found or model in model_names() or list_deployments(connection, model, limit=1)
    if not known:
        raise HTTPException(404, f"there is no model {model!r}")
    return found


@router.get("/models/{model}/deployments/{number}")
def deployment(model: str, number: int) -> DeploymentDetail:
    """One rollout with everything about it; 404 when the model has none of that number."""
    with transaction(runtime().engine) as connection:
        found = find_deployment(connection, model, number)
    if found is None:
        raise HTTPException(404, f"model {model!r} has no rollout {number}")
    return found
