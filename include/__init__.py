"""Everything of the product that is not an Airflow Dag or plugin: model files, SQL, lifecycle, serving, stack, demo."""
