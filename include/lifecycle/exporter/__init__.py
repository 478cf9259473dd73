"""The platform's numbers for Prometheus: rows, Airflow's state and the watchdog's gauges, read at each scrape. Writes no row."""
