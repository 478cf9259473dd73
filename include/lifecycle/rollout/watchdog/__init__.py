"""The process beside the gateway that returns traffic without Airflow and without the database."""
