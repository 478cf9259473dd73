"""What the platform's Dags share: owner, retries, and schedules that never run a past slot when a Dag is switched on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable


def cron(expression: str) -> CronTriggerTimetable:
    """Wall-clock cron in UTC; the first run is the next slot, never the last one."""
    return CronTriggerTimetable(expression, timezone="UTC", run_immediately=timedelta(0))


def platform(stage: str) -> dict[str, Any]:
    """Arguments of a platform Dag: one run at a time, no catch-up, a few quick retries."""
    return {
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["platform", f"stage:{stage}"],
        "default_args": {"owner": "modelops", "retries": 3, "retry_delay": timedelta(seconds=10)},
    }
