"""The sections of a model's YAML, one file per subject; spec.py puts them together."""
