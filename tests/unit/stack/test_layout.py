"""The stack's folder: short socket paths, and a removal that touches nothing of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.lifecycle.errors import SettingsError
from include.settings import load_settings
from include.stack.layout import Layout
from include.stack.local import LocalStack


def test_a_deep_folder_gets_a_short_socket(tmp_path: Path):
    shallow, deep = Layout(Path("/tmp/x")), Layout(tmp_path / ("deep" * 30))
    assert shallow.socket == Path("/tmp/x/supervisor/supervisor.sock")
    assert len(str(deep.socket)) < 100
    assert deep.socket != Layout(tmp_path / ("other" * 30)).socket


def test_removal_keeps_what_it_did_not_make(layout: Layout):
    (layout.local / "thesis.txt").write_text("mine")
    (layout.artifacts / "model").write_text("ours")
    layout.remove()
    assert [path.name for path in layout.local.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_removed(layout: Layout):
    layout.remove()
    assert not layout.local.exists()


def test_rows_of_data_are_for_the_owner_only(layout: Layout):
    for folder in (layout.secrets, layout.storage, layout.artifacts):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_way_is_named(tmp_path: Path):
    (tmp_path / "local").write_text("")
    with pytest.raises(SettingsError, match="local"):
        Layout.of(tmp_path / "local").create()


def test_a_folder_that_supervisord_cannot_work_in_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError, match="%"):
        Layout.of(tmp_path / "100%").create()


def test_settings_find_the_stack_by_its_environment(layout: Layout):
    stack = LocalStack(layout)
    settings = load_settings(stack.environment())
    assert settings.storage == layout.storage
    assert settings.server_ports == (18300, 18399)
    assert settings.clock_file == layout.clock_file
    assert settings.supervisor_socket == layout.socket
    assert load_settings(LocalStack(layout, demo=False).environment()).overlay is None


def test_exported_timeouts_of_the_gateway_are_kept(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    for name in ("MODELOPS_GATEWAY_TIMEOUT", "MODELOPS_GATEWAY_ATTEMPT_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    assert load_settings(LocalStack(layout).environment()).gateway_timeout.total_seconds() == 10
    monkeypatch.setenv("MODELOPS_GATEWAY_TIMEOUT", "20s")
    environment = LocalStack(layout).environment()
    assert environment["MODELOPS_GATEWAY_TIMEOUT"] == "20s"
    layout.env_file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    monkeypatch.delenv("MODELOPS_GATEWAY_TIMEOUT")
    assert LocalStack(layout).environment() == environment
    monkeypatch.setenv("MODELOPS_GATEWAY_ATTEMPT_TIMEOUT", "21s")
    with pytest.raises(SettingsError, match="MODELOPS_GATEWAY_ATTEMPT_TIMEOUT=21s"):
        LocalStack(layout).environment()
