"""The server's command line: its defaults are the YAML's, and its log lines are JSON."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model
from include.lifecycle.rollout.targets.server_options import STOP_SECONDS, server_options, start_seconds, stop_seconds
from include.serving.json_logs import JsonFormatter, told_identity
from include.serving.options import parse_options
from include.settings import PROJECT_ROOT, Settings, load_settings

PLACES = ["--directory", "d", "--digest", "0", "--port", "0", "--log-dir", "l"]
MODEL = "flight_delay"


def settings_with(folder: Path, server: str, **environment: str) -> Settings:
    """The project's models, with `server: ...` laid over one of them."""
    (folder / f"{MODEL}.yaml").write_text(f"server: {server}\n")
    return load_settings({"MODELOPS_HOME": str(PROJECT_ROOT), "MODELOPS_OVERLAY": str(folder), **environment})


def test_the_yaml_s_defaults_are_the_server_s(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "{}")
    assert vars(parse_options([*PLACES, *server_options(settings, MODEL)])) == vars(parse_options(PLACES))
    assert stop_seconds(settings, MODEL) == stop_seconds(settings, "nobody") == STOP_SECONDS
    assert start_seconds(settings, MODEL) == start_seconds(settings, "nobody") == 60


def test_what_the_yaml_says_reaches_the_server(tmp_path: Path) -> None:
    text = "{workers: 64, queue: 1, max_rows: 1, max_body: 1_024, body_within: 100ms, inline_rows: 0, start_within: 1s"
    settings = settings_with(tmp_path, text + ", drain: {notice: 0s, at_most: 5m}}", MODELOPS_SERVER_KEYS_FILE="/keys.json")
    told = parse_options([*PLACES, *server_options(settings, MODEL)])
    assert (told.workers, told.queue, told.max_rows, told.max_body, told.inline_rows) == (64, 1, 1, 1024, 0)
    assert (told.drain_notice, told.drain_at_most, told.keys) == (0, 300, Path("/keys.json"))
    assert told.body_within == 0.1
    assert start_seconds(settings, MODEL) == 1
    assert stop_seconds(settings, MODEL) > 300


@pytest.mark.parametrize(
    "text",
    [
        "{workers: 0}",
        "{workers: 65}",
        "{queue: 0}",
        "{max_rows: 0}",
        "{max_body: 1_023}",
        "{inline_rows: -1}",
        "{body_within: 99ms}",
        "{body_within: 6m}",
        "{start_within: 999ms}",
        "{start_within: 11m}",
        "{drain: {notice: 6m}}",
        "{drain: {at_most: 6m}}",
    ],
)
def test_bounds(tmp_path: Path, text: str) -> None:
    settings = settings_with(tmp_path, text)
    with pytest.raises(SpecInvalidError, match=r"server\."):
        load_model(MODEL, settings=settings)


@pytest.mark.parametrize(
    "wrong", [["--workers", "0"], ["--queue", "many"], ["--drain-notice", "-1"], ["--drain-notice", "nan"], ["--x"]]
)
def test_wrong_options_end_it_with_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options([*PLACES, *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_log_line_is_one_json_object(onnx_folder: tuple[Path, str]) -> None:
    formatter = JsonFormatter(*told_identity(onnx_folder[0]))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("x.y", logging.ERROR, "f", 1, "failed: %s", ("a\nb",), sys.exc_info())
    text = formatter.format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert (line["model_name"], line["version"], line["level"], line["logger"], line["message"]) == (
        "flights",
        3,
        "error",
        "x.y",
        "failed: a\nb",
    )
    assert "ValueError: two\nlines" in line["exception"]
    assert line["timestamp"].endswith("+00:00")
    assert list(line)[:6] == ["timestamp", "level", "message", "module", "model_name", "version"]


def test_a_line_of_a_process_for_many_models_names_its_own() -> None:
    record = logging.makeLogRecord({"msg": "returned", "model_name": "churn", "version": 8, "module": "process"})
    line = json.loads(JsonFormatter(None, None).format(record))
    assert (line["model_name"], line["version"], line["module"]) == ("churn", 8, "process")
    plain = json.loads(JsonFormatter(None, None).format(logging.makeLogRecord({"msg": "looking"})))
    assert (plain["model_name"], plain["version"]) == (None, None)


def test_a_folder_that_tells_nothing_has_no_labels(tmp_path: Path) -> None:
    assert told_identity(tmp_path) == (None, None)
