"""Registers ModelOps with Airflow. The API app is built in the api-server only: other processes need no FastAPI."""

from __future__ import annotations

import sys
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from modelops.links import DataReportLink, EvaluationReportLink, PeriodicReportLink, ReportLink, RolloutReportLink

_IS_API_SERVER = any("api-server" in argument or "api_server" in argument for argument in sys.argv) or (
    "airflow.api_fastapi.main" in sys.modules
)


def _apps() -> list[dict[str, Any]]:
    if not _IS_API_SERVER:
        return []
    from modelops.api.alertmanager import app as prometheus
    from modelops.api.alerts import app as alerts
    from modelops.api.app import app
    from modelops.api.webhooks import app as webhooks

    return [
        {"app": app, "url_prefix": "/modelops/v1", "name": "modelops"},
        {"app": webhooks, "url_prefix": "/modelops/hooks", "name": "modelops-hooks"},
        {"app": alerts, "url_prefix": "/modelops/alerts", "name": "modelops-alerts"},
        {"app": prometheus, "url_prefix": "/modelops/prometheus", "name": "modelops-prometheus"},
    ]


class ModelOpsPlugin(AirflowPlugin):
    """REST routes and task links of ModelOps."""

    name = "modelops"
    fastapi_apps = _apps()
    operator_extra_links = [  # noqa: RUF012 - Airflow declares these as instance variables
        ReportLink(),
        PeriodicReportLink(),
        DataReportLink(),
        EvaluationReportLink(),
        RolloutReportLink(),
    ]
