"""Hooks: Airflow connections as addresses that the lifecycle understands."""
