"""The installer names what a machine lacks with its apt line, and does nothing when the lock is installed already."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import PROJECT_ROOT
from include.stack import install


def test_this_machine_lacks_nothing():
    assert install.missing() == []


def test_each_lack_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install, "has_library", lambda _: False)
    monkeypatch.setattr(install.shutil, "which", lambda _: None)
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(install.sys, "version_info", (3, 9, 2))
    said = "\n".join(install.missing())
    for word in ("Python 3.11 to 3.13 (this is python3.9)", "python3.9-venv", "libgomp1", "git", "apt-get install"):
        assert word in said


def test_an_installed_lock_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "requirements.lock").write_text("a==1\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / ".venv" / ".installed").write_text(hashlib.sha256(b"a==1\n").hexdigest())
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "install", lambda *_: pytest.fail("installed again"))
    assert install.main() == 0
    (tmp_path / "requirements.lock").write_text("a==2\n")
    installed: list[Path] = []
    monkeypatch.setattr(install, "install", lambda venv, lock: installed.append(lock))
    assert install.main() == 0
    assert installed
    assert install.main() == 0
    assert len(installed) == 1


def test_it_needs_only_the_standard_library():
    script = PROJECT_ROOT / "include" / "stack" / "install.py"
    code = f"import runpy; runpy.run_path({str(script)!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_the_lock_names_no_registry():
    text = (PROJECT_ROOT / "requirements.lock").read_text()
    assert not [line for line in text.splitlines() if line.startswith("-") or "://" in line]
