"""The option `--url` of commands that read data outside Airflow: the database behind a connection, never a password."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import SettingsError
from include.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import URL

    from include.lifecycle.spec import ModelSpec

_FIELD = 5  # host:port:database:user:password


def add_source_option(parser: Any) -> None:
    """Declare `--url`."""
    parser.add_argument("--url", help="SQLAlchemy URL, without a password, of the database behind the model's data.connection")


def source_of(arguments: argparse.Namespace, spec: ModelSpec, settings: Settings) -> URL | None:
    """The database of `--url`, with the password that the file MODELOPS_PASSFILE holds for it, if any; None for files.

    Raises:
        SettingsError: no URL, none that can be read, or one with a password in it.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    example = "postgresql+psycopg2://reader@db:5432/warehouse"
    if not arguments.url and spec.data.dataset is not None:
        return None
    if not arguments.url:
        raise SettingsError(f"connection {spec.data.connection!r} is known to Airflow only; name its database: --url {example}")
    try:
        url = make_url(arguments.url)
    except ArgumentError:
        raise SettingsError(f"--url is no SQLAlchemy URL; write for example {example}") from None
    if url.password is not None:
        raise SettingsError(
            "--url carries a password, and others see a command line; put it into the file MODELOPS_PASSFILE names"
        )
    password = _password(settings.passfile, url) if settings.passfile else None
    return url if password is None else url.set(password=password)


def _password(passfile: Path, url: URL) -> str | None:
    """What libpq would find: the first line whose fields are the URL's or `*`."""
    wanted = (url.host or "localhost", str(url.port or 5432), url.database or "", url.username or "")
    try:
        lines = passfile.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise SettingsError(f"MODELOPS_PASSFILE {passfile} cannot be read: {problem}") from problem
    for line in lines:
        fields = _fields(line)
        if len(fields) == _FIELD and all(field in ("*", want) for field, want in zip(fields, wanted, strict=False)):
            return fields[-1]
    return None


def _fields(line: str) -> list[str]:
    """The fields of one line; `\\:` and `\\\\` stand for the character itself."""
    if line.startswith("#"):
        return []
    fields, escaped = [""], False
    for character in line:
        if escaped or character not in "\\:":
            fields[-1] += character
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            fields.append("")
    return fields
