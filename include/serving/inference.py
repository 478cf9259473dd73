"""One checked request through the engine: computed in turn, rendered by its protocol, counted and logged.

app.py routes to it; wires (open_inference.py, invocations.py) read and write the bodies.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from include.serving.admission import Admission
from include.serving.engines import Columns, Engine, TransformedEngine
from include.serving.metrics import ServerMetrics
from include.serving.outputs import Predicted, predicted
from include.serving.prediction_log import Answer, PredictionLog
from include.serving.protocol import InferenceRequest, RequestSchema
from include.serving.replies import CLIENT, Headers, Reply, Scope, identify
from include.serving.tensor_checks import RequestRefusedError
from include.serving.version_folder import ServingSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Wire(Protocol):
    """How one protocol's bodies are read and written."""

    def parse(self, body: bytes, headers: Headers) -> InferenceRequest:
        """The checked request; RequestRefusedError names what is wrong."""
        ...

    def render(self, request: InferenceRequest, found: Predicted, unknown: dict[str, int], request_id: str) -> bytes:
        """The answer's body; `unknown` counts values that training never saw, by column."""
        ...

    def refuse(self, refusal: RequestRefusedError, headers: Headers) -> Reply:
        """The answer to a request that is refused."""
        ...


@dataclass
class _Turn:
    """One request's stay: when it was read (perf_counter), and the seconds of its turn in which nothing was computed for it."""

    begun: float
    idle: float = 0.0


class Inference:
    """Answers for one loaded version, one request at a time; `inline_rows` and fewer are computed on the event loop."""

    def __init__(
        self,
        spec: ServingSpec,
        engine: Engine,
        schema: RequestSchema,
        metrics: ServerMetrics,
        log: PredictionLog,
        admission: Admission,
        *,
        inline_rows: int = 256,
    ) -> None:
        self._spec, self._engine, self._schema = spec, engine, schema
        self._metrics, self._log, self._admission = metrics, log, admission
        self._version = str(spec.version).encode()
        self._inline_rows = -1 if engine.blocking else inline_rows
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")

    async def answer(self, wire: Wire, scope: Scope, body: bytes) -> Reply:
        """The reply to a whole request body. RequestRefusedError: 503 when too many wait, else what the wire says."""
        turn = _Turn(perf_counter())
        await self._admission.enter()
        started = perf_counter()
        try:
            return await self._answer(wire, scope, body, turn)
        finally:
            self._admission.leave(perf_counter() - started - turn.idle)

    async def _answer(self, wire: Wire, scope: Scope, body: bytes, turn: _Turn) -> Reply:
        headers = scope["headers"]
        request = wire.parse(body, headers)
        found, columns = await self._predict(request, turn)
        told = identify(headers, request.id)
        unknown = self._schema.unknown_categories(request.columns)
        reply = Reply(200, wire.render(request, found, unknown, told.request_id), told.headers(self._version))
        milliseconds = (perf_counter() - turn.begun) * 1000
        self._metrics.answered(request.rows, found)
        self._metrics.latency.observe(milliseconds)
        for column, values in unknown.items():
            self._metrics.unknown(column, values)
        at, taken = datetime.now(UTC), round(milliseconds, 4)
        given = (request.keys, request.event_times, told.arm, told.unit, scope.get(CLIENT))
        self._log.append(Answer(told.request_id, told.assigned, at, taken, columns, found, *given))
        return reply

    async def _predict(self, request: InferenceRequest, turn: _Turn) -> tuple[Predicted, Columns]:
        """The predictions, and the columns to log: what was sent and, with a transformer, what was made of it."""
        if request.rows <= self._inline_rows:
            result, columns, _ = self._compute(request.columns, request.rows)
            return predicted(self._spec, result), columns
        asked, computing = perf_counter(), 0.0
        try:
            loop = asyncio.get_running_loop()
            result, columns, computing = await loop.run_in_executor(self._pool, self._compute, request.columns, request.rows)
        finally:  # the others' computing before it is theirs
            turn.idle = perf_counter() - asked - computing
        return predicted(self._spec, result), columns

    def _compute(self, columns: Columns, rows: int) -> tuple[NDArray[np.float64], Columns, float]:
        """What the engine says, the columns to log, and the seconds that it took."""
        started = perf_counter()
        if isinstance(self._engine, TransformedEngine):
            features = self._engine.features(columns, rows)
            result, columns = self._engine.model.predict(features, rows), columns | features
        else:
            result = self._engine.predict(columns, rows)
        seconds = perf_counter() - started
        self._metrics.inference.observe(seconds)
        return result, columns, seconds
