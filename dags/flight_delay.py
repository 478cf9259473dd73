"""The airflow DAGs of the model flight_delay: train__flight_delay and deploy__flight_delay."""

from modelops.builders import build

build("flight_delay", globals())
