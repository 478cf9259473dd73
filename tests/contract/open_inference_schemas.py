"""JSON Schemas of the Open Inference Protocol v2's objects, as its OpenAPI file describes them (components/schemas).

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/open_inference_rest.yaml.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

DATATYPES = ["BOOL", "BYTES", "FP16", "FP32", "FP64", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))]
_STRINGS = {"type": "array", "items": {"type": "string"}}
_SHAPE = {"type": "array", "items": {"type": "integer"}}
_PARAMETERS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_TENSOR = _object(["name", "datatype", "shape"], name={"type": "string"}, datatype={"enum": DATATYPES}, shape=_SHAPE)
_TENSORS = {"type": "array", "items": _TENSOR, "minItems": 1}
_OUTPUT = _object(
    ["name", "shape", "datatype", "data"],
    name={"type": "string"},
    shape=_SHAPE,
    datatype={"enum": DATATYPES},
    parameters=_PARAMETERS,
    data={"type": "array", "items": {"type": ["number", "string", "boolean"]}},
)

SERVER_METADATA = _object(
    ["name", "version", "extensions"], name={"type": "string"}, version={"type": "string"}, extensions=_STRINGS
)
MODEL_METADATA = _object(
    ["name", "platform", "inputs", "outputs"],
    name={"type": "string"},
    versions=_STRINGS,
    platform={"type": "string"},
    inputs=_TENSORS,
    outputs=_TENSORS,
)
MODEL_READY = _object(["name", "ready"], name={"type": "string"}, ready={"type": "boolean"})
INFERENCE_RESPONSE = _object(
    ["model_name", "outputs"],
    model_name={"type": "string"},
    model_version={"type": "string"},
    id={"type": "string"},
    parameters=_PARAMETERS,
    outputs={"type": "array", "items": _OUTPUT, "minItems": 1},
)
ERROR = _object(["error"], error={"type": "string", "minLength": 1})
