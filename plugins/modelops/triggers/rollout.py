"""Drives one rollout from its row, about once a second, until it is closed. Survives restarts: all state is in the row.

Two of these may overlap after a lost heartbeat; the row's lease lets one act.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from airflow.triggers.base import BaseTrigger, TriggerEvent
from structlog.contextvars import bind_contextvars

from include.lifecycle.errors import LeaseLostError, LifecycleError

_log = logging.getLogger(__name__)
MOST_SURPRISES = 5  # so many looks with an unexpected error, none in between that went through, end the trigger


class RolloutTrigger(BaseTrigger):
    """Fire once with the RolloutOutcome.

    :param rollout_id: Row of table `rollouts`.
    :param poll: Seconds between two looks.
    :param model: Model that the lines of its log name.
    :param version: Version that they name.
    """

    def __init__(self, rollout_id: int, poll: float, model: str | None = None, version: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rollout_id = rollout_id
        self.poll = poll
        self.model = model
        self.version = version

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer builds an equal trigger."""
        arguments = {"rollout_id": self.rollout_id, "poll": self.poll, "model": self.model, "version": self.version}
        return "modelops.triggers.rollout.RolloutTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Drive until the row is closed; what did not answer is asked again at the next look.

        So is what nobody foresaw, until it came `MOST_SURPRISES` times without a look that went through: then it is raised.
        """
        from include.lifecycle.rollout.driver import drive_once
        from include.lifecycle.runtime import runtime

        bind_contextvars(model_name=self.model, version=self.version)  # of this trigger's own asyncio task
        holder = f"triggerer:{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:6]}"
        outcome, surprises = None, 0
        while True:
            try:
                outcome = await asyncio.to_thread(drive_once, runtime(), self.rollout_id, holder)
                surprises = 0
            except LeaseLostError as lost:
                _log.info("rollout %s is driven elsewhere: %s", self.rollout_id, lost)
            except LifecycleError as problem:
                if not problem.retryable:
                    raise
                _log.warning("rollout %s waits: %s", self.rollout_id, problem)
            except Exception:
                surprises += 1
                _log.exception("rollout %s: unexpected error, %s of %s", self.rollout_id, surprises, MOST_SURPRISES)
                if surprises == MOST_SURPRISES:
                    raise
            if outcome is not None:
                yield TriggerEvent(outcome.model_dump(mode="json"))  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll)
