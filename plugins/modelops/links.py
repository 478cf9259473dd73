"""Links from tasks to what they made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

from include.lifecycle.storage import segment

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class ReportLink(BaseOperatorLink):
    """The Evidently report of the newest window that the task reported."""

    name = "Drift report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Route of the report that this task wrote, or an empty string when it wrote none."""
        result = XCom.get_value(ti_key=ti_key, key="return_value")
        reports = (result or {}).get("reports")
        return f"/modelops/v1/models/{result['model']}/reports/{reports[0].rpartition('/')[2]}" if reports else ""


class PeriodicReportLink(BaseOperatorLink):
    """The daily, weekly, monthly or quarterly report that a task wrote."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Route of the page, or an empty string when the task wrote none."""
        result = XCom.get_value(ti_key=ti_key, key="return_value") or {}
        path = result.get("path")
        return f"/modelops/v1/models/{result['model']}/reports/{path.rpartition('/')[2]}" if path else ""


class DataReportLink(BaseOperatorLink):
    """The page with every data check of a training run."""

    name = "Data report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Route of the page that this task wrote; the page is there too when the data failed."""
        return f"/modelops/v1/models/{ti_key.dag_id.partition('__')[2]}/reports/validation-{segment(ti_key.run_id)}.html"


class EvaluationReportLink(BaseOperatorLink):
    """The page with every gate of a training run."""

    name = "Evaluation report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Route of the page that this task wrote."""
        return f"/modelops/v1/models/{ti_key.dag_id.partition('__')[2]}/reports/evaluation-{segment(ti_key.run_id)}.html"


class RolloutReportLink(BaseOperatorLink):
    """The page of a shadow's pairs, or of an A/B or A/A test, which grows while the rollout goes on; others have none."""

    name = "Rollout report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Route of the page of this run, by the strategy that was planned; an empty string where there is no page."""
        kinds = {"shadow": "shadow", "ab_test": "experiment", "aa_test": "experiment"}
        planned = getattr(operator, "planned", None)
        kind = kinds.get(str(planned.get("strategy"))) if isinstance(planned, dict) else None
        return f"/modelops/v1/models/{planned['model']}/reports/{kind}-{segment(ti_key.run_id)}.html" if planned and kind else ""
