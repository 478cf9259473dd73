"""The model lifecycle as plain Python: no Airflow, usable from a notebook, a test and the command line."""
