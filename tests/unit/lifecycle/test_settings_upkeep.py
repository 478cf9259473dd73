"""Settings of watchdog, upkeep and drill: defaults, edges, and that a stack keeps what was exported."""

from datetime import timedelta
from pathlib import Path

import pytest

from include.lifecycle.errors import SettingsError
from include.settings import kept_upkeep, load_settings
from include.settings_upkeep import NAMES, UpkeepSettings


def test_defaults_are_those_of_the_class():
    assert load_settings({}).upkeep == UpkeepSettings()


def test_values_are_read():
    found = load_settings(
        {"MODELOPS_WATCHDOG_GRACE": "10s", "MODELOPS_RECOVERY_POINT": "7d", "MODELOPS_GATEWAY_LOG_BYTES": "1000000"}
    )
    assert (found.upkeep.watchdog_grace, found.upkeep.recovery_point) == (timedelta(seconds=10), timedelta(days=7))
    assert found.upkeep.log_bytes == 1_000_000


@pytest.mark.parametrize("text", ["0s", "367d", "soon", "5", "-1s"])
@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("BYTES")])
def test_a_duration_at_its_edges(name, text):
    with pytest.raises(
        SettingsError, match=f"{name}='{text}'; allowed: a number and a unit of ms, s, m, h or d, from 1ms to 366d"
    ):
        load_settings({name: text})
    assert load_settings({name: "1ms"})
    assert load_settings({name: "366d"})


@pytest.mark.parametrize("text", ["999999", "2e9", "", "many"])
def test_a_log_has_room_for_a_while(text):
    with pytest.raises(SettingsError, match="allowed: a whole number of bytes from 1000000"):
        load_settings({"MODELOPS_GATEWAY_LOG_BYTES": text})


def test_a_stack_keeps_what_was_exported(tmp_path, monkeypatch):
    for name in (*NAMES, "MODELOPS_BACKUP_DIR", "MODELOPS_ALERT_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert kept_upkeep(tmp_path) == {}
    (tmp_path / "modelops.env").write_text("MODELOPS_DOWN_AFTER=30s\nMODELOPS_ORPHAN_AFTER=5m\n")
    monkeypatch.setenv("MODELOPS_DOWN_AFTER", "20s")
    assert kept_upkeep(tmp_path) == {"MODELOPS_DOWN_AFTER": "20s", "MODELOPS_ORPHAN_AFTER": "5m"}
    monkeypatch.setenv("MODELOPS_BACKUP_DIR", "backups")
    assert kept_upkeep(tmp_path)["MODELOPS_BACKUP_DIR"] == str(Path("backups").absolute())
    monkeypatch.setenv("MODELOPS_DOWN_AFTER", "never")
    with pytest.raises(SettingsError, match="MODELOPS_DOWN_AFTER='never'"):
        kept_upkeep(tmp_path)
