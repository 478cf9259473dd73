"""The serving image without an engine: the files that its Dockerfile copies, its libraries alone, its entry point, by hand.

What only an engine can show (base image, users, layers, the push) is not tested here; docs/docker.md says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from include.serving.options import parse_options
from include.settings import PROJECT_ROOT
from tests.conftest import free_port
from tests.unit.serving.folders import build_folder, one_row, request_body

pytestmark = pytest.mark.integration
DOCKER = PROJECT_ROOT / "docker"


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, rest) of a Dockerfile, continued lines joined."""
    text = (DOCKER / name).read_text().replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [(word, rest) for line in lines if line and line[0] != "#" for word, _, rest in [line.partition(" ")]]


def stage(name: str) -> list[tuple[str, str]]:
    """Instructions of the last stage."""
    found = instructions(name)
    last = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return found[last:]


def exec_form(word: str) -> list[str]:
    """The list of an instruction that runs something."""
    rest = next(rest for name, rest in stage("serving.Dockerfile") if name == word)
    return [str(part) for part in json.loads(rest[rest.index("[") :])]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the image's libraries and nothing else."""
    return environment_of("requirements-serving.txt", tmp_path_factory.mktemp("image") / "venv")


def environment_of(requirements: str, venv: Path) -> Path:
    """As the Dockerfile's first stage: these requirements, versions by the lock; its interpreter."""
    tool = Path(sys.executable).with_name("uv")
    subprocess.run([tool, "venv", "-q", "--python", sys.executable, venv], check=True)
    install = [tool, "pip", "install", "-q", "--python", venv / "bin" / "python", "-r", DOCKER / requirements]
    subprocess.run([*install, "-c", PROJECT_ROOT / "requirements.lock"], check=True)
    return venv / "bin" / "python"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's /app: what the last stage's COPY lines name, from the build context that .dockerignore leaves."""
    root = tmp_path_factory.mktemp("app")
    for word, rest in stage("serving.Dockerfile"):
        if word != "COPY" or rest.startswith("--from"):
            continue
        *sources, target = rest.split()
        for source in sources:
            inside = root / target / Path(source).name if target.endswith("/") else root / target
            inside.parent.mkdir(parents=True, exist_ok=True)
            if (PROJECT_ROOT / source).is_dir():
                shutil.copytree(PROJECT_ROOT / source, inside, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(PROJECT_ROOT / source, inside)
    return root


class Container:
    """The entry point's process, with /model, /log and the port put where the test has them."""

    def __init__(self, python: Path, app: Path, model: Path, log: Path, digest: str) -> None:
        self.port, self.log = free_port(), log
        places = {"/model": str(model), "/log": str(log), "0.0.0.0": "127.0.0.1", "8080": str(self.port)}
        command = [places.get(word, word) for word in exec_form("ENTRYPOINT")]
        assert command[0] == "python"
        self.environment = {"PATH": f"{python.parent}:{os.defpath}", "OMP_NUM_THREADS": "1"}
        self.python, self.app = python, app
        self.process = subprocess.Popen(
            [python, *command[1:], "--digest", digest], cwd=app, env=self.environment, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Container:
        deadline = time.monotonic() + 60
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                pytest.fail(f"the entry point did not come up:\n{self.process.communicate()[1]}")
        return self

    def __exit__(self, *problem: object) -> None:
        self.process.kill()
        self.process.wait(timeout=10)

    def healthy(self) -> bool:
        """What HEALTHCHECK says."""
        check = [word.replace(":8080", f":{self.port}") for word in exec_form("HEALTHCHECK")]
        asked = subprocess.run([self.python, *check[1:]], env=self.environment, cwd=self.app, capture_output=True, check=False)
        return asked.returncode == 0


@pytest.fixture
def model(tmp_path: Path) -> tuple[Path, str]:
    folder = tmp_path / "model"
    return folder, build_folder(folder)


@pytest.fixture
def container(python: Path, app: Path, model: tuple[Path, str], tmp_path: Path) -> Iterator[Container]:
    with Container(python, app, model[0], tmp_path / "log", model[1]) as running:
        yield running


def test_the_entry_point_serves_and_ends_as_a_container_would(container: Container) -> None:
    url = f"http://127.0.0.1:{container.port}"
    answer = httpx.post(f"{url}/v2/models/flights/infer", json=request_body(one_row()), timeout=10)
    assert answer.status_code == 200
    assert 0 < answer.json()["outputs"][0]["data"][0] < 1
    assert "model_predictions_total" in httpx.get(f"{url}/metrics").text
    container.process.terminate()  # STOPSIGNAL
    assert container.process.wait(timeout=30) == 0
    (segment,) = (container.log / "segments").iterdir()
    assert (segment.suffix, len(segment.read_text().splitlines())) == (".jsonl", 1)


def test_the_larger_image_serves_what_does_not_convert(app: Path, tmp_path: Path) -> None:
    python = environment_of("requirements-serving-sklearn.txt", tmp_path / "venv")
    digest = build_folder(tmp_path / "model", "sklearn")
    with Container(python, app, tmp_path / "model", tmp_path / "log", digest) as container:
        url = f"http://127.0.0.1:{container.port}/v2/models/flights/infer"
        assert httpx.post(url, json=request_body(one_row()), timeout=30).status_code == 200


def test_another_digest_is_refused(python: Path, app: Path, model: tuple[Path, str], tmp_path: Path) -> None:
    refused = Container(python, app, model[0], tmp_path / "log", "0" * 64)
    assert refused.process.wait(timeout=60) == 3
    assert "ArtefactDigestError" in refused.process.communicate()[1]


def test_what_is_copied_is_all_that_the_ignore_file_lets_through(app: Path) -> None:
    lines = (DOCKER / "serving.Dockerfile.dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied = {word for name, rest in instructions("serving.Dockerfile") if name == "COPY" for word in rest.split()[:-1]}
    assert {word for word in copied if not word.startswith("--") and word != "/venv"} == let_through
    assert all((PROJECT_ROOT / name).exists() for name in let_through)


def test_the_version_s_image_verifies_what_is_copied(python: Path, app: Path, model: tuple[Path, str]) -> None:
    run = next(json.loads(rest) for word, rest in stage("model.Dockerfile") if word == "RUN")
    for digest, code in ((model[1], 0), ("0" * 64, 1)):
        script = run[2].replace("/model", str(model[0])).replace("python -c", f"{python} -c")
        done = subprocess.run([*run[:2], script], cwd=app, env={"DIGEST": digest}, capture_output=True, check=False)
        assert done.returncode == code, done.stderr


def test_the_compose_service_runs_the_image_with_a_digest() -> None:
    service = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["server"]
    assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DOCKER / "serving.Dockerfile"
    told = parse_options([*exec_form("ENTRYPOINT")[3:], *service["command"]])
    assert (told.port, str(told.directory), str(told.log_dir)) == (8080, "/model", "/log")
    assert {volume.split(":/")[1].split(":")[0] for volume in service["volumes"]} == {"model", "log"}
    assert service["read_only"] is True
    docker_compose = shutil.which("docker-compose")
    if docker_compose is not None:
        environment = {"MODEL": "/tmp/model", "DIGEST": "0" * 64, "PATH": os.environ["PATH"]}
        checked = [docker_compose, "-f", str(DOCKER / "compose.yaml"), "config"]
        done = subprocess.run(checked, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert yaml.safe_load(done.stdout)["services"]["server"]["command"] == ["--digest", "0" * 64]
