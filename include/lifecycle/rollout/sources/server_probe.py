"""Asks the challenger's servers themselves as soon as one of its requests failed: a dead one is then found before more do.

The probes go past the gateway and carry PROBE_PREFIX: they are no traffic, and no client waits for them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from include.lifecycle.database import transaction
from include.lifecycle.rollout.before_traffic.key_file import probe_headers
from include.lifecycle.rollout.before_traffic.probes import infer_url, read_golden, request_body
from include.lifecycle.rollout.gateway.traffic import Server, read_desired
from include.lifecycle.rollout.judging.source_evidence import ProbeEvidence
from include.lifecycle.rollout.sources.base import Look
from include.serving.log_schema import PROBE_PREFIX
from include.serving.version_folder import GOLDEN

TIMES = 3  # each server is asked so often, one after the other, until it answers
_SHORTEST, _LONGEST = 0.5, 3.0  # seconds that one probe is waited for: three times the champion's p99, within these


@dataclass(frozen=True)
class ServerProbe:
    """Asks only while the challenger's newest requests failed; what answers below 500 is alive, even if it refuses."""

    name: str = "server_probe"

    def read(self, look: Look) -> dict[str, Any]:
        """`probes`: how many probes the servers were sent and did not answer; none while nothing fails."""
        if not look.seen.failed_in_a_row or look.plan.version == look.plan.champion:
            return {"probes": None} if look.before.probes else {}
        with transaction(look.rt.engine) as connection:
            desired = read_desired(connection, look.plan.model)
        server = desired.servers.get(look.plan.version) if desired else None
        if server is None:
            return {}
        asked = failed = 0
        patience = _patience(look)
        for port in server.ports:
            for _ in range(TIMES):
                asked += 1
                if self._answers(look, server, port, patience):
                    break
                failed += 1
        return {"probes": ProbeEvidence(at=look.now, asked=asked, failed=failed)}

    def _answers(self, look: Look, server: Server, port: int, patience: float) -> bool:
        folder = Path(server.folder)
        body = request_body(read_golden(folder)) if (folder / GOLDEN).is_file() else {"inputs": []}
        named = {"content-type": "application/json", "x-request-id": f"{PROBE_PREFIX}alive-{time.time_ns()}"}
        headers = named | probe_headers(look.rt.settings)
        address = infer_url(port, look.plan.model, look.plan.version)
        try:
            with urlopen(Request(address, json.dumps(body).encode(), headers), timeout=patience):  # noqa: S310 - loopback
                return True
        except HTTPError as problem:
            return problem.code < 500
        except (URLError, OSError, HTTPException):
            return False


def _patience(look: Look) -> float:
    champion = look.seen.times.get("champion")
    usual = 0.0 if champion is None else (champion.quantile(0.99) or 0.0) / 1e6
    return min(max(3 * usual, _SHORTEST), _LONGEST)
