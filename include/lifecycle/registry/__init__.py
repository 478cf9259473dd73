"""Versions in MLflow: registering, fetching and verifying, moving aliases, retiring. Only promotion.py moves an alias."""
