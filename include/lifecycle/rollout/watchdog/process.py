"""The watchdog beside the gateway: `python -m include.lifecycle.rollout.watchdog.process`. No Airflow, no database.

Each look (a second): leases, weights in force, new lines of the log; a lapsed lease or a lasting breach of a limit returns the
model's traffic to its champion. It also tells which models are down. All it did stands in the journal, which reconcile reads.
"""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass, field

from include.lifecycle.errors import LifecycleError, SourceUnavailableError
from include.lifecycle.rollout.gateway.arms import pool_name
from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.gateway.envoy_clusters import eds_file
from include.lifecycle.rollout.gateway.gateway import locked
from include.lifecycle.rollout.watchdog.health import SILENT, Health, served_models, told_before, write_gauges
from include.lifecycle.rollout.watchdog.journal import CanaryLease, Returned, all_returned, leases, note, returned
from include.lifecycle.rollout.watchdog.judge import Watch, why_lapsed
from include.lifecycle.rollout.watchdog.returning import return_traffic, rewrite
from include.serving.json_logs import log_as_json
from include.settings import Settings, load_settings

_log = logging.getLogger("watchdog")
_PORT = re.compile(r'"port_value": ?(\d+)')


@dataclass
class Watchdog:
    """One process's memory: what it counted of each rollout, and since when which model is down."""

    settings: Settings
    watches: dict[int, Watch] = field(default_factory=dict)
    health: Health = field(default_factory=Health)

    def __post_init__(self) -> None:
        """Know the outages that an earlier process told: else nobody would hear that they are over."""
        self.health.told |= told_before(self.settings.gateway_dir)

    @property
    def admin(self) -> EnvoyAdmin:
        """The gateway's admin interface."""
        return EnvoyAdmin(self.settings.gateway_admin_url)

    def run(self) -> None:
        """Look for ever; what does not answer is asked again at the next look."""
        while True:
            began = time.monotonic()
            self.look()
            time.sleep(max(0.0, self.settings.upkeep.watchdog_poll.total_seconds() - (time.monotonic() - began)))

    def look(self) -> None:
        """One look at everything; one rollout's trouble does not keep the others from being looked at."""
        standing = leases(self.settings.gateway_dir)
        for lease in standing:
            try:
                self._guard(lease)
            except SourceUnavailableError as problem:
                _log.warning("%s: %s", lease.plan.model, problem, extra=_about(lease))
            except (LifecycleError, OSError, ValueError) as problem:
                _log.exception("%s: cannot be judged: %s", lease.plan.model, problem, extra=_about(lease))
        self.watches = {
            lease.rollout_id: self.watches[lease.rollout_id] for lease in standing if lease.rollout_id in self.watches
        }
        self._enforce()
        self._tell_health(standing)

    def _guard(self, lease: CanaryLease) -> None:
        """Judge one rollout, and return its traffic when it must be."""
        plan, now = lease.plan, time.time()
        if plan.champion in (None, plan.version) or returned(self.settings.gateway_dir, plan.model) is not None:
            return
        share = self.admin.weights(plan.model).get(plan.version, 0)
        watch = self.watches.setdefault(lease.rollout_id, Watch())
        watch.follow(lease, share, self.settings.gateway_log, self._ports(lease))
        broken = watch.why_broken(lease, now, self.settings.upkeep.watchdog_grace.total_seconds())
        # asked for only when it matters: the gateway's start is one more call of its admin interface
        lapsed = why_lapsed(lease, share, now) and why_lapsed(lease, share, now, self._gateway_started())
        if broken or lapsed:
            self._return(lease, broken or lapsed, lapsed=not broken)

    def _return(self, lease: CanaryLease, reason: str, *, lapsed: bool) -> None:
        plan = lease.plan
        if plan.champion is None:
            return
        act = Returned(
            model=plan.model,
            rollout_id=lease.rollout_id,
            version=plan.version,
            champion=plan.champion,
            reason=reason,
            at=time.time(),
        )
        if return_traffic(self.settings.gateway_dir, self.admin, act, lease, lapsed=lapsed):
            told = (act.model, act.version, act.champion, reason)
            _log.warning("%s: traffic returned from version %s to %s: %s", *told, extra=_about(lease))

    def _enforce(self) -> None:
        """Write again what stands returned and is not in force: Envoy was down, or this process died in between."""
        for act in all_returned(self.settings.gateway_dir):
            try:
                if self.admin.weights(act.model).get(act.version, 0):
                    with locked(self.settings.gateway_dir):
                        if returned(self.settings.gateway_dir, act.model) == act:
                            rewrite(self.settings.gateway_dir, act)
            except (LifecycleError, OSError, ValueError) as problem:
                _log.warning("%s: returned, but not in force yet: %s", act.model, problem)

    def _tell_health(self, standing: list[CanaryLease]) -> None:
        """Journal outages of models, and write the gauges."""
        directory, now = self.settings.gateway_dir, time.time()
        models, healthy = served_models(directory), self._healthy()
        self.health.look(models, healthy, now)
        fresh, back = self.health.news(now, self.settings.upkeep.down_after.total_seconds())
        why = SILENT if healthy is None else "no server of it is healthy"
        for model, seconds in fresh:
            note(directory, "model_down", model, f"{why} for {seconds:.0f} s", severity="P0", seconds=round(seconds, 1))
        for model in back:
            note(directory, "model_up", model, "a server of it is healthy again", severity="P0")
        left = {lease.plan.model: lease.until - now for lease in standing}
        write_gauges(directory, self.health, models, left, [act.model for act in all_returned(directory)], now)

    def _healthy(self) -> set[str] | None:
        try:
            return {name for name, ports in self.admin.healthy_ports().items() if ports}
        except SourceUnavailableError:
            return None

    def _gateway_started(self) -> float:
        """When Envoy started, epoch seconds."""
        uptime = str(json.loads(self.admin.get("/server_info")).get("uptime_current_epoch", "0s"))
        return time.time() - float(uptime.rstrip("s"))

    def _ports(self, lease: CanaryLease) -> dict[int, tuple[int, ...]]:
        """Ports by version, from the endpoint files: the database need not answer."""
        found = {}
        for version in (lease.plan.version, lease.plan.champion or 0):
            path = eds_file(self.settings.gateway_dir, pool_name(lease.plan.model, version))
            if path.is_file():
                found[version] = tuple(int(port) for port in _PORT.findall(path.read_text(encoding="utf-8")))
        return found


def _about(lease: CanaryLease) -> dict[str, object]:
    """Which model and version a line of the log is about."""
    return {"model_name": lease.plan.model, "version": lease.plan.version}


def main() -> None:
    """Watch until the process is ended."""
    log_as_json(None, None)
    settings = load_settings()
    _log.info("watching the leases in %s", settings.gateway_dir)
    Watchdog(settings).run()


if __name__ == "__main__":
    main()
