"""LocalStack: one embedded stack as an object, for the command line, the demo, and tests with a folder of their own."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.lifecycle.clock import ShiftedClock, write_clock
from include.lifecycle.errors import SettingsError, SourceUnavailableError
from include.settings import Settings, data_settings, gateway_timeouts, kept_upkeep, load_settings
from include.stack import evidently_ui, postgres, prometheus
from include.stack.airflow_config import write_airflow_config
from include.stack.airflow_settings import airflow_client, apply_settings
from include.stack.boot import Boot
from include.stack.credentials import Credentials
from include.stack.health import probe
from include.stack.layout import Layout
from include.stack.ports import Ports, choose_free_ports, read_ports, refuse_taken
from include.stack.programs import LISTENS, build_programs, write_programs
from include.stack.progress import Progress
from include.stack.supervisor import LIVE, Supervisor, render_config, start_supervisord
from include.stack.teardown import end_everything, uninterrupted

if TYPE_CHECKING:
    import httpx

DEMO_START = datetime(2013, 8, 1, tzinfo=UTC)


@dataclass
class LocalStack:
    """A stack in `layout.local`. `free_ports` picks ports on the first start; `demo` adds the demo's overlay and its clock."""

    layout: Layout = field(default_factory=Layout.of)
    free_ports: bool = False
    demo: bool = True
    progress: Progress = field(default_factory=Progress)
    _supervisord: subprocess.Popen[bytes] | None = None

    @classmethod
    def at(
        cls, local: Path, *, home: Path | None = None, free_ports: bool = True, demo: bool = True, quiet: bool = True
    ) -> LocalStack:
        """A stack in a folder of its own, as tests want it."""
        return cls(Layout.of(local, home), free_ports, demo, Progress(quiet=quiet))

    @property
    def ports(self) -> Ports:
        """The ports in use; of a stack that was never started, those that it would use."""
        return read_ports(self.layout.ports_file)

    @property
    def secrets(self) -> Credentials:
        """Passwords and password files."""
        return Credentials(self.layout)

    @property
    def supervisor(self) -> Supervisor:
        """supervisord's interface."""
        return Supervisor(self.layout.socket)

    @property
    def settings(self) -> Settings:
        """The lifecycle's settings for this stack."""
        return load_settings(self.environment())

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and REST API."""
        return f"http://127.0.0.1:{self.ports.airflow}"

    def credentials(self, user: str) -> tuple[str, str]:
        """(user, password) of an Airflow user: admin, ann and bob (op), vic (viewer)."""
        return user, self.secrets.airflow_password(user)

    def airflow(self, user: str = "admin") -> httpx.Client:
        """A client of Airflow's REST API (`/api/v2/...`), logged in as `user`; the caller closes it."""
        return airflow_client(self.airflow_url, *self.credentials(user))

    def pid(self, program: str) -> int:
        """Process id of a program (0 when it does not run), of supervisord itself for "supervisord"."""
        if program == "supervisord":
            return self.supervisor.pid()
        rows = self.supervisor.processes()
        if program not in rows:
            raise SettingsError(f"no program {program}; there are {', '.join(sorted(rows))}")
        return int(rows[program]["pid"])

    def environment(self) -> dict[str, str]:
        """MODELOPS_* values (no secrets) with which any process finds this stack."""
        layout, ports = self.layout, self.ports
        database = f"127.0.0.1:{ports.postgres}"
        values: dict[str, object] = {
            "HOME": layout.home,
            "LOCAL": layout.local,
            "STORAGE": layout.storage,
            "DATABASE_URL": f"postgresql+psycopg2://modelops@{database}/modelops",
            "OPTUNA_URL": f"postgresql+psycopg2://optuna@{database}/optuna",
            "MLFLOW_URL": f"http://127.0.0.1:{ports.mlflow}",
            "AIRFLOW_URL": self.airflow_url,
            "AIRFLOW_PASSWORDS": layout.airflow_passwords,
            "GATEWAY_DIR": layout.gateway,
            "GATEWAY_URL": f"http://127.0.0.1:{ports.gateway}",
            "GATEWAY_ADMIN_URL": f"http://127.0.0.1:{ports.gateway_admin}",
            "GATEWAY_LOG": layout.logs / "gateway-access.jsonl",
            "SUPERVISOR_SOCKET": layout.socket,
            "SERVER_CONF_DIR": layout.server_conf,
            "SERVER_LOG_DIR": layout.logs,
            "SERVER_PORTS": ports.server_range,
            "PASSFILE": self.secrets.passfile,
        }
        if self.demo:
            values |= {"CLOCK_FILE": layout.clock_file, "OVERLAY": layout.home / "include" / "demo" / "overlay"}
        known = {f"MODELOPS_{name}": str(value) for name, value in values.items()}
        known |= gateway_timeouts(layout.local) | data_settings(layout.local) | kept_upkeep(layout.local)
        return known | prometheus.environment(ports, known)

    def up(self) -> None:
        """Start what does not run and return when all of it is healthy; on failure or Ctrl-C stop what this call started."""
        with self._locked(), self.progress:
            standing = self.supervisor.answers()
            if not standing:
                end_everything(self.layout)  # what a killed supervisord left behind
            boot = None
            try:
                boot = self._prepare(standing=standing)
                boot.run()
                with self.airflow() as client:
                    apply_settings(client, self.layout.home / "airflow_settings.yaml", self.ports, self.secrets)
            except BaseException:
                with uninterrupted():
                    self._undo(boot, standing=standing)
                raise

    def down(self) -> None:
        """Stop everything of this stack and make sure that no process of it is left."""
        with self._locked(), self.progress, uninterrupted():
            self._stop()

    def adopt(self, other: LocalStack) -> None:
        """Take over the supervisord that another object of the same stack started."""
        self._supervisord = other._supervisord

    def status(self) -> dict[str, str]:
        """{program: state}: healthy, unhealthy (runs, does not answer), or supervisord's word; empty when the stack is down."""
        try:
            rows = self.supervisor.processes()
        except SourceUnavailableError:
            return {}
        states = {}
        for name, row in rows.items():
            state = str(row["statename"]).lower()
            if state == "running" and (self.layout.programs / f"{name}.json").is_file():
                state = "healthy" if probe(name, self.ports, self.secrets, row["start"], self.layout) else "unhealthy"
            states[name] = state
        return states

    def _prepare(self, *, standing: bool) -> Boot:
        """Write every generated file and have supervisord know the programs; nothing starts before the ports are free."""
        rows = self.supervisor.processes() if standing else {}
        running = {name for name, row in rows.items() if row["statename"] in LIVE}
        self._choose_ports(running)
        self.layout.create()
        self.secrets.write(self.ports.postgres)
        programs = build_programs(self.layout, self.ports, self.secrets, self.environment())
        self._write_files()
        optional = prometheus.write(self.layout, self.ports, self.settings.metrics.runs) + self._evidently
        changed = write_programs(self.layout, programs)
        (self.layout.supervisor / "supervisord.conf").write_text(render_config(self.layout, programs), encoding="utf-8")
        if standing:
            self.supervisor.reload()
            for name in changed & running:
                self.supervisor.stop(name)
        else:
            self._supervisord = start_supervisord(self.layout)
        return Boot(self.layout, self.ports, self.secrets, self.environment(), self.supervisor, self.progress, optional)

    @property
    def _evidently(self) -> tuple[str, ...]:
        """Evidently's UI, where it is asked for."""
        return (evidently_ui.NAME,) if self.settings.metrics.evidently else ()

    def _choose_ports(self, running: set[str]) -> None:
        """Settle the ports; raise SettingsError when a program that does not run yet would find its port taken."""
        fresh = not self.layout.ports_file.is_file()
        ports = choose_free_ports() if self.free_ports and fresh else self.ports
        asked = {*prometheus.wanted(self.settings.metrics.runs), *self._evidently}
        unwanted = running | {*prometheus.OPTIONAL, evidently_ui.NAME} - asked
        refuse_taken(ports, [port for name, listens in LISTENS.items() if name not in unwanted for port in listens])
        ports.write(self.layout.ports_file)

    def _write_files(self) -> None:
        from include.lifecycle.rollout.gateway.gateway import initialise

        postgres.initialise(self.layout.postgres, self.secrets.password(postgres.SUPERUSER))
        write_airflow_config(self.layout, self.ports, self.secrets)
        environment = self.environment()
        text = "".join(f"{name}={value}\n" for name, value in environment.items())
        self.layout.env_file.write_text("# Made by the stack for include/settings.py; no secrets.\n" + text, encoding="utf-8")
        log = Path(environment["MODELOPS_GATEWAY_LOG"])
        initialise(self.layout.gateway, port=self.ports.gateway, admin_port=self.ports.gateway_admin, access_log=log)
        if self.demo and not self.layout.clock_file.exists():
            write_clock(self.layout.clock_file, ShiftedClock(datetime.now(UTC), DEMO_START, 1.0))

    def _undo(self, boot: Boot | None, *, standing: bool) -> None:
        """After a failed start: end the stack, or, where one stood before, only the programs that this call started."""
        if not standing:
            self._stop()
        elif boot:
            for name in boot.started:
                self.supervisor.stop(name)
                self.progress.state(name, "stopped")

    def _stop(self) -> None:
        standing = self.supervisor.answers()
        if standing:
            self.progress.state("stack", "stopping")
        end_everything(self.layout, self._supervisord)
        self._supervisord = None
        if standing:
            self.progress.state("stack", "stopped")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One start or stop at a time per folder."""
        self.layout.local.mkdir(parents=True, exist_ok=True)
        with (self.layout.local / ".stack.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as problem:
                raise SettingsError(f"another command is starting or stopping the stack in {self.layout.local}") from problem
            yield


def describe(stack: LocalStack) -> dict[str, object]:
    """Paths, addresses and ports of a stack, for people and scripts; no secrets."""
    places = {"local": stack.layout.local, "secrets": stack.layout.secrets, "logs": stack.layout.logs}
    return {
        **{name: str(path) for name, path in places.items()},
        "airflow": stack.airflow_url,
        "ports": asdict(stack.ports),
        "environment": stack.environment(),
    }
