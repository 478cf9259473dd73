"""The plugin's own REST routes, behind Airflow's authentication."""
