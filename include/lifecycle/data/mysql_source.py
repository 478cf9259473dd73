"""MySQL and MariaDB as a source, all by connectorx: no driver to install. The session is UTC and cannot write."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import URL

from include.lifecycle.data.connectorx_stream import connectorx_stream
from include.lifecycle.data.dialects import MYSQL
from include.lifecycle.data.source import Source, check_port
from include.lifecycle.errors import SourceQueryError, SourceUnavailableError

if TYPE_CHECKING:
    import pyarrow

_PORT = 3306
_SESSION = ("SET time_zone = '+00:00'", "SET SESSION TRANSACTION READ ONLY")
_ERROR = re.compile(r"ERROR (\d+) \((\w{5})\): (.*?) \}", re.DOTALL)
# Too many connections, shutdown, lock wait, deadlock, interrupted, killed, gone away, lost: another try may succeed.
_LOST_CODES = {"1040", "1053", "1203", "1205", "1213", "1317", "1927", "2006", "2013"}


@dataclass(frozen=True)
class MySqlSource(Source):
    """One MySQL or MariaDB database. The password stays inside `url`; times without a zone are UTC."""

    url: URL
    where: str
    dialect = MYSQL

    def check(self) -> None:
        """Somebody listens at the port."""
        check_port(self.url.host or "127.0.0.1", self.url.port or _PORT, f"{self.where}: database {self}")

    def stream(self, query: str) -> AbstractContextManager[pyarrow.RecordBatchReader]:
        """The query's rows as Arrow record batches in bounded memory; errors also while the caller reads."""
        url = self.url.set(drivername="mysql", host=self.url.host or "127.0.0.1", port=self.url.port or _PORT, query={})
        return connectorx_stream(url, query, _SESSION, self._translate)

    def _translate(self, said: str) -> SourceQueryError | SourceUnavailableError:
        found = _ERROR.search(said)
        message = f"{found[3]} (error {found[1]})" if found else said
        if found and found[1] not in _LOST_CODES and not found[2].startswith("08"):
            return SourceQueryError(f"{self.where}: database {self} refused the query: {message}")
        return SourceUnavailableError(f"{self.where}: database {self} did not answer, or broke off: {message}")

    def __str__(self) -> str:
        return f"{self.url.host}:{self.url.port or _PORT}/{self.url.database}"
