"""Everything that knows Airflow: Dag builders, operators, triggers, hooks, API. No statistics, no machine learning."""
