"""Users who come again to a model whose servers keep a real prediction log, and versions that are right more or less often."""

from __future__ import annotations

import http.client
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tests.conftest import NOW
from tests.integration.logging_server import truth
from tests.integration.rollout_stack import Clients, quick_target
from tests.integration.strategy_lab import MODEL, Lab

AT = NOW - timedelta(days=3)


class LoggingLab(Lab):
    """A Lab whose servers keep a real prediction log; the champion is right in three of four cases."""

    def __post_init__(self):
        super().__post_init__()
        self.target = quick_target(self.rt, "tests.integration.logging_server")
        self.hands = replace(self.hands, target=self.target)

    def _folder(self, rt, model, version):
        folder, digest = super()._folder(rt, model, version)
        told = {"version": version, "right": 0.75} | (self.behaviour if version == 8 else {})
        (folder / "behaviour.json").write_text(json.dumps(told))
        return folder, digest


@dataclass
class Visitors(Clients):
    """Users who come again: `met` holds the versions that each has met, `known` the outcomes not yet stored."""

    users: int = 600
    met: dict = field(default_factory=lambda: defaultdict(set))
    known: list = field(default_factory=list)

    def _run(self, number):
        connection, mine = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15), random.Random(number)
        while not self._stop.wait(self.pause):
            user, key = f"user-{mine.randrange(self.users)}", f"{mine.random():.12f}"
            body = json.dumps({"key": key, "at": AT.isoformat()})
            connection.request("POST", self.path, body, {"content-type": "application/json", "x-user-id": user})
            response = connection.getresponse()
            response.read()
            self.codes[response.status] += 1
            self.assigned[response.headers.get("x-modelops-assigned")] += 1
            self.met[user].add((response.headers.get("x-modelops-assigned"), response.headers.get("x-modelops-arm")))
            self.known.append((key, AT, truth(key), AT + timedelta(hours=1)))


def visitors(lab):
    return Visitors(lab.port, f"/v2/models/{MODEL}/infer", count=6, pause=0.004)


def verdict_of(lab, act, check):
    """The check's verdict in the ledger's newest entry of this act, and the report that it names."""
    entry = next(row for row in lab.rt.ledger.read(MODEL, kind="rollout") if row["act"] == act)
    verdict = next(one for one in entry["evidence"]["verdicts"] if one["check"] == check)
    return verdict["outcome"], verdict["evidence"]
