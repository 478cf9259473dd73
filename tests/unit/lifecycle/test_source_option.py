"""The password of `--url` is the one that libpq would find in its password file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from include.lifecycle.commands.source_option import source_of
from include.lifecycle.errors import SettingsError
from include.lifecycle.loading import load_model

LINES = """\
# host:port:database:user:password
other:5432:*:reader:no
db:5432:crm:reader:with\\:colon\\\\slash
db:*:*:*:anything
short:line
"""


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://reader@db/crm", "with:colon\\slash"),
        ("postgresql://reader@db:5432/crm", "with:colon\\slash"),
        ("postgresql://reader@db:6432/crm", "anything"),
        ("postgresql://reader@elsewhere/crm", None),
    ],
)
def test_the_first_line_that_fits_wins(project, tmp_path: Path, url: str, password: str | None) -> None:
    (tmp_path / "pgpass").write_text(LINES)
    settings = replace(project.settings, passfile=tmp_path / "pgpass")
    found = source_of(argparse.Namespace(url=url), load_model("churn", settings=settings), settings)
    assert found.password == password


def test_a_password_file_that_is_not_there_is_named(project, tmp_path: Path) -> None:
    settings = replace(project.settings, passfile=tmp_path / "none")
    with pytest.raises(SettingsError, match="none cannot be read"):
        source_of(argparse.Namespace(url="postgresql://reader@db/crm"), load_model("churn", settings=settings), settings)
