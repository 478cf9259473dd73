"""REST: the report pages of a model and of the fleet, newest first. Read only; app.py mounts it, and gives out the pages."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from include.lifecycle.loading import model_names
from include.lifecycle.reporting.listing import ReportPage, list_reports
from include.lifecycle.reporting.periodic.fleet import FLEET
from include.lifecycle.runtime import runtime

router = APIRouter()
Kind = Annotated[
    str | None, Query(description="only daily, weekly, monthly, quarterly, window (Evidently's), evaluation, validation, ...")
]
Limit = Annotated[int, Query(ge=1, le=500, description="so many at most")]


@router.get("/reports")
def fleet_reports(kind: Kind = None, limit: Limit = 100) -> list[ReportPage]:
    """The reports about all models."""
    return list_reports(runtime().storage, FLEET, kind=kind, limit=limit)


@router.get("/models/{model}/reports")
def model_reports(model: str, kind: Kind = None, limit: Limit = 100) -> list[ReportPage]:
    """The pages about one model; 404 for a model that has neither a YAML nor a page."""
    found = list_reports(runtime().storage, model, kind=kind, limit=limit)
    if not found and model not in model_names() and not list_reports(runtime().storage, model, limit=1):
        raise HTTPException(404, f"there is no model {model!r}")
    return found
