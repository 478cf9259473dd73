"""airflow.cfg of the embedded stack: what differs from Airflow's defaults on one machine (reasons: docs/settings.md)."""

from __future__ import annotations

from configparser import RawConfigParser
from io import StringIO

from include.stack.credentials import USERS, Credentials, write_private
from include.stack.layout import Layout
from include.stack.ports import Ports


def write_airflow_config(layout: Layout, ports: Ports, credentials: Credentials) -> None:
    """Write the configuration (0600): it holds the keys; database passwords stay in libpq's password file."""
    parser = RawConfigParser()
    parser.read_dict(airflow_options(layout, ports))
    secret = {
        "core": {"fernet_key": credentials.fernet_key()},
        "api": {"secret_key": credentials.token("airflow-api-key")},
        "api_auth": {"jwt_secret": credentials.token("airflow-jwt-secret")},
    }
    parser.read_dict(secret)
    text = StringIO()
    parser.write(text)
    # Airflow expands %(...)s in its configuration file.
    write_private(layout.airflow_config, text.getvalue().replace("%", "%%"))


def airflow_options(layout: Layout, ports: Ports) -> dict[str, dict[str, str]]:
    """{section: {option: value}} without secrets."""
    address = f"http://127.0.0.1:{ports.airflow}"
    database = f"airflow@127.0.0.1:{ports.postgres}/airflow"
    return {
        "core": {
            "dags_folder": str(layout.home / "dags"),
            "plugins_folder": str(layout.home / "plugins"),
            "executor": "LocalExecutor",
            "parallelism": "6",
            "mp_start_method": "fork",
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "test_connection": "Enabled",
            "execution_api_server_url": f"{address}/execution/",
            "simple_auth_manager_users": ",".join(f"{user}:{role}" for user, role in USERS.items()),
            "simple_auth_manager_passwords_file": str(layout.airflow_passwords),
        },
        "database": {
            "sql_alchemy_conn": f"postgresql+psycopg2://{database}",
            "sql_alchemy_conn_async": f"postgresql+asyncpg://{database}",
            "sql_alchemy_pool_size": "5",
        },
        "api": {"host": "127.0.0.1", "port": str(ports.airflow), "base_url": address},
        "logging": {
            "base_log_folder": str(layout.airflow_home / "logs"),
            "json_logs": "True",
            "callsite_parameters": "module,filename,lineno",
            "worker_log_server_port": str(ports.worker_log),
            "trigger_log_server_port": str(ports.trigger_log),
        },
        **_pace(),
    }


def _pace() -> dict[str, dict[str, str]]:
    """How often things are looked at, so that one machine reacts within seconds and recovers within a minute."""
    return {
        "scheduler": {
            "scheduler_idle_sleep_time": "0.2",
            "scheduler_heartbeat_sec": "2",
            "job_heartbeat_sec": "2",
            # The api-server needs about 15 s to come back: its restart must not cost a running task.
            "task_instance_heartbeat_timeout": "40",
            "task_instance_heartbeat_timeout_detection_interval": "5",
            "orphaned_tasks_check_interval": "15",
            "scheduler_health_check_threshold": "10",
            "trigger_timeout_check_interval": "5",
        },
        "workers": {"max_failed_heartbeats": "8", "execution_api_retries": "8"},
        "triggerer": {"job_heartbeat_sec": "2", "triggerer_health_check_threshold": "10"},
        "dag_processor": {
            "refresh_interval": "15",
            "min_file_process_interval": "20",
            "health_check_threshold": "20",
            "parsing_processes": "1",
        },
    }
