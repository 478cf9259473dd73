"""Which models a platform Dag is about: all that have a valid YAML, or the one that its run names."""

from __future__ import annotations

import logging
from typing import Any

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model, model_names
from include.lifecycle.spec import ModelSpec


def valid_specs(log: logging.Logger | Any) -> list[ModelSpec]:
    """Specs of all models; a broken YAML is logged and left out, so that it never hurts the others."""
    specs = []
    for name in model_names():
        try:
            specs.append(load_model(name))
        except SpecInvalidError as problem:
            log.error("model %s is left out: %s", name, problem)
    return specs


def chosen_names(wanted: str, log: logging.Logger | Any) -> list[str]:
    """`wanted` itself, or every valid model for "all"."""
    return [spec.name for spec in valid_specs(log)] if wanted in ("", "all") else [load_model(wanted).name]
