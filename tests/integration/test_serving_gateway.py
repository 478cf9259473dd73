"""Real model servers behind the real gateway: keys pass through it, and a server that drains costs no request."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from include.lifecycle.cli import main
from include.lifecycle.rollout.before_traffic.probes import compare_golden, infer_url, read_golden
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.serving.version_folder import write_manifest
from include.settings import settings
from tests.integration.rollout_stack import Stack, running_stack
from tests.unit.serving.folders import build_folder, one_row, request_body

pytestmark = pytest.mark.integration

MODEL, VERSION = "flights", 3


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as running:
        yield running


@pytest.fixture
def place(stack: Stack, make_runtime: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, EmbeddedTarget]]:
    """A Runtime whose servers ask for keys, and its target; servers and traffic are cleared afterwards."""
    environment = stack.environment | {"MODELOPS_SERVER_KEYS_FILE": str(stack.root / "keys.json")}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    rt = make_runtime(**environment)
    target = EmbeddedTarget(rt)
    yield rt, target
    target.gateway.write(list)
    target.processes.stop(target.processes.of(MODEL, baseline=False))
    settings.cache_clear()


def serve(rt: Any, target: EmbeddedTarget, replicas: int) -> tuple[int, ...]:
    """The version with all traffic on it; its ports."""
    folder = rt.storage.served(MODEL, VERSION)
    digest = write_manifest(folder) if folder.exists() else build_folder(folder)
    ports = target.ensure_server(MODEL, VERSION, folder, digest, rt.storage.predictions(MODEL), replicas=replicas)
    server = Server(ports=ports, digest=digest, folder=str(folder))
    target.apply(DesiredTraffic(model=MODEL, champion=VERSION, weights={VERSION: 100}, servers={VERSION: server}))
    return ports


def new_key(rt: Any, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["api-key", "create", "shop"], settings=rt.settings) == 0
    return capsys.readouterr().out.splitlines()[0]


def test_keys_pass_through_the_gateway(place: tuple[Any, EmbeddedTarget], capsys: pytest.CaptureFixture[str]) -> None:
    rt, target = place
    key = new_key(rt, capsys)
    (port,) = serve(rt, target, 1)
    body = request_body(one_row())
    with httpx.Client(base_url=rt.settings.gateway_url, timeout=10) as client:
        refused = client.post(f"/v2/models/{MODEL}/infer", json=body)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="modelops"')
        for path in (f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/versions/{VERSION}"):
            for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
                assert client.post(f"{path}/infer", json=body, headers=headers).status_code == 200
        records = {"dataframe_records": [{name: values[0] for name, values in one_row().items()}]}
        scored = client.post(f"/v2/models/{MODEL}/invocations", json=records, headers={"x-api-key": key})
        assert len(scored.json()["predictions"]) == 1
    golden = read_golden(rt.storage.served(MODEL, VERSION))
    assert compare_golden(infer_url(port, MODEL, VERSION), golden).passed, "the serving check brings a key of its own"


def test_a_server_that_drains_costs_no_request(place: tuple[Any, EmbeddedTarget], capsys: pytest.CaptureFixture[str]) -> None:
    rt, target = place
    key = new_key(rt, capsys)
    first, _ = serve(rt, target, 2)
    url = f"{rt.settings.gateway_url}/v2/models/{MODEL}/infer"
    seen: list[int] = []
    deadline, ended = time.monotonic() + 40, None
    with httpx.Client(headers={"x-api-key": key}, timeout=10) as client:
        process = listening(first)
        body = json.dumps(request_body(one_row())).encode()
        while time.monotonic() < deadline and (ended is None or time.monotonic() < ended + 0.5):
            if len(seen) == 200:
                os.kill(process.pid, signal.SIGTERM)
            seen.append(client.post(url, content=body).status_code)
            if ended is None and not process.is_running():
                ended = time.monotonic()
    assert ended is not None, "the server ended"
    assert set(seen) == {200}
    assert len(seen) > 220


def listening(port: int) -> psutil.Process:
    """The process that listens on this port."""
    found = psutil.net_connections("tcp")
    return psutil.Process(next(one.pid for one in found if one.status == "LISTEN" and one.laddr.port == port))
