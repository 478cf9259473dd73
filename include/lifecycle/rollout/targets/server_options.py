"""What the model's YAML says to its servers, as options of their command line; processes.py adds them where it declares one.

A server that runs keeps the options that it was started with.
"""

from __future__ import annotations

import logging

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model
from include.lifecycle.spec import ModelSpec
from include.settings import Settings

log = logging.getLogger(__name__)

START_SECONDS, STOP_SECONDS = 60.0, 25.0  # of a model without a YAML
_CLOSING_SECONDS = 3.5  # for the last write of the prediction log and the end of the process


def server_options(settings: Settings, model: str) -> list[str]:
    """Options of a new server of `model`. A YAML that is gone or broken must not stop a rollback: the server's own defaults hold
    then, which are those of _defaults.yaml."""
    keys = ["--keys", str(settings.server_keys_file)] if settings.server_keys_file else []
    spec = _spec(settings, model)
    return keys if spec is None else [*keys, *spec.server.server_options(), *spec.prediction_log.server_options()]


def start_seconds(settings: Settings, model: str) -> float:
    """How long a server of `model` has until it must be ready."""
    spec = _spec(settings, model)
    return START_SECONDS if spec is None else spec.server.start_within.total_seconds()


def stop_seconds(settings: Settings, model: str) -> float:
    """How long a server of `model` has to end by itself before it is killed."""
    spec = _spec(settings, model)
    if spec is None:
        return STOP_SECONDS
    return (spec.server.drain.notice + spec.server.drain.at_most).total_seconds() + _CLOSING_SECONDS


def _spec(settings: Settings, model: str) -> ModelSpec | None:
    if not (settings.models_dir / f"{model}.yaml").is_file():
        return None
    try:
        return load_model(model, settings=settings)
    except SpecInvalidError as problem:
        log.warning("a server of %s starts with default options: %s", model, problem)
        return None
