"""Faults of the feed beyond one column's nulls and unit: bursts of nulls, stuck values, resent batches, shifted joins."""
