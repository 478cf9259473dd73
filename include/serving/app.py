"""The ASGI application of one version: routes of the Open Inference Protocol v2, metrics, errors as `{"error": ...}`.

Raw ASGI on purpose: one row costs about as much as parsing its JSON. server.py builds it and runs it on uvicorn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from include.serving.engines import Columns, Engine, TransformedEngine
from include.serving.log_schema import ARM_HEADER, ARMS, LIVE, UNIT_HEADER
from include.serving.metrics import ServerMetrics
from include.serving.outputs import Predicted, output_metadata, output_tensors, predicted
from include.serving.pii import KeyedHash
from include.serving.prediction_log import Answer, PredictionLog, unit_of
from include.serving.protocol import InferenceRequest, RequestSchema
from include.serving.tensor_checks import RequestRefusedError
from include.serving.version_folder import ServingSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PROTOCOL_NAME, PROTOCOL_VERSION = "modelops", "2"
_PLATFORMS = {"onnx": "onnx_onnxv1", "sklearn": "sklearn_skops"}
_ARM_HEADER, _ARMS = ARM_HEADER.encode(), {arm.encode(): arm for arm in ARMS}
_UNIT_HEADER = UNIT_HEADER.encode()
_INLINE_ROWS = 256  # more rows, or a slow engine, leave the event loop free for health checks
_MAX_ID = 128
_JSON, _TEXT = b"application/json", b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: Headers
    content_type: bytes = _JSON


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole."""


class ModelApp:
    """Answers for one loaded version; see docs/serving.md for the routes."""

    def __init__(
        self,
        spec: ServingSpec,
        engine: Engine,
        metrics: ServerMetrics,
        log: PredictionLog,
        *,
        keyed: KeyedHash | None = None,
        max_rows: int = 10_000,
        max_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self._spec, self._engine, self._metrics, self._log = spec, engine, metrics, log
        self._schema = RequestSchema.of(spec, max_rows, keyed)
        self._max_bytes = max_bytes
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._version = str(spec.version)
        self._static = _static_replies(spec)
        models = (f"/v2/models/{spec.model}", f"/v2/models/{spec.model}/versions/{spec.version}")
        self._infer_paths = frozenset(f"{base}/infer" for base in models)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One HTTP exchange."""
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        try:
            reply = (
                await self._infer(scope, receive) if path in self._infer_paths and method == "POST" else self._get(method, path)
            )
        except ClientGoneError:
            return
        except RequestRefusedError as refusal:
            self._metrics.rejected(refusal.status)
            reply = _error(refusal.status, str(refusal), _headers(scope, self._version))
        except Exception:
            self._metrics.errors.inc()
            logger.exception("%s %s failed", method, path)
            reply = _error(500, f"{self._spec.model} version {self._version} failed to answer", _headers(scope, self._version))
        length = str(len(reply.body)).encode()
        headers = [(b"content-type", reply.content_type), (b"content-length", length), *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body if method != "HEAD" else b""})

    def _get(self, method: str, path: str) -> Reply:
        allowed = "POST" if path in self._infer_paths else "GET"
        found = path in self._static or path in self._infer_paths or path == "/metrics"
        if not found:
            raise RequestRefusedError(404, self._not_found(path))
        if method != allowed and not (allowed == "GET" and method == "HEAD"):
            self._metrics.rejected(405)
            return _error(405, f"method {method} is not allowed on {path}; allowed: {allowed}", [(b"allow", allowed.encode())])
        if path == "/metrics":
            return Reply(200, self._metrics.exposition(), [], _TEXT)
        return Reply(200, self._static[path], [(b"x-model-version", self._version.encode())])

    def _not_found(self, path: str) -> str:
        model, _, rest = path.removeprefix("/v2/models/").partition("/")
        if path.startswith("/v2/models/") and model != self._spec.model:
            return f"model {model!r} is not served here; allowed: {self._spec.model!r}"
        version = rest.removeprefix("versions/").partition("/")[0]
        if rest.startswith("versions/") and version != self._version:
            return f"version {version!r} of {model} is not served here; allowed: {self._version!r}"
        return f"no such path: {path}"

    async def _infer(self, scope: dict[str, Any], receive: Receive) -> Reply:
        body = await self._body(receive)
        started = perf_counter()
        request = self._schema.parse(body)
        found, columns = await self._predict(request)
        request_id, assigned, (arm, unit), headers = _identity(scope, request.id, self._version)
        unknown = self._schema.unknown_categories(request.columns)
        answer: dict[str, Any] = {
            "model_name": self._spec.model,
            "model_version": self._version,
            "id": request.id or request_id,
            "outputs": output_tensors(found, request.outputs),
        }
        if unknown:
            answer["parameters"] = {"unknown_categories": ",".join(unknown)}
        reply = Reply(200, orjson.dumps(answer), headers)
        seconds = perf_counter() - started
        self._count(request.rows, seconds, unknown)
        milliseconds = round(seconds * 1000, 4)
        at = datetime.now(UTC)
        self._log.append(
            Answer(request_id, assigned, at, milliseconds, columns, found, request.keys, request.event_times, arm, unit),
        )
        return reply

    async def _predict(self, request: InferenceRequest) -> tuple[Predicted, Columns]:
        """The predictions, and the columns to log: what was sent and, with a transformer, what was made of it."""
        if self._engine.blocking or request.rows > _INLINE_ROWS:
            loop = asyncio.get_running_loop()
            result, columns = await loop.run_in_executor(self._pool, self._compute, request.columns, request.rows)
        else:
            result, columns = self._compute(request.columns, request.rows)
        return predicted(self._spec, result), columns

    def _compute(self, columns: Columns, rows: int) -> tuple[NDArray[np.float64], Columns]:
        if isinstance(self._engine, TransformedEngine):
            features = self._engine.features(columns, rows)
            return self._engine.model.predict(features, rows), columns | features
        return self._engine.predict(columns, rows), columns

    def _count(self, rows: int, seconds: float, unknown: dict[str, int]) -> None:
        self._metrics.predictions.inc(rows)
        self._metrics.seconds.observe(seconds)
        for column, values in unknown.items():
            self._metrics.unknown(column, values)

    async def _body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_bytes:
                raise RequestRefusedError(413, f"the request body is larger than the limit of {self._max_bytes} bytes")
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)


def _static_replies(spec: ServingSpec) -> dict[str, bytes]:
    """The answers that never change: server and model metadata, liveness and readiness."""
    tensors = [{"name": column.name, "datatype": column.datatype, "shape": [-1]} for column in spec.inputs]
    metadata = {
        "name": spec.model,
        "versions": [str(spec.version)],
        "platform": _PLATFORMS[spec.engine],
        "inputs": tensors,
        "outputs": output_metadata(spec),
    }
    ready = {"name": spec.model, "ready": True}
    replies: dict[str, Any] = {
        "/v2": {"name": PROTOCOL_NAME, "version": PROTOCOL_VERSION, "extensions": []},
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
    }
    for base in (f"/v2/models/{spec.model}", f"/v2/models/{spec.model}/versions/{spec.version}"):
        replies |= {base: metadata, f"{base}/ready": ready}
    return {path: orjson.dumps(reply) for path, reply in replies.items()}


Identity = tuple[str, int | None, tuple[str, str | None], Headers]


def _identity(scope: dict[str, Any], body_id: str | None, version: str) -> Identity:
    """Request id (header, else the body's, else a new one), the version and (arm, sticky unit) that the gateway had assigned,
    response headers."""
    given, assigned, arm, unit = None, None, LIVE, None
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
        elif name == b"x-modelops-assigned":
            assigned = int(value) if value.isdigit() and len(value) < 10 else None
        elif name == _ARM_HEADER:
            arm = _ARMS.get(value, LIVE)
        elif name == _UNIT_HEADER and value:
            unit = unit_of(value.decode("latin-1"))
    usable = (text for text in (given, body_id) if text and len(text) <= _MAX_ID and text.isascii() and text.isprintable())
    chosen = next(usable, None) or uuid4().hex
    return chosen, assigned, (arm, unit), [(b"x-model-version", version.encode()), (b"x-request-id", chosen.encode())]


def _headers(scope: dict[str, Any], version: str) -> Headers:
    return _identity(scope, None, version)[-1]


def _error(status: int, message: str, headers: Headers) -> Reply:
    return Reply(status, orjson.dumps({"error": message}), headers)
