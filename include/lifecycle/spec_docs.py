"""docs/yaml.md from the schema, the defaults and the comments that name a default's source document.

Every key with its meaning, type and default; written by `cli schema --docs --write`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from include.lifecycle.explaining import in_yaml
from include.lifecycle.loading import EVERY_COLUMN, defaults_tree
from include.lifecycle.origins import KeyPath, Node, dotted, find
from include.lifecycle.spec_schema import build_schema
from include.settings import Settings

DOCS_FILE = Path("docs") / "yaml.md"
_HEAD = """# A model's YAML

One file per model, `include/models/<name>.yaml`, over `include/models/_defaults.yaml`, under an overlay folder if one is set
(`MODELOPS_OVERLAY`, used by the demo and by tests). Mappings merge key by key; a list replaces the list below it.
This page is made by `python -m include.lifecycle.cli schema --docs --write`; a test checks that it is current.

- A duration is a number and a unit: `100ms`, `90s`, `5m`, `24h`, `7d`, `2w`. A fraction lies between 0 and 1.
- `off`, `no` and `on` are plain text here (YAML 1.2); numbers may be grouped, as in `1_000_000`.
- "required" keys have no default. S0 to S4 are the source documents that a default follows.
- Where only some values work yet, the type lists those; any other is refused by name, with file, line and column.
- Editors complete and check the file when it starts with `# yaml-language-server: $schema=schema.json`.
- `cli lint MODEL` tells all problems at once, `cli explain MODEL` every effective value with the place where it was written.
"""


def docs_text(settings: Settings | None = None) -> str:
    """The text of docs/yaml.md."""
    schema, defaults = build_schema(settings), defaults_tree(settings)
    comments = _comments(defaults.origin.file)
    parts = [_HEAD]
    for path, section in _sections(schema, schema["$defs"], ()):
        title = f"## {dotted(path)}" if path else "## The file"
        lines = [_row(path, name, child, section, defaults, comments) for name, child in _described(section, schema["$defs"])]
        head = "| Key | Meaning | Type | Default | Source |\n|---|---|---|---|---|"
        parts.append("\n".join([title, "", section["description"] if path else "Keys at the top.", "", head, *lines]) + "\n")
    return "\n".join(parts)


def _sections(schema: dict[str, Any], shared: dict[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    yield path, schema
    for name, child in schema["properties"].items():
        inner, inner_path = child, (*path, name)
        if "additionalProperties" in child and name == "columns":
            inner, inner_path = child["additionalProperties"], (*inner_path, "<column>")
        elif isinstance(child.get("items"), dict):
            inner, inner_path = child["items"], (*inner_path, "<each>")
        elif section := next((choice for choice in child.get("anyOf", ()) if "$ref" in choice), None):
            inner = section
        if "$ref" in inner:
            yield from _sections(_resolved(inner, shared), shared, inner_path)


def _described(section: dict[str, Any], shared: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in section["properties"].items():
        yield name, (_resolved(child, shared) | child) if "$ref" in child else child


def _resolved(schema: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = shared[schema["$ref"].rpartition("/")[2]]
    return found


def _row(
    path: KeyPath, name: str, child: dict[str, Any], section: dict[str, Any], defaults: Node, comments: dict[int, str]
) -> str:
    at = tuple(EVERY_COLUMN if part == "<column>" else part for part in (*path, name))
    node, walked = find(defaults, at)
    there, nested = walked == at, "properties" in child or (name == "columns" and not path)
    note = comments.get(node.key.line if node.key else 0, "") if there else ""
    default = f"`{in_yaml(node)}`" if there and not nested else ""
    if name in section.get("required", ()):
        default = "required"
    cells = [f"`{name}`", child.get("description", ""), "section" if nested else _type(child), default, note]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{'null' if value is None else value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(child) for child in schema["anyOf"])
    if "$ref" in schema:
        return "section"
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        items = schema["items"]
        return f"list of {'mappings' if '$ref' in items or items.get('type') == 'object' else _type(items)}"
    kinds = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "`true` or `false`",
        "null": "`null`",
        "object": "mapping",
    }
    kind = "duration" if "ms|s|m" in schema.get("pattern", "") else kinds[schema["type"]]
    return kind + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    found = [f"{sign} {schema[word]:g}" for word, sign in signs if word in schema]
    return f" ({', '.join(found)})" if found else ""


def _comments(file: Path) -> dict[int, str]:
    """Comments that begin with a source document (S0 to S4), by line number."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = ((number, re.search(r"\s#\s*(S[0-4]\b.+)$", line)) for number, line in enumerate(lines, 1))
    return {number: match[1] for number, match in found if match}
