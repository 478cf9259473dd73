"""ModelSpec -> JSON Schema for editors: required is what the defaults lack, enums hold what works now.

Written to include/models/schema.json by `cli schema --write`; docs/yaml.md is made from it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from include.lifecycle.availability import allowed_now, default_only
from include.lifecycle.loading import EVERY_COLUMN, defaults_tree
from include.lifecycle.origins import KeyPath, plain
from include.lifecycle.spec import ModelSpec
from include.settings import Settings

SCHEMA_FILE = "schema.json"
_MISSING: Final = object()


def build_schema(settings: Settings | None = None) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a model's YAML file, as plain data."""
    schema = ModelSpec.model_json_schema()
    _adapt(schema, schema["$defs"], (), plain(defaults_tree(settings)))
    title = "A model of ModelOps for Airflow"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def schema_text(settings: Settings | None = None) -> str:
    """The text of `include/models/schema.json`."""
    return json.dumps(build_schema(settings), indent=2, ensure_ascii=False) + "\n"


def _adapt(schema: dict[str, Any], shared: dict[str, Any], path: KeyPath, default: Any) -> bool:
    """Fit one schema to its defaults, in place; return whether a file must say something here."""
    if "$ref" in schema:
        return _adapt(shared[schema["$ref"].rpartition("/")[2]], shared, path, default)
    if "properties" in schema:
        return _adapt_section(schema, shared, path, default if isinstance(default, dict) else {})
    if path == ("columns",):
        _adapt(schema["additionalProperties"], shared, (*path, EVERY_COLUMN), default[EVERY_COLUMN])
        return False
    if isinstance(items := schema.get("items"), dict):
        _adapt(items, shared, (*path, "*"), _MISSING)
    _narrow(schema, path, default)
    if default is not _MISSING:
        schema["default"] = default
    return default is _MISSING


def _adapt_section(schema: dict[str, Any], shared: dict[str, Any], path: KeyPath, defaults: dict[str, Any]) -> bool:
    children = schema["properties"]
    required = [name for name in children if _adapt(children[name], shared, (*path, name), defaults.get(name, _MISSING))]
    for child in (schema, *children.values()):
        child.pop("title", None)
    schema.pop("required", None)
    if required:
        schema["required"] = required
    return bool(required)


def _narrow(schema: dict[str, Any], path: KeyPath, default: Any) -> None:
    values = [default] if default_only(path) else allowed_now(path)
    if values:
        for word in ("const", "anyOf", "pattern", "examples"):
            schema.pop(word, None)
        schema["enum"] = list(values)
