"""Whether a command's MODEL is one: it has a YAML, or rollouts from a time when it had one."""

from __future__ import annotations

from include.lifecycle.loading import model_file
from include.lifecycle.runtime import Runtime


def known_by_rollouts(rt: Runtime, model: str) -> None:
    """Raise SpecInvalidError, with the nearest name, for a model without a YAML that never had a rollout."""
    from include.lifecycle.database import transaction
    from include.lifecycle.rollout.steering import latest_rollout

    with transaction(rt.engine) as connection:
        row = latest_rollout(connection, model)
    if row is None:
        model_file(model, settings=rt.settings)
