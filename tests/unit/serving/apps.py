"""A ModelApp in this process, asked without a socket: the tests of single routes and of what they count."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.serving.admission import Admission
from include.serving.api_keys import KeyRing
from include.serving.app import ModelApp
from include.serving.engines import Engine, load_engine
from include.serving.inference import Inference
from include.serving.metrics import ServerMetrics
from include.serving.prediction_log import Answer
from include.serving.protocol import RequestSchema
from include.serving.replies import BodyLimits
from include.serving.version_folder import read_spec


@dataclass
class Asked:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Lines:
    """A prediction log that keeps what it is given."""

    answers: list[Answer] = field(default_factory=list)

    def append(self, answer: Answer) -> None:
        self.answers.append(answer)


class InProcess:
    """The application of one version folder, its metrics and what it logged."""

    def __init__(
        self, folder: Path, *, queue: int = 8, keys: KeyRing | None = None, engine: Engine | None = None, max_body: int = 4096
    ) -> None:
        spec = read_spec(folder)
        self.metrics, self.admission, self.log = ServerMetrics(spec, "0" * 64), Admission(queue), Lines()
        schema = RequestSchema.of(spec, 100)
        used = engine or load_engine(folder, spec)
        inference = Inference(spec, used, schema, self.metrics, self.log, self.admission)  # type: ignore[arg-type]
        self.app = ModelApp(spec, schema, inference, self.metrics, self.admission, keys=keys, body=BodyLimits(max_body, 0.2))

    async def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Asked:
        """One exchange; a body that is no bytes is sent as JSON, in one piece."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method or ("GET" if body is None else "POST"), "path": path, "headers": given}
        await self.app(scope, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Asked(sent[0]["status"], told, sent[1]["body"])

    def sample(self, start: str) -> float:
        """The value of the sample that starts so; 0 when there is none."""
        lines = self.metrics.exposition().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(start)), 0.0)
