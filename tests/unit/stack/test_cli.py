"""The command line on a folder where nothing runs: clear words and exit codes, and a reset that asks."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from include.stack.cli import main
from include.stack.layout import Layout


def test_status_without_a_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["status", "--local", str(tmp_path)]) == 3
    assert "no stack runs" in capsys.readouterr().out


def test_paths_are_json_without_secrets(layout: Layout, credentials, capsys: pytest.CaptureFixture[str]):
    assert main(["paths", "--local", str(layout.local)]) == 0
    said = capsys.readouterr().out
    assert json.loads(said)["ports"]["airflow"] == 18080
    assert credentials.password("modelops") not in said


def test_logs_without_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["logs", "--local", str(tmp_path), "scheduler"]) == 1
    assert "no log of scheduler" in capsys.readouterr().err


def test_logs_show_the_last_lines(layout: Layout, capfd: pytest.CaptureFixture[str]):
    (layout.logs / "scheduler.log").write_text("one\ntwo\nthree\n")
    assert main(["logs", "--local", str(layout.local), "--lines", "2", "scheduler"]) == 0
    assert capfd.readouterr().out == "two\nthree\n"


def test_reset_asks_and_keeps_without_a_terminal(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["reset", "--local", str(layout.local)]) == 1
    assert layout.secrets.is_dir()


def test_a_forced_reset_deletes(layout: Layout):
    assert main(["reset", "--local", str(layout.local), "--force"]) == 0
    assert not layout.local.exists()


def test_reset_of_a_strange_folder_touches_nothing(tmp_path: Path):
    (tmp_path / "data").mkdir()
    assert main(["reset", "--local", str(tmp_path), "--force"]) == 0
    assert (tmp_path / "data").is_dir()


def test_down_without_a_stack_is_no_error(tmp_path: Path):
    assert main(["down", "--local", str(tmp_path)]) == 0
