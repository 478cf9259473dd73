"""What a place that serves models must be able to do: run servers, bring traffic into force, say what is in force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from include.lifecycle.rollout.gateway.traffic import DesiredTraffic

Guard = Callable[[Connection], None]


class Target(Protocol):
    """Servers and traffic of one installation. Every call is idempotent and returns after the effect was seen."""

    def ensure_server(
        self, model: str, version: int, folder: Path, digest: str, log_dir: Path, *, replicas: int = 1, baseline: bool = False
    ) -> tuple[int, ...]:
        """Have exactly `replicas` ready servers of this version folder; return their ports. With fewer than before, the last ones
        are drained and stopped. `baseline`: another, fresh server of the version, counted apart. What serves this folder already
        goes on undisturbed.

        Raises GateFailedError when one does not start, LifecycleError when traffic still goes to one that is to be stopped,
        SourceUnavailableError when processes cannot be controlled now.
        """
        ...

    def stop_server(self, model: str, version: int, *, baseline: bool = False) -> None:
        """Stop a version's servers (or its baseline) after their last requests were answered; nothing happens without any.

        Raises LifecycleError when traffic, or copies of it, still go to it.
        """
        ...

    def servers(self, model: str, *, baseline: bool = False) -> dict[int, tuple[int, ...]]:
        """Ports by version of the model's running servers, or of its running baselines."""
        ...

    def idle_servers(self, model: str, seconds: float, *, baseline: bool = False) -> set[int]:
        """Versions whose server (or baseline) was declared longer than `seconds` ago, running or not: what may be an orphan."""
        ...

    def apply(self, desired: DesiredTraffic, guard: Guard | None = None) -> int:
        """Store the intent and bring it into force; return its revision once the whole split was read back: weights, baseline,
        copies, stickiness, and that servers which were taken away get nothing any more.

        `guard` runs in the transaction that stores the intent and may refuse by raising (a lost lease). Raises
        SourceUnavailableError when the gateway is down, GatewayRejectedError when it refuses; the traffic of before stays then.
        """
        ...

    def follows(self, desired: DesiredTraffic) -> bool:
        """Whether exactly this split is in force now: weights, baseline, copies, stickiness."""
        ...

    def read_back(self, model: str) -> dict[int, int]:
        """Percent by version that is in force now; empty when the model has no traffic."""
        ...
