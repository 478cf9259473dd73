"""A layout and credentials in a temporary folder; nothing is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.stack.credentials import Credentials
from include.stack.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = Layout.of(tmp_path / "the local")
    made.create()
    yield made
    made.remove()  # with the socket's folder outside tmp_path


@pytest.fixture
def credentials(layout: Layout) -> Credentials:
    made = Credentials(layout)
    made.write(postgres_port=18432)
    return made
