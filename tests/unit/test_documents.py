"""What README and docs name is there: files, pictures, make targets, commands; and no file names a package registry's host."""

from __future__ import annotations

import re
import subprocess

import pytest

from include.lifecycle.cli import COMMANDS
from include.settings import PROJECT_ROOT
from include.stack.cli import _COMMANDS as STACK_COMMANDS

PAGES = [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
# Put together here, so that this file does not name them either.
REGISTRIES = re.compile("|".join([r"\.".join(("pypi", "org")), "python" + "hosted", "index" + "-url"]), re.IGNORECASE)


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request):
    return request.param


def test_links_and_pictures_are_there(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_named_files_are_there(page):
    named = re.findall(r"`((?:include|tests|dags|plugins|docs)/[\w./-]+)`", page.read_text())
    assert [path for path in named if "MODEL" not in path and not (PROJECT_ROOT / path).exists()] == []


def test_make_targets_and_commands_are_there(page):
    text = page.read_text()
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= TARGETS
    commands = {command.__name__.rpartition(".")[2].replace("_", "-") for command in COMMANDS}
    assert set(re.findall(r"lifecycle\.cli ([a-z-]+)", text)) <= commands
    assert set(re.findall(r"-m include\.stack ([a-z]+)\b", text)) <= set(STACK_COMMANDS)


def test_no_file_names_a_package_registry():
    listed = (
        subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT_ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    )
    texts = {name: (PROJECT_ROOT / name).read_bytes() for name in listed if name and (PROJECT_ROOT / name).is_file()}
    readable = {name: text.decode() for name, text in texts.items() if b"\0" not in text}
    assert [name for name, text in readable.items() if REGISTRIES.search(text)] == []
