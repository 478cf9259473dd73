"""Model servers as programs of supervisord: their names, and the text that declares one. Pure but for reading what is declared.

`server-churn-8` is the first server of version 8, `server-churn-8-2` the second, `server-churn-7-baseline` a fresh one of the
champion's version that a canary is compared with.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from include.settings import Settings

_NAME = re.compile(r"server-(?P<model>[^-]+)-(?P<version>\d+)(?P<baseline>-baseline)?(?:-(?P<number>\d+))?")
_COMMAND = re.compile(r"^command=(.*)$", re.MULTILINE)
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, order=True)
class ServerProgram:
    """One server process of a version; `number` counts from 1."""

    model: str
    version: int
    number: int = 1
    baseline: bool = False

    @property
    def name(self) -> str:
        """Name of its program in supervisord."""
        kind, which = "-baseline" if self.baseline else "", "" if self.number == 1 else f"-{self.number}"
        return f"server-{self.model}-{self.version}{kind}{which}"

    @classmethod
    def parse(cls, name: str) -> ServerProgram | None:
        """The program of that name; None when it is no model server's."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(match["model"], int(match["version"]), int(match["number"] or 1), match["baseline"] is not None)


@dataclass(frozen=True)
class Declared:
    """What a program's file says: the loopback port, and digest and folder of the version that it loads."""

    port: int
    digest: str
    folder: str

    @classmethod
    def read(cls, path: Path) -> Declared | None:
        """None when there is no such file, or none of ours."""
        match = _COMMAND.search(path.read_text(encoding="utf-8")) if path.exists() else None
        words = shlex.split(match[1].replace("%%", "%")) if match else []
        told = dict(pairwise(words))
        return cls(int(told["--port"]), told["--digest"], told["--directory"]) if "--port" in told else None


def declared_programs(conf_dir: Path) -> list[ServerProgram]:
    """All model servers that are declared, in order."""
    found = (ServerProgram.parse(path.stem) for path in conf_dir.glob("server-*.conf"))
    return sorted(one for one in found if one is not None)


def program_text(name: str, settings: Settings, command: list[str], *, stop_seconds: float) -> str:
    """supervisord's configuration of one server; exit codes 3 and 4 say that the version cannot be served: no restart helps."""
    environment = {"PYTHONPATH": str(settings.home), **dict.fromkeys(_ONE_THREAD, "1")}
    lines: Mapping[str, str] = {
        "command": shlex.join([sys.executable, *command]),
        "directory": str(settings.home),
        "environment": ",".join(f'{variable}="{value}"' for variable, value in environment.items()),
        "autostart": "true",
        "autorestart": "unexpected",
        "exitcodes": "0,3,4",
        "startsecs": "1",
        "startretries": "3",
        "stopwaitsecs": f"{stop_seconds:.0f}",
        "redirect_stderr": "true",
        "stdout_logfile": str(settings.server_log_dir / f"{name}.log"),
        "stdout_logfile_maxbytes": "5MB",
        "stdout_logfile_backups": "1",
    }
    body = "\n".join(f"{key}={value.replace('%', '%%')}" for key, value in lines.items())
    return f"[program:{name}]\n{body}\n"
