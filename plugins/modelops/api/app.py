"""The plugin's REST app under `/modelops/v1`: every route asks for Airflow's own login first (a mounted app inherits none)."""

from pathlib import Path

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view, requires_authenticated
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse

from include.lifecycle.runtime import runtime
from include.lifecycle.storage import segment
from modelops.api.alert_list import router as alerts
from modelops.api.deployments import router as deployments
from modelops.api.experiments import router as experiments
from modelops.api.monitoring import router as monitoring
from modelops.api.reports import router as reports

app = FastAPI(
    title="ModelOps",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[Depends(requires_authenticated()), Depends(requires_access_view(AccessView.PLUGINS))],
)
for router in (alerts, deployments, experiments, monitoring, reports):
    app.include_router(router)  # with the app's dependencies: the same login and role


@app.get("/models/{model}/reports/{name}")
def report(model: str, name: str) -> FileResponse:
    """One HTML report of a model; 404 when there is none of that name."""
    folder = runtime().storage.reports(model).resolve()
    path = Path(folder, segment(name)).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise HTTPException(404, f"model {model!r} has no report {name!r}")
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": "sandbox allow-scripts"})
