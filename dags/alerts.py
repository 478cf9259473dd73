"""Airflow DAG `alerts`: tells people what changed, escalates what nobody answered. Woken by alerts, and every two minutes."""

from __future__ import annotations

from airflow.sdk import DAG, AssetOrTimeSchedule

from modelops.assets import alerts
from modelops.operators.alerts import TellAlertsOperator
from modelops.platform import cron, platform

with DAG(
    "alerts",
    description="Send alerts through their channels, and escalate those that nobody answered.",
    doc_md="Alerts are rows; each change is a message per channel, sent at least once. What is sent where says the model's YAML "
    "(`alerts:`), credentials stand in connections. `cli alerts list` shows what stands, Dag `acknowledge` answers one.",
    schedule=AssetOrTimeSchedule(timetable=cron("*/2 * * * *"), assets=[alerts()]),
    **platform("alerts"),
):
    TellAlertsOperator(task_id="tell_alerts")
