"""What the sources beside the access log tell of a rollout: the gateway's pools, user metrics, the prediction log, the processes.

Parts of a Measurement (evidence.py), stored as JSON with it; sources/ fills them and checks.py judges them.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True)


class PoolEvidence(_Plain):
    """One pool of servers as the gateway sees it. Counts are since the stage began, whatever resets the gateway's counters had.

    `waiting` requests are under way now, `ended` came to an end, `answered` of them by the server itself, not because the client
    or the gateway gave up; of a shadow's the `failed` are known; `buckets` are the
    cumulative counts of answers by upper bound in milliseconds; `last` and `last_buckets` hold the counters as they were read.
    """

    hosts: int = 0
    healthy: int = 0
    waiting: int = 0
    ended: int = 0
    answered: int = 0
    failed: int = 0
    connect_failures: int = 0
    ejections: int = 0
    buckets: dict[float, int] = {}
    last: dict[str, int] = {}
    last_buckets: dict[float, int] = {}


class GatewayEvidence(_Plain):
    """Both arms' pools, epoch seconds. None was answered since `quiet_since`, though some waited at each look from then on: who
    gives up makes room for the next. `champion_then` is what the champion had answered by then; no challenger server has been
    healthy since `sick_since`."""

    at: float
    quiet_since: float
    champion_then: int = 0
    sick_since: float | None = None
    challenger: PoolEvidence = PoolEvidence()
    champion: PoolEvidence | None = None


class ProbeEvidence(_Plain):
    """Requests that the rollout itself sent to the challenger's servers, and how many of them were not answered."""

    at: float
    asked: int
    failed: int


class MetricEvidence(_Plain):
    """Readings of one user metric since the stage began: the newest value, and how many in a row broke the limit."""

    at: float
    value: float | None = None
    readings: int = 0
    broken: int = 0
    problem: str = ""


class ActionEvidence(_Plain):
    """Decisions of both versions in the same minutes: positive ones of all, by version's arm; `cut` is what made one positive."""

    at: float
    cut: float | None = None
    rows: int = 0
    positive: int = 0
    champion_rows: int = 0
    champion_positive: int = 0
    mean: float | None = None
    champion_mean: float | None = None


class UsageEvidence(_Plain):
    """Processes of one arm: servers that run, memory in bytes (resident, summed), CPU seconds so far, and cores used lately."""

    at: float
    servers: int = 0
    memory: int = 0
    cpu_seconds: float = 0.0
    cores: float | None = None
