"""Alerts: what people are told of, how urgently, and by which way."""
