"""What one model's desired traffic means for a gateway: its arms, its pools of servers, and the split to be read back. Pure.

envoy_config.py and envoy_clusters.py render it for Envoy; envoy_admin.py reads the same Split out of the running one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from include.lifecycle.rollout.gateway.traffic import DesiredTraffic
from include.serving.log_schema import BASELINE, LIVE, SHADOW


@dataclass(frozen=True)
class Pool:
    """Servers that share a name: loopback ports of one version. `shadow`: they get copies, whose answers nobody waits for."""

    name: str
    ports: tuple[int, ...]
    shadow: bool = False

    def beside(self, others: Sequence[int]) -> Pool:
        """The pool together with the servers that it had before."""
        return replace(self, ports=self.ports + tuple(port for port in others if port not in self.ports))


@dataclass(frozen=True)
class Arm:
    """A share of a model's live requests: who gets it (`pool`), who takes over when that one cannot answer (`fallback`)."""

    version: int
    kind: str
    percent: int
    pool: str
    fallback: str | None = None

    @property
    def destination(self) -> str:
        """Name of what the requests are sent to: the pool, or the pair with its fallback."""
        return self.pool if self.fallback is None else f"{self.pool}-or-{self.fallback.rpartition('-')[2]}"


@dataclass(frozen=True)
class Split:
    """How a model's live requests are divided: percent by version (a baseline's stand in its version's), copies, stickiness.

    `baseline` is (version, percent), `mirror` (version, percent of the live requests), `sticky` the request header that decides.
    """

    weights: dict[int, int]
    baseline: tuple[int, int] | None = None
    mirror: tuple[int, int] | None = None
    sticky: str | None = None

    @classmethod
    def of(cls, row: DesiredTraffic) -> Split:
        """The split that a row asks for."""
        baseline = None if row.baseline is None or row.champion is None else (row.champion, row.baseline.percent)
        mirror = None if row.mirror is None else (row.mirror.version, row.mirror.percent)
        return cls(dict(row.weights), baseline, mirror, sticky_header(row))


def pool_name(model: str, version: int, kind: str = LIVE) -> str:
    """Name of a version's servers: `churn-8`, `churn-7-baseline`, `churn-8-shadow`."""
    return f"{model}-{version}" if kind == LIVE else f"{model}-{version}-{kind}"


def sticky_header(row: DesiredTraffic) -> str | None:
    """The header that decides the arm; none without a champion, who answers the requests that lack it."""
    return row.sticky if row.champion in row.weights else None


def arms_of(row: DesiredTraffic) -> list[Arm]:
    """The arms, champion first and challenger last: as the challenger's share grows, a sticky key that it has stays with it."""
    order = sorted(row.weights, key=lambda version: (version != row.champion, version))
    arms = [_live_arm(row, version) for version in order]
    if row.baseline is not None and row.champion is not None:
        name = pool_name(row.model, row.champion, BASELINE)
        spare = pool_name(row.model, row.champion)
        arms.insert(1, Arm(row.champion, BASELINE, row.baseline.percent, name, spare))
    return arms


def pools_of(row: DesiredTraffic) -> list[Pool]:
    """All pools that the row needs, by name."""
    pools = [Pool(pool_name(row.model, version), row.servers[version].ports) for version in row.weights]
    if row.baseline is not None and row.champion is not None:
        pools.append(Pool(pool_name(row.model, row.champion, BASELINE), row.baseline.server.ports))
    if row.mirror is not None:
        version = row.mirror.version
        pools.append(Pool(pool_name(row.model, version, SHADOW), row.servers[version].ports, shadow=True))
    return sorted(pools, key=lambda pool: pool.name)


def pools_with_traffic(rows: Sequence[DesiredTraffic]) -> set[str]:
    """Names of the pools that get requests, or copies of them."""
    live = {arm.pool for row in rows for arm in arms_of(row) if arm.percent}
    return live | {pool.name for row in rows for pool in pools_of(row) if pool.shadow}


def _live_arm(row: DesiredTraffic, version: int) -> Arm:
    percent = row.weights[version]
    name = pool_name(row.model, version)
    if version == row.champion:
        return Arm(version, LIVE, percent - (row.baseline.percent if row.baseline else 0), name)
    spare = pool_name(row.model, row.champion) if row.champion in row.weights and row.champion is not None else None
    return Arm(version, LIVE, percent, name, spare)
