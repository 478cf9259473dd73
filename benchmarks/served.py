"""One model as our version folder and as an MLflow model, and the servers that answer for it, on free loopback ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import child_environment
from benchmarks.servers import await_process, end_process, free_port
from include.lifecycle.rollout.gateway.gateway import Gateway, envoy_command, initialise
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server
from include.settings import PROJECT_ROOT

NUMERIC, CATEGORICAL = [f"n{number}" for number in range(7)], [f"c{number}" for number in range(3)]
MODEL, VERSION = "bench", 1
PATH = f"/v2/models/{MODEL}/infer"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Running:
    """A server: its port, and the process that was started."""

    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """CPU of the process and of all its descendants so far."""
        return sum(_cpu(pid) for pid in _family(self.process.pid))

    def resident_mb(self) -> float:
        """Resident memory of all of them; what they share counts in each."""
        return sum(_resident(pid) for pid in _family(self.process.pid)) / 1000


def build(folder: Path, trees: int) -> str:
    """Fit a random forest on 10 columns, write `folder/version` and `folder/mlflow`; return the version's digest."""
    import numpy as np
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random, rows = np.random.default_rng(1), 4_000
    table = pd.DataFrame({name: random.normal(0, 1, rows) for name in NUMERIC})
    for name in CATEGORICAL:
        table[name] = random.choice(np.array([f"v{number}" for number in range(12)], dtype=object), rows)
    target = (table["n0"] + table["n1"] + random.normal(0, 1, rows) > 0).astype(int)
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = [("numeric", numeric, NUMERIC), ("categorical", OneHotEncoder(handle_unknown="ignore"), CATEGORICAL)]
    forest = RandomForestClassifier(n_estimators=trees, max_depth=10, random_state=1)
    pipeline = Pipeline([("columns", ColumnTransformer(columns)), ("model", forest)]).fit(table, target)
    _write_mlflow(folder / "mlflow", pipeline, table)
    return _write_version(folder / "version", pipeline)


def _write_mlflow(folder: Path, pipeline: Any, table: Any) -> None:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    signature = infer_signature(table.head(50), pipeline.predict_proba(table.head(50)))
    mlflow.sklearn.save_model(
        pipeline, folder, signature=signature, pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle"
    )


def _write_version(folder: Path, pipeline: Any) -> str:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    from include.serving.version_folder import SERVING, InputColumn, ServingSpec, write_manifest

    folder.mkdir(parents=True)
    types = [(name, FloatTensorType([None, 1])) for name in NUMERIC]
    types += [(name, StringTensorType([None, 1])) for name in CATEGORICAL]
    exported = to_onnx(pipeline, initial_types=types, options={id(pipeline): {"zipmap": False}}, target_opset=17)
    (folder / "model.onnx").write_bytes(exported.SerializeToString())
    inputs = [*(InputColumn(name, "numeric") for name in NUMERIC), *(InputColumn(name, "categorical") for name in CATEGORICAL)]
    spec = ServingSpec(MODEL, VERSION, "binary_classification", "onnx", "id", "at", "target", (0, 1), tuple(inputs))
    (folder / SERVING).write_text(spec.to_json(), encoding="utf-8")
    return write_manifest(folder)


def our_body() -> str:
    """One row for our server."""
    numbers = [{"name": name, "shape": [1], "datatype": "FP64", "data": [0.5]} for name in NUMERIC]
    texts = [{"name": name, "shape": [1], "datatype": "BYTES", "data": ["v3"]} for name in CATEGORICAL]
    return json.dumps({"inputs": [*numbers, *texts]})


def their_body() -> str:
    """The same row for MLflow's."""
    row = [0.5 for _ in NUMERIC] + ["v3" for _ in CATEGORICAL]
    return json.dumps({"dataframe_split": {"columns": [*NUMERIC, *CATEGORICAL], "data": [row]}})


@contextmanager
def our_server(folder: Path, digest: str, *, logged: bool = True) -> Iterator[Running]:
    """The model server; `logged=False`: the same with a prediction log that keeps nothing."""
    module, log = "include.serving.server" if logged else "benchmarks.unlogged_server", folder / f"log-{free_port()}"
    port = free_port()
    options = ["--directory", str(folder / "version"), "--digest", digest, "--port", str(port), "--log-dir", str(log)]
    with _started([sys.executable, "-m", module, *options], folder, port, "/v2/health/ready", PROJECT_ROOT) as running:
        yield running


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Running]:
    """`mlflow models serve` with this environment and its own defaults."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "mlflow"), "--env-manager", "local"]
    with _started([*command, "--host", "127.0.0.1", "--port", str(port)], folder, port, "/ping", folder) as running:
        yield running


@contextmanager
def gateway(folder: Path, model: Running, digest: str) -> Iterator[Running]:
    """Envoy as the stack runs it, all traffic to one server, the access log written."""
    port, admin = free_port(), free_port()
    root = folder / f"gateway-{port}"
    bootstrap = initialise(root, port=port, admin_port=admin, access_log=root / "access.jsonl")
    row = DesiredTraffic(
        model=MODEL,
        champion=VERSION,
        weights={VERSION: 100},
        servers={VERSION: Server(ports=(model.port,), digest=digest, folder=str(folder / "version"))},
        revision=1,
    )
    with _started(envoy_command(bootstrap), root, admin, "/ready", root) as running:
        _gateway(root, admin).write(lambda: [row])
        yield Running(port, running.process)


def _gateway(root: Path, admin: int) -> Gateway:
    from datetime import timedelta

    from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
    from include.lifecycle.rollout.gateway.envoy_config import Timeouts

    return Gateway(root, EnvoyAdmin(f"http://127.0.0.1:{admin}"), Timeouts(timedelta(seconds=10), timedelta(seconds=3)))


@contextmanager
def _started(command: list[str], folder: Path, port: int, path: str, place: Path) -> Iterator[Running]:
    log = folder / f"server-{port}" / "log"
    log.parent.mkdir(parents=True)
    path_of = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])  # MLflow starts `uvicorn`
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=place, env=child_environment({"PATH": path_of}), start_new_session=True
        )
    try:
        await_process(process, log, lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).close())
        yield Running(port, process)
    finally:
        family = _family(process.pid)
        end_process(process)
        for pid in family:  # MLflow's starter does not pass its signal on
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _family(pid: int) -> list[int]:
    """The process and its descendants that live now."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat after the name; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _resident(pid: int) -> float:
    """Kilobytes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0.0)
