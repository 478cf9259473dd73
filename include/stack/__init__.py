"""The embedded stack of one machine: real PostgreSQL, MLflow, Envoy and Airflow under supervisord. May use every other room."""
