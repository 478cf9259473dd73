"""Triggers: what waits outside of task processes."""
