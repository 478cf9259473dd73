"""The airflow DAGs of the model health_visits: train__health_visits and deploy__health_visits."""

from modelops.builders import build

build("health_visits", globals())
