"""API keys: hashed in the file, good for their models and their time, read again when the file changes."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.lifecycle.cli import main
from include.lifecycle.errors import SettingsError
from include.lifecycle.rollout.before_traffic.key_file import change_keys, probe_headers
from include.serving import api_keys
from include.serving.api_keys import KeyRefusedError, KeyRing, new_key, read_keys
from include.settings import load_settings
from tests.unit.serving.apps import InProcess
from tests.unit.serving.folders import one_row, request_body

NOW = datetime.now(UTC)
INFER, OWN = "/v2/models/flights/infer", 'model="flights",version="3"'


def made(path: Path, client: str = "billing", **more: Any) -> tuple[str, str]:
    """A new key in the file: its id and the key."""
    key, text = new_key(client, now=NOW, **more)
    change_keys(path, lambda keys: [*keys, key])
    return key.id, text


def revoke(path: Path, identity: str) -> None:
    change_keys(path, lambda keys: api_keys.revoked(keys, identity, NOW))


def bearer(text: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {text}".encode())]


def refused(ring: KeyRing, headers: list[tuple[bytes, bytes]]) -> KeyRefusedError:
    with pytest.raises(KeyRefusedError) as caught:
        ring.client(headers)
    return caught.value


def test_the_file_holds_no_key_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    identity, text = made(path)
    content = path.read_text()
    assert identity in content
    assert text not in content
    assert text.rpartition("-")[2] not in content
    assert path.stat().st_mode & 0o777 == 0o600


def test_both_headers_name_the_client(tmp_path: Path) -> None:
    _, text = made(tmp_path / "keys.json")
    ring = KeyRing(tmp_path / "keys.json", "flights")
    assert ring.client(bearer(text)) == "billing"
    assert ring.client([(b"x-api-key", text.encode())]) == "billing"
    assert ring.client([(b"authorization", f"bearer  {text} ".encode())]) == "billing"


def test_what_is_refused_and_why(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    gone, gone_text = made(path, "gone")
    _, late = made(path, "late", expires=NOW - timedelta(seconds=1))
    _, other = made(path, "other", models=("churn",))
    revoke(path, gone)
    ring = KeyRing(path, "flights")
    for headers in ([], [(b"authorization", b"Basic eDp5")], bearer(""), bearer("mok-" + "0" * 52), bearer(gone_text + "x")):
        problem = refused(ring, headers)
        assert (problem.status, problem.client) == (401, "")
        assert (b"www-authenticate", b'Bearer realm="modelops"') in problem.headers
    found = [
        (problem.status, problem.client, str(problem)) for problem in (refused(ring, bearer(t)) for t in (gone_text, late, other))
    ]
    assert [one[:2] for one in found] == [(401, "gone"), (401, "late"), (403, "other")]
    assert [
        word in one[2] for word, one in zip(("revoked", "expired", "not for model flights; allowed: churn"), found, strict=True)
    ]


def test_a_change_of_the_file_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    identity, text = made(path)
    moment = [100.0]
    monkeypatch.setattr(api_keys.time, "monotonic", lambda: moment[0])
    ring = KeyRing(path, "flights")
    revoke(path, identity)
    assert ring.client(bearer(text)) == "billing", "looked at once a second"
    moment[0] += 1
    assert "revoked" in str(refused(ring, bearer(text)))
    _, second = made(path, "second")
    assert ring.client(bearer(second)) == "second", "a new key is good at once"
    path.write_text("{")
    moment[0] += 1
    with caplog.at_level(logging.ERROR):
        assert ring.client(bearer(second)) == "second", "a broken file locks nobody out"
    assert "the keys of before stay in force" in caplog.text
    path.unlink()
    moment[0] += 1
    assert ring.client(bearer(second)) == "second"


@pytest.mark.parametrize("content", ["", "{}", '{"keys": [{"id": 3}]}', '{"keys": 3}'])
def test_a_malformed_file_is_told_at_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(SettingsError, match=r"keys\.json: .*expected what `api-key create` writes"):
        KeyRing(tmp_path / "keys.json", "flights")
    with pytest.raises(SettingsError, match="No such file"):
        KeyRing(tmp_path / "none.json", "flights")


def test_health_and_metrics_stay_open_and_refusals_are_counted_by_client(tmp_path: Path, onnx_folder: tuple[Path, str]) -> None:
    path = tmp_path / "keys.json"
    _, good = made(path)
    _, other = made(path, "other", models=("churn",))
    served = InProcess(onnx_folder[0], keys=KeyRing(path, "flights"))
    body = request_body(one_row())

    def status(path: str, content: Any = None, **headers: str) -> int:
        return asyncio.run(served.ask(path, content, **headers)).status

    assert [status(f"/v2/health/{word}") for word in ("live", "ready")] == [200, 200]
    assert [status(path) for path in ("/metrics", "/ping", "/v2/models/flights/ready")] == [200] * 3
    assert [status(path) for path in ("/v2", "/v2/models/flights", "/nothing")] == [401] * 3
    assert [status(path, body) for path in (INFER, "/invocations")] == [401] * 2
    assert status(INFER, body, authorization=f"Bearer {good}") == 200
    assert status(INFER, {}, x_api_key=good) == 400
    assert status(INFER, body, x_api_key=other) == 403
    assert served.sample(f'model_auth_failures_total{{client="",code="401",{OWN}}}') == 5
    assert served.sample(f'model_auth_failures_total{{client="other",code="403",{OWN}}}') == 1
    assert served.sample(f'model_client_requests_total{{client="billing",{OWN}}}') == 1
    assert served.sample(f'model_rejected_requests_total{{code="401",{OWN}}}') == 5


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.json"
    settings = load_settings({"MODELOPS_LOCAL": str(tmp_path), "MODELOPS_SERVER_KEYS_FILE": str(path)})
    assert main(["api-key", "create", "billing", "--models", "flights, churn", "--expires-in", "90d"], settings=settings) == 0
    said = capsys.readouterr()
    text, told = said.out.splitlines()
    assert said.err.splitlines()[0].startswith("note: there is no model 'flights' yet; did you mean '")
    assert said.err.splitlines()[1:] == ["note: there is no model 'churn' yet"]
    assert KeyRing(path, "flights").client(bearer(text)) == "billing"
    (key,) = read_keys(path)
    assert f"key {key.id} of billing for flights, churn; it is not shown again" in told
    assert main(["api-key", "list"], settings=settings) == 0
    assert text not in (listed := capsys.readouterr().out)
    assert f"{key.id}  billing  flights, churn  active" in listed
    assert main(["api-key", "revoke", key.id], settings=settings) == 0
    assert main(["api-key", "revoke", key.id], settings=settings) == 0
    capsys.readouterr()
    assert main(["api-key", "list", "--json"], settings=settings) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], "sha256" in row) == ("revoked", False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "a client"], "client 'a client'; allowed: letters"),
        (["create", "a", "--models", ","], "--models names no model"),
        (["create", "a", "--expires-in", "soon"], "--expires-in: 'soon' is no duration"),
        (["create", "a", "--expires-in", ""], "--expires-in: '' is no duration"),
        (["create", "a", "--expires-in", "99999999d"], "--expires-in: '99999999d' ends after the year 9999; for ever is without"),
        (["create", "a", "--expires-in", "0d"], "--expires-in: got '0d', a key that is expired at once; allowed: longer than 0s"),
        (["revoke", "00000000"], "no API key has the id '00000000'"),
    ],
)
def test_wrong_commands_are_told(tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings({"MODELOPS_LOCAL": str(tmp_path), "MODELOPS_SERVER_KEYS_FILE": str(tmp_path / "keys.json")})
    made(tmp_path / "keys.json")
    assert main(["api-key", *arguments], settings=settings) == 2
    assert told in capsys.readouterr().err


def test_without_a_file_nothing_is_asked_and_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings({"MODELOPS_LOCAL": str(tmp_path)})
    assert probe_headers(settings) == {}
    assert main(["api-key", "list"], settings=settings) == 2
    assert "set MODELOPS_SERVER_KEYS_FILE" in capsys.readouterr().err


def test_the_serving_check_makes_itself_a_key_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    settings = load_settings({"MODELOPS_LOCAL": str(tmp_path), "MODELOPS_SERVER_KEYS_FILE": str(path)})
    headers = probe_headers(settings)
    assert probe_headers(settings) == headers
    assert KeyRing(path, "flights").client([(b"x-api-key", headers["x-api-key"].encode())]) == "modelops-serving-check"
    assert len(read_keys(path)) == 1
    secret = tmp_path / "secrets" / "server-probe-key"
    assert secret.stat().st_mode & 0o777 == 0o600
