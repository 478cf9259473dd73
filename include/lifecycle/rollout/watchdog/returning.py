"""The watchdog's one act: a model's traffic goes to its champion, by the gateway's own files, without database and Airflow.

It changes the weights in the routes that are in force, under the gateway's file lock, and reads back. Later writers of these
files keep the version without traffic until its row says so too (watchdog/journal.py).
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from include.lifecycle.errors import GatewayRejectedError, SourceUnavailableError
from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.gateway.envoy_config import ASSIGNED
from include.lifecycle.rollout.gateway.gateway import locked
from include.lifecycle.rollout.watchdog.journal import CanaryLease, Returned, hold_back, leases, note
from include.lifecycle.storage import write_whole
from include.serving.log_schema import ARM_HEADER

READ_BACK_SECONDS = 5.0
Json = dict[str, Any]


def return_traffic(directory: Path, admin: EnvoyAdmin, act: Returned, seen: CanaryLease, *, lapsed: bool) -> bool:
    """Give the champion everything and journal it; False when the rollout closed meanwhile, or Envoy did not follow yet.

    With `lapsed` also when the driver renewed its lease meanwhile. The intent is on disk before the routes change: whoever
    writes the files next keeps to it, whatever becomes of this process.
    """
    began = time.monotonic()
    with locked(directory):
        now = next((one for one in leases(directory) if one.rollout_id == seen.rollout_id), None)
        if now is None or (lapsed and now.until > seen.until):
            return False
        hold_back(directory, act)
        told = {"rollout_id": act.rollout_id, "version": act.version, "champion": act.champion}
        note(directory, "return_intended", act.model, act.reason, **told)
        rewrite(directory, act)
    done = wait_returned(admin, act)
    seconds = round(time.monotonic() - began, 3)
    note(directory, "returned" if done else "return_unconfirmed", act.model, act.reason, seconds=seconds, **told)
    return done


def rewrite(directory: Path, act: Returned) -> None:
    """Write the routes anew with the model's traffic at its champion; call it under the gateway's file lock."""
    path = directory / "rds.json"
    routes = json.loads(path.read_text(encoding="utf-8"))
    version = f"{str(routes['version_info']).partition('-')[0]}-returned-{time.time_ns()}"
    write_whole(path, json.dumps(champion_only(routes, act, version)))


def champion_only(routes: Json, act: Returned, version: str) -> Json:
    """The route file with all of the model's weight on its champion's live arm and nothing mirrored. Pure.

    Raises GatewayRejectedError when there is no arm of the champion: half a change would be worse than none.
    """
    fresh: Json = json.loads(json.dumps(routes)) | {"version_info": version}
    for config in fresh["resources"]:
        # Envoy skips an update whose content did not change and never reports its version, so it stands in the metadata, too.
        config.setdefault("metadata", {}).setdefault("filter_metadata", {})["modelops"] = {"version": version}
        for route in [one for host in config.get("virtual_hosts", []) for one in host.get("routes", [])]:
            if route.get("name") == act.model and "weighted_clusters" in route.get("route", {}):
                _give_all(route["route"], act)
    return fresh


def wait_returned(admin: EnvoyAdmin, act: Returned) -> bool:
    """Whether Envoy reports within a few seconds that the version has no traffic."""
    deadline = time.monotonic() + READ_BACK_SECONDS
    while True:
        with suppress(SourceUnavailableError):  # it reads the file when it is back; the next look asks again
            if not admin.weights(act.model).get(act.version, 0):
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def _give_all(action: Json, act: Returned) -> None:
    arms = action["weighted_clusters"]["clusters"]
    live = next(
        (arm for arm in arms if _headers(arm).get(ASSIGNED) == str(act.champion) and ARM_HEADER not in _headers(arm)), None
    )
    if live is None:
        raise GatewayRejectedError(f"{act.model}: the routes have no arm of champion {act.champion} to return the traffic to")
    for arm in arms:
        arm["weight"] = 100 if arm is live else 0
    action.pop("request_mirror_policies", None)


def _headers(arm: Json) -> dict[str, str]:
    return {one["header"]["key"]: str(one["header"]["value"]) for one in arm.get("request_headers_to_add", [])}
