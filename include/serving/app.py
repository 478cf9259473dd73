"""The ASGI application of one version: which route answers, who may ask, and what a refusal looks like.

Raw ASGI on purpose: one row costs about as much as parsing its JSON. server.py builds it, http_server.py runs it on uvicorn.
"""

from __future__ import annotations

import logging

from include.serving.access_log import AccessLog
from include.serving.admission import Admission
from include.serving.api_keys import KeyRefusedError, KeyRing
from include.serving.inference import Inference, Wire
from include.serving.invocations import Invocations
from include.serving.metrics import ServerMetrics
from include.serving.open_inference import OpenInference, model_paths, not_found, readiness, static_replies
from include.serving.protocol import RequestSchema
from include.serving.replies import (
    CLIENT,
    TEXT,
    BodyLimits,
    ClientGoneError,
    Headers,
    Receive,
    Reply,
    Scope,
    Send,
    error,
    identify,
    read_body,
)
from include.serving.tensor_checks import RequestRefusedError
from include.serving.version_folder import ServingSpec

logger = logging.getLogger(__name__)

METRICS = "/metrics"
_CLOSE = (b"connection", b"close")


class ModelApp:
    """Answers for one loaded version; see docs/serving.md for the routes. Without `keys` nobody is asked for one."""

    def __init__(
        self,
        spec: ServingSpec,
        schema: RequestSchema,
        inference: Inference,
        metrics: ServerMetrics,
        admission: Admission,
        *,
        keys: KeyRing | None = None,
        body: BodyLimits | None = None,
        access: AccessLog | None = None,
    ) -> None:
        self._spec, self._inference, self._metrics, self._admission = spec, inference, metrics, admission
        self._keys, self._body, self.access = keys, body or BodyLimits(), access
        self._version = str(spec.version).encode()
        self._static = static_replies(spec)
        self._ready, self._not_ready = readiness(spec, ready=True), readiness(spec, ready=False)
        self._open = frozenset((*self._ready, "/v2/health/live", METRICS))
        openly, scored = OpenInference(spec, schema), Invocations(schema)
        self._posts: dict[str, Wire] = {"/invocations": scored}
        for path in model_paths(spec):
            self._posts |= {f"{path}/infer": openly, f"{path}/invocations": scored}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP exchange."""
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        wire = self._posts.get(path)
        try:
            if self._keys is not None and path not in self._open:
                reply = await self._with_key(self._keys, wire, scope, receive)
            else:
                reply = await self._reply(wire, scope, receive)
        except ClientGoneError:
            return
        except RequestRefusedError as refusal:
            reply = self._refusal(wire, scope, refusal)
        except Exception:
            self._metrics.errors.inc()
            logger.exception("%s %s failed", method, path)
            message = f"{self._spec.model} version {self._spec.version} failed to answer"
            reply = error(500, message, identify(scope["headers"]).headers(self._version))
        self._count(wire, scope, reply.status)
        length = str(len(reply.body)).encode()
        headers = [(b"content-type", reply.content_type), (b"content-length", length), *reply.headers]
        if self._admission.draining:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body if method != "HEAD" else b""})

    async def _with_key(self, keys: KeyRing, wire: Wire | None, scope: Scope, receive: Receive) -> Reply:
        client = scope[CLIENT] = keys.client(scope["headers"])
        reply = await self._reply(wire, scope, receive)
        self._metrics.answered_to(client)
        return reply

    async def _reply(self, wire: Wire | None, scope: Scope, receive: Receive) -> Reply:
        if wire is None or scope["method"] != "POST":
            return self._get(scope["method"], scope["path"])
        return await self._inference.answer(wire, scope, await read_body(scope, receive, self._body))

    def _get(self, method: str, path: str) -> Reply:
        allowed = "POST" if path in self._posts else "GET"
        if path not in self._static and path not in self._posts and path not in self._open:
            raise not_found(self._spec, path)
        if method != allowed and not (allowed == "GET" and method == "HEAD"):
            told = f"method {method} is not allowed on {path}; allowed: {allowed}"
            raise RequestRefusedError(405, told, ((b"allow", allowed.encode()),))
        if path == METRICS:
            self._metrics.refresh(self._admission.waiting)
            return Reply(200, self._metrics.exposition(), [], TEXT)
        version: Headers = [(b"x-model-version", self._version)]
        if path in self._ready:
            waits = self._admission.draining
            return Reply(503 if waits else 200, (self._not_ready if waits else self._ready)[path], version)
        return Reply(200, self._static[path], version)

    def _refusal(self, wire: Wire | None, scope: Scope, refusal: RequestRefusedError) -> Reply:
        self._metrics.rejected(refusal.status)
        if isinstance(refusal, KeyRefusedError):
            self._metrics.denied(refusal.client, refusal.status)
            scope[CLIENT] = refusal.client
        headers = [*identify(scope["headers"]).headers(self._version), *refusal.headers]
        return wire.refuse(refusal, headers) if wire is not None else error(refusal.status, str(refusal), headers)

    def _count(self, wire: Wire | None, scope: Scope, status: int) -> None:
        """Requests for predictions, and whatever was refused for want of a good key."""
        if self.access is not None and (wire is not None or status in (401, 403)):
            self.access.count(scope.get(CLIENT) or "", status)
