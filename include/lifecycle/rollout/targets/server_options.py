"""What the model's YAML says to its servers, as options of their command line; processes.py adds them where it declares one.

A server that runs keeps the options that it was started with.
"""

from __future__ import annotations

import logging

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model
from include.settings import Settings

log = logging.getLogger(__name__)


def server_options(settings: Settings, model: str) -> list[str]:
    """Options of a new server of `model`. A YAML that is gone or broken must not stop a rollback: the server's own defaults hold
    then, which are those of _defaults.yaml."""
    if not (settings.models_dir / f"{model}.yaml").is_file():
        return []
    try:
        spec = load_model(model, settings=settings)
    except SpecInvalidError as problem:
        log.warning("a server of %s starts with default options: %s", model, problem)
        return []
    return spec.prediction_log.server_options()
