"""Distances, intervals, sequential tests and null calibration: pure functions, each naming its source."""
