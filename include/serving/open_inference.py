"""Open Inference Protocol v2: how its answers are written, and the answers that never change.

Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. protocol.py reads its requests.
"""

from __future__ import annotations

from typing import Any

import orjson

from include.serving.outputs import Predicted, output_metadata, output_tensors
from include.serving.protocol import InferenceRequest, RequestSchema
from include.serving.replies import Headers, Reply, error
from include.serving.tensor_checks import RequestRefusedError
from include.serving.version_folder import ServingSpec

PROTOCOL_NAME, PROTOCOL_VERSION = "modelops", "2"
_PLATFORMS = {"onnx": "onnx_onnxv1", "sklearn": "sklearn_skops"}


class OpenInference:
    """The protocol's inference request and response."""

    def __init__(self, spec: ServingSpec, schema: RequestSchema) -> None:
        self._schema = schema
        self._named = {"model_name": spec.model, "model_version": str(spec.version)}

    def parse(self, body: bytes, headers: Headers) -> InferenceRequest:
        """The checked request; whatever the content type says, it is JSON."""
        return self._schema.parse(body)

    def render(self, request: InferenceRequest, found: Predicted, unknown: dict[str, int], request_id: str) -> bytes:
        """The response object; `id` is the request's own, else the one that the server goes by."""
        answer: dict[str, Any] = {
            **self._named,
            "id": request.id or request_id,
            "outputs": output_tensors(found, request.outputs),
        }
        if unknown:
            answer["parameters"] = {"unknown_categories": ",".join(unknown)}
        return orjson.dumps(answer)

    def refuse(self, refusal: RequestRefusedError, headers: Headers) -> Reply:
        """The protocol's error object."""
        return error(refusal.status, str(refusal), headers)


def model_paths(spec: ServingSpec) -> tuple[str, str]:
    """The model's path without and with its version."""
    return f"/v2/models/{spec.model}", f"/v2/models/{spec.model}/versions/{spec.version}"


def static_replies(spec: ServingSpec) -> dict[str, bytes]:
    """Bodies of server metadata, model metadata and liveness, by path."""
    tensors = [{"name": column.name, "datatype": column.datatype, "shape": [-1]} for column in spec.inputs]
    metadata = {
        "name": spec.model,
        "versions": [str(spec.version)],
        "platform": _PLATFORMS[spec.engine],
        "inputs": tensors,
        "outputs": output_metadata(spec),
    }
    server = {"name": PROTOCOL_NAME, "version": PROTOCOL_VERSION, "extensions": []}
    replies: dict[str, Any] = {"/v2": server, "/v2/": server, "/v2/health/live": {"live": True}}
    replies |= dict.fromkeys(model_paths(spec), metadata)
    return {path: orjson.dumps(reply) for path, reply in replies.items()}


def readiness(spec: ServingSpec, *, ready: bool) -> dict[str, bytes]:
    """Bodies of the readiness routes by path, MLflow's `/ping` and `/health` among them; not ready is told with status 503."""
    of_model = orjson.dumps({"name": spec.model, "ready": ready})
    of_server = orjson.dumps({"ready": ready})
    paths = ("/v2/health/ready", "/ping", "/health")
    return dict.fromkeys(paths, of_server) | {f"{path}/ready": of_model for path in model_paths(spec)}


def not_found(spec: ServingSpec, path: str) -> RequestRefusedError:
    """What is wrong with a path: the model, its version, or all of it."""
    model, _, rest = path.removeprefix("/v2/models/").partition("/")
    if path.startswith("/v2/models/") and model != spec.model:
        return RequestRefusedError(404, f"model {model!r} is not served here; allowed: {spec.model!r}")
    version = rest.removeprefix("versions/").partition("/")[0]
    if rest.startswith("versions/") and version != str(spec.version):
        return RequestRefusedError(404, f"version {version!r} of {model} is not served here; allowed: {str(spec.version)!r}")
    return RequestRefusedError(404, f"no such path: {path}")
