"""The only reader of the environment: where things are on this machine (`MODELOPS_*`). What a model wants is in its YAML.

Database URLs carry no password: libpq finds it in MODELOPS_PASSFILE. Every name is documented in docs/settings.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

from include.lifecycle.errors import SettingsError
from include.lifecycle.units import format_duration, parse_duration
from include.settings_metrics import NAMES as METRICS
from include.settings_metrics import PATHS as METRICS_PATHS
from include.settings_metrics import MetricsSettings, metrics_settings
from include.settings_upkeep import NAMES as UPKEEP
from include.settings_upkeep import UpkeepSettings, upkeep_settings

PROJECT_ROOT = Path(__file__).resolve().parent.parent
_KEYS = "MODELOPS_SERVER_KEYS_FILE"
_DATA_PATHS = ("MODELOPS_TRAINING_DATA", "MODELOPS_SNAPSHOT_REMOTE", "MODELOPS_S3_CREDENTIALS", _KEYS)
_DATA = (*_DATA_PATHS, "MODELOPS_S3_ENDPOINT", "MODELOPS_S3_REGION", "MODELOPS_S3_PROFILE")
_TIMEOUT, _ATTEMPT = "MODELOPS_GATEWAY_TIMEOUT", "MODELOPS_GATEWAY_ATTEMPT_TIMEOUT"
_NEW_ROWS = "MODELOPS_NEW_ROWS_POLL"
_UPKEEP_PATHS = ("MODELOPS_BACKUP_DIR", "MODELOPS_ALERT_SECRET_FILE")
_SHORTEST, _LONGEST = timedelta(milliseconds=1), timedelta(days=1)  # Envoy counts milliseconds, and 0 means "wait for ever"


@dataclass(frozen=True)
class Settings:
    """Paths and addresses of one installation."""

    home: Path
    storage: Path
    database_url: str
    optuna_url: str
    mlflow_url: str
    gateway_dir: Path
    gateway_url: str
    gateway_admin_url: str
    gateway_log: Path
    gateway_timeout: timedelta
    gateway_attempt_timeout: timedelta
    supervisor_socket: Path
    server_conf_dir: Path
    server_log_dir: Path
    server_ports: tuple[int, int]
    passfile: Path | None
    clock_file: Path | None
    overlay: Path | None
    airflow_url: str
    airflow_passwords: Path
    new_rows_poll: timedelta
    webhook_secret: Path
    pii_key_file: Path
    training_data: tuple[str, ...]
    snapshot_remote: str
    s3_endpoint: str | None
    s3_region: str | None
    s3_profile: str | None
    s3_credentials: Path | None
    airflow_token_file: Path | None = None
    prometheus_url: str = "http://127.0.0.1:9090"
    server_keys_file: Path | None = None
    server_probe_key: Path | None = None
    upkeep: UpkeepSettings = field(default_factory=UpkeepSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    alert_secret: Path = Path("alert-webhook")
    backup_dir: Path = Path("backup")

    @property
    def models_dir(self) -> Path:
        """Folder of the model YAML files."""
        return self.home / "include" / "models"

    @property
    def sql_dir(self) -> Path:
        """Folder of the models' SQL files."""
        return self.home / "include" / "sql"

    @property
    def dags_dir(self) -> Path:
        """Folder of the Dag files."""
        return self.home / "dags"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Build Settings from `environment` (default: the process's own), then `<local>/modelops.env`, then defaults.

    Raises SettingsError that names a variable whose value cannot be used, and what is allowed.
    The stack writes `modelops.env`, so that the command line finds a running stack without exporting anything.
    """
    given = os.environ if environment is None else environment
    home = Path(given.get("MODELOPS_HOME", PROJECT_ROOT))
    local = Path(given.get("MODELOPS_LOCAL", home / ".local"))
    env = {**_read_env_file(local / "modelops.env"), **given}
    timeout, attempt_timeout = _timeouts(env)
    clock_file, overlay, passfile = (env.get(f"MODELOPS_{name}") for name in ("CLOCK_FILE", "OVERLAY", "PASSFILE"))
    storage = Path(env.get("MODELOPS_STORAGE", local / "data"))
    return Settings(
        home=home,
        storage=storage,
        database_url=env.get("MODELOPS_DATABASE_URL", "postgresql+psycopg2://modelops@127.0.0.1:18432/modelops"),
        optuna_url=env.get("MODELOPS_OPTUNA_URL", "postgresql+psycopg2://optuna@127.0.0.1:18432/optuna"),
        mlflow_url=env.get("MODELOPS_MLFLOW_URL", "http://127.0.0.1:18500"),
        gateway_dir=Path(env.get("MODELOPS_GATEWAY_DIR", local / "gateway")),
        gateway_url=env.get("MODELOPS_GATEWAY_URL", "http://127.0.0.1:18200"),
        gateway_admin_url=env.get("MODELOPS_GATEWAY_ADMIN_URL", "http://127.0.0.1:18201"),
        gateway_log=Path(env.get("MODELOPS_GATEWAY_LOG", local / "logs" / "gateway-access.jsonl")),
        gateway_timeout=timeout,
        gateway_attempt_timeout=attempt_timeout,
        supervisor_socket=Path(env.get("MODELOPS_SUPERVISOR_SOCKET", local / "supervisor" / "supervisor.sock")),
        server_conf_dir=Path(env.get("MODELOPS_SERVER_CONF_DIR", local / "supervisor" / "conf.d")),
        server_log_dir=Path(env.get("MODELOPS_SERVER_LOG_DIR", local / "logs")),
        server_ports=_port_range("MODELOPS_SERVER_PORTS", env.get("MODELOPS_SERVER_PORTS", "18300-18399")),
        training_data=_places("MODELOPS_TRAINING_DATA", env.get("MODELOPS_TRAINING_DATA", str(storage / "incoming"))),
        snapshot_remote=_place("MODELOPS_SNAPSHOT_REMOTE", env.get("MODELOPS_SNAPSHOT_REMOTE", str(storage / "snapshot-remote"))),
        s3_endpoint=_endpoint("MODELOPS_S3_ENDPOINT", env),
        s3_region=env.get("MODELOPS_S3_REGION") or None,
        s3_profile=env.get("MODELOPS_S3_PROFILE") or None,
        s3_credentials=Path(env["MODELOPS_S3_CREDENTIALS"]).absolute() if env.get("MODELOPS_S3_CREDENTIALS") else None,
        passfile=Path(passfile) if passfile else None,
        clock_file=Path(clock_file) if clock_file else None,
        overlay=Path(overlay) if overlay else None,
        airflow_url=env.get("MODELOPS_AIRFLOW_URL", "http://127.0.0.1:18080"),
        airflow_passwords=Path(env.get("MODELOPS_AIRFLOW_PASSWORDS", local / "secrets" / "airflow-passwords.json")),
        new_rows_poll=_timeout(_NEW_ROWS, env.get(_NEW_ROWS, "5m")),
        webhook_secret=Path(env.get("MODELOPS_WEBHOOK_SECRET_FILE", local / "secrets" / "mlflow-webhook")),
        pii_key_file=Path(env.get("MODELOPS_PII_KEY_FILE", local / "secrets" / "pii-key")),
        airflow_token_file=Path(token_file) if (token_file := env.get("MODELOPS_AIRFLOW_TOKEN_FILE")) else None,
        server_keys_file=Path(keys).absolute() if (keys := env.get(_KEYS)) else None,
        server_probe_key=Path(env.get("MODELOPS_SERVER_PROBE_KEY_FILE", local / "secrets" / "server-probe-key")),
        prometheus_url=_endpoint("MODELOPS_PROMETHEUS_URL", env) or "http://127.0.0.1:9090",
        upkeep=upkeep_settings(env),
        metrics=metrics_settings(env, local),
        alert_secret=Path(env.get("MODELOPS_ALERT_SECRET_FILE", local / "secrets" / "alert-webhook")),
        backup_dir=Path(env.get("MODELOPS_BACKUP_DIR", local / "backup")),
    )


def gateway_timeouts(local: Path) -> dict[str, str]:
    """Both timeouts, by variable, of the stack in `local`: as exported, else as `modelops.env` keeps them, else the defaults."""
    exported = {name: os.environ[name] for name in (_TIMEOUT, _ATTEMPT) if name in os.environ}
    found = load_settings(exported | {"MODELOPS_LOCAL": str(local)})
    return {_TIMEOUT: format_duration(found.gateway_timeout), _ATTEMPT: format_duration(found.gateway_attempt_timeout)}


def data_settings(local: Path) -> dict[str, str]:
    """Settings of data, snapshots and API keys, by variable, of the stack in `local`: exported, or kept in `modelops.env`.

    Paths are made absolute: the stack's processes run elsewhere.
    """
    known = {**_read_env_file(local / "modelops.env"), **os.environ}
    given = {name: known[name] for name in _DATA if known.get(name)}
    found = load_settings(given | {"MODELOPS_LOCAL": str(local)})
    paths = (",".join(found.training_data), found.snapshot_remote, str(found.s3_credentials), str(found.server_keys_file))
    spelled = dict(zip(_DATA_PATHS, paths, strict=True))
    return given | {name: spelled[name] for name in given if name in spelled}


def kept_upkeep(local: Path) -> dict[str, str]:
    """Settings of watchdog, reconcile and metrics, by variable, of the stack in `local`: exported, or kept in `modelops.env`."""
    known = {**_read_env_file(local / "modelops.env"), **os.environ}
    given = {name: known[name] for name in (*UPKEEP, *METRICS) if known.get(name)}
    upkeep_settings(given)
    metrics_settings(given, local)
    return given | {name: str(Path(known[name]).absolute()) for name in (*_UPKEEP_PATHS, *METRICS_PATHS) if known.get(name)}


def _timeouts(env: Mapping[str, str]) -> tuple[timedelta, timedelta]:
    """How long the gateway waits for a request, and for one attempt of it."""
    timeout, attempt = _timeout(_TIMEOUT, env.get(_TIMEOUT, "10s")), _timeout(_ATTEMPT, env.get(_ATTEMPT, "3s"))
    if attempt > timeout:
        got = f"{format_duration(attempt)}{'' if _ATTEMPT in env else ' (the default)'}"
        raise SettingsError(f"{_ATTEMPT}={got}; allowed: at most {_TIMEOUT}, which is {format_duration(timeout)}")
    return timeout, attempt


def _timeout(name: str, text: str) -> timedelta:
    allowed = (
        f"a number and a unit of ms, s, m, h or d, from {format_duration(_SHORTEST)} to {format_duration(_LONGEST)}, such as 10s"
    )
    try:
        value = parse_duration(text)
    except ValueError as problem:
        raise SettingsError(f"{name}={text!r}; allowed: {allowed}") from problem
    if not _SHORTEST <= value <= _LONGEST:
        raise SettingsError(f"{name}={text!r}; allowed: {allowed}")
    return value


def _port_range(name: str, text: str) -> tuple[int, int]:
    """`first-last`, or one port."""
    first, _, last = text.partition("-")
    ends = (first, last or first)
    if not all(end.isdecimal() and 1 <= int(end) <= 65_535 for end in ends) or int(ends[0]) > int(ends[1]):
        raise SettingsError(f"{name}={text!r}; allowed: first-last, rising, each from 1 to 65535, such as 18300-18399")
    return int(ends[0]), int(ends[1])


def _places(name: str, text: str) -> tuple[str, ...]:
    """Folders or S3 prefixes, with commas between them."""
    return tuple(_place(name, part.strip()) for part in text.split(",") if part.strip())


def _place(name: str, text: str) -> str:
    """An absolute folder or `s3://bucket/prefix`; a relative folder is below the working folder, made absolute here."""
    if text.startswith("s3://"):
        if not text.removeprefix("s3://").strip("/"):
            raise SettingsError(f"{name}={text!r}; allowed: a folder, or s3://bucket/prefix")
        return text.rstrip("/")
    if "://" in text:
        raise SettingsError(f"{name}={text!r}; allowed: a folder, or s3://bucket/prefix")
    return str(Path(text).absolute())


def _endpoint(name: str, env: Mapping[str, str]) -> str | None:
    text = env.get(name)
    if text and not text.startswith(("http://", "https://")):
        raise SettingsError(f"{name}={text!r}; allowed: an http:// or https:// address, such as http://127.0.0.1:9000")
    return text or None


def _read_env_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in lines if not name.startswith("#")}


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read once. Tests call `settings.cache_clear()` after changing the environment."""
    return load_settings()
