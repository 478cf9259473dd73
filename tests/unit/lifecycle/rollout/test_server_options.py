"""The section prediction_log reaches a model server's command line, and only within its bounds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model
from include.lifecycle.rollout.targets.server_options import server_options
from include.serving.options import parse_options
from include.serving.prediction_log import LogLimits
from include.settings import PROJECT_ROOT, Settings, load_settings

PLACES = ["--directory", "d", "--digest", "0", "--port", "0", "--log-dir", "l"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project of its own with one model, over which `overlay/flight_delay.yaml` is laid."""
    shutil.copytree(PROJECT_ROOT / "include" / "models", tmp_path / "home" / "include" / "models")
    shutil.copytree(PROJECT_ROOT / "include" / "sql", tmp_path / "home" / "include" / "sql")
    (tmp_path / "overlay").mkdir()
    return load_settings({"MODELOPS_HOME": str(tmp_path / "home"), "MODELOPS_OVERLAY": str(tmp_path / "overlay")})


def overlay(settings: Settings, text: str) -> None:
    assert settings.overlay is not None
    (settings.overlay / "flight_delay.yaml").write_text(f"prediction_log: {text}\n")


def limits(settings: Settings) -> LogLimits:
    told = parse_options([*PLACES, *server_options(settings, "flight_delay")])
    return LogLimits(
        told.log_flush_seconds,
        buffer_rows=told.log_buffer_rows,
        segment_bytes=told.log_segment_bytes,
        segment_seconds=told.log_segment_seconds,
    )


def test_the_yaml_s_defaults_are_the_server_s(settings: Settings) -> None:
    assert limits(settings) == LogLimits()
    assert server_options(settings, "nobody") == []


def test_what_the_yaml_says_reaches_the_server(settings: Settings) -> None:
    overlay(settings, "{flush: 1ms, buffer_rows: 10_000, segment_bytes: 1_024, segment_age: 1d}")
    assert limits(settings) == LogLimits(0.001, buffer_rows=10_000, segment_bytes=1024, segment_seconds=86400)


def test_a_broken_yaml_still_lets_a_server_start(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    overlay(settings, "{flush: soon}")
    assert server_options(settings, "flight_delay") == []
    assert "default options" in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{flush: 0s}", "1ms to 10s"),
        ("{flush: 10001ms}", "1ms to 10s"),
        ("{segment_age: 999ms}", "1s to 1d"),
        ("{segment_age: 2d}", "1s to 1d"),
        ("{buffer_rows: 0}", "prediction_log.buffer_rows"),
        ("{buffer_rows: 9_999}", "got 9999; allowed: at least server.max_rows, which is 10000"),
        ("{segment_bytes: 1_023}", "prediction_log.segment_bytes"),
        ("{destination: /data/log}", "prediction_log.destination"),
        ("{destination: 's3://'}", "prediction_log.destination"),
        ("{keep: 0d}", "prediction_log.keep"),
    ],
)
def test_bounds(settings: Settings, text: str, told: str) -> None:
    overlay(settings, text)
    with pytest.raises(SpecInvalidError, match=told):
        load_model("flight_delay", settings=settings)


@pytest.mark.parametrize("place", ["s3://logs", "s3://my-bucket.eu/team/predictions", "null"])
def test_destinations(settings: Settings, place: str) -> None:
    overlay(settings, f"{{destination: {place}}}")
    found = load_model("flight_delay", settings=settings).prediction_log.destination
    assert found == (None if place == "null" else place)
