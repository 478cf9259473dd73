"""Hashed columns: equal to the standard library's HMAC, the same in table and request, and no raw value in log or refusal."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.errors import SettingsError
from include.serving.pii import KeyedHash, hash_for, key_id_of, read_key
from include.serving.protocol import RequestSchema
from include.serving.tensor_checks import RequestRefusedError
from include.serving.version_folder import SERVING, ServingSpec, VersionFolderInvalidError, write_manifest
from tests.unit.serving.folders import build_folder, one_row, request_body, serving_spec
from tests.unit.serving.running import eventually, running_server

KEY = b"k" * 48
KEYED = KeyedHash(KEY)


def test_it_is_hmac_sha256_with_the_keys_id():
    expected = hmac.new(KEY, b"Ann Example", hashlib.sha256).hexdigest()[:24]
    assert KEYED("Ann Example") == f"hmac-{KEYED.key_id}-{expected}"
    assert key_id_of(str(KEYED("x"))) == KEYED.key_id != KeyedHash(b"other" * 10).key_id


@given(st.text(max_size=50))
def test_hashing_again_changes_nothing_and_blanks_are_null(text: str):
    once = KEYED(text)
    assert KEYED(once) == once
    assert (once is None) == (not text.strip())
    assert KEYED(f"  {text}\t") == once
    assert KEYED.all([text, None, text]) == [once, None, once]


def hashed(spec: ServingSpec) -> ServingSpec:
    known = tuple(str(KEYED(name)) for name in ("AA", "UA"))
    inputs = tuple(replace(column, known=known) if column.name == "carrier" else column for column in spec.inputs)
    return replace(spec, inputs=inputs, hashed=("carrier", "flight_id"))


def test_requests_are_hashed_before_anything_else_sees_them():
    schema = RequestSchema.of(hashed(serving_spec()), 10, KEYED)
    body = request_body({"distance": [1.0] * 3, "wind_speed": [2.0] * 3, "carrier": ["AA", None, "ZZ"], "flight_id": ["F1"] * 3})
    request = schema.parse(json.dumps(body).encode())
    assert request.columns["carrier"] == [KEYED("AA"), None, KEYED("ZZ")]
    assert request.keys == [KEYED("F1")] * 3
    assert schema.unknown_categories(request.columns) == {"carrier": 1}
    again = request_body({**request.columns, "flight_id": ["F1"] * 3})
    assert schema.parse(json.dumps(again).encode()).columns == request.columns  # golden requests hold hashes already


@pytest.mark.parametrize("value", [17, "x" * 5000])
def test_a_refusal_shows_no_value(value):
    schema = RequestSchema.of(hashed(serving_spec()), 10, KEYED)
    with pytest.raises(RequestRefusedError, match="'carrier' is personal data") as caught:
        schema.parse(json.dumps(request_body(one_row(carrier=value))).encode())
    assert str(value)[:20] not in str(caught.value)


def test_the_spec_keeps_its_hashed_columns_and_older_files_have_none():
    spec = hashed(serving_spec())
    assert ServingSpec.from_json(spec.to_json()) == spec
    older = json.loads(serving_spec().to_json())
    del older["hashed"]
    assert ServingSpec.from_json(json.dumps(older)).hashed == ()


def test_the_key_must_be_there_be_secret_and_be_trainings(tmp_path: Path):
    spec, file = hashed(serving_spec()), tmp_path / "pii-key"
    assert hash_for(serving_spec(), None) is None
    with pytest.raises(VersionFolderInvalidError, match="--pii-key-file must name the key"):
        hash_for(spec, None)
    with pytest.raises(SettingsError, match="No such file"):
        read_key(file)
    file.write_bytes(b"short\n")
    with pytest.raises(SettingsError, match="5 bytes; at least 32"):
        read_key(file)
    file.write_bytes(b"other" * 10)
    with pytest.raises(VersionFolderInvalidError, match=f"carrier was hashed under key {KEYED.key_id} in training"):
        hash_for(spec, file)
    file.write_bytes(KEY + b"\n")
    assert str(hash_for(spec, file)("AA")) == KEYED("AA")  # type: ignore[misc]


def test_a_real_server_logs_hashes_only(tmp_path: Path):
    folder, key_file = tmp_path / "3", tmp_path / "pii-key"
    build_folder(folder)
    (folder / SERVING).write_text(hashed(serving_spec()).to_json())
    digest = write_manifest(folder)
    key_file.write_bytes(KEY)
    with running_server(folder, digest, tmp_path / "log", "--pii-key-file", str(key_file)) as server:
        answer = server.infer(one_row(carrier="RAWCARRIER", flight_id="RAWKEY"))
        assert answer.status_code == 200
        logged = tmp_path / "log" / "segments"
        assert eventually(lambda: any(path.stat().st_size for path in logged.glob("*")) if logged.is_dir() else False)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"RAWCARRIER" not in written
    assert b"RAWKEY" not in written
    (line,) = [json.loads(text) for path in logged.glob("*") for text in path.read_text().splitlines()]
    assert (line["key"], line["features"]["carrier"]) == (KEYED("RAWKEY"), KEYED("RAWCARRIER"))
