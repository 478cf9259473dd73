"""All tests. A package, so that helpers are imported as `tests.<folder>.<module>` and not from an installed `tests`."""
