"""The names and arguments of Great Expectations' expectations, as a table in the repository: lint must not import the library.

`expectation_names.json` is made by `python -m include.lifecycle.data.expectation_names --write`; a test holds it equal to the
installed version's. Names, arguments, their kinds and bounds are checked here; rules between arguments by the library itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from include.lifecycle.rules.view import did_you_mean

TABLE_FILE = Path(__file__).with_name("expectation_names.json")
# Fields of every expectation that say how it is run or stored, not what is expected.
INTERNAL = frozenset({"id", "rendered_content", "batch_id", "windows", "catch_exceptions", "result_format", "metadata"})
Table = dict[str, dict[str, dict[str, Any]]]
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


@cache
def expectation_table() -> Table:
    """Expectation -> argument -> {kinds: JSON types (empty: any), required, and minimum, maximum, choices where there are}."""
    found: Table = json.loads(TABLE_FILE.read_text(encoding="utf-8"))
    return found


def name_and_arguments(declared: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An item of `data.expectations` in either form; ValueError when it is in none."""
    for key in ("type", "name"):
        if key in declared:
            return str(declared[key]), {name: value for name, value in declared.items() if name != key}
    if len(declared) != 1:
        raise ValueError(f"one expectation per item, got {', '.join(map(str, declared)) or 'none'}")
    name, arguments = next(iter(declared.items()))
    if not isinstance(arguments, dict):
        raise ValueError(f"{name} takes named arguments such as {{column: distance}}, got {arguments!r}")
    return str(name), arguments


def problems_of(name: str, arguments: dict[str, Any]) -> Iterator[tuple[str | None, str]]:
    """(argument or None, what is wrong) of one expectation."""
    table = expectation_table()
    if name not in table:
        yield None, f"unknown expectation {name!r}{did_you_mean(name, list(table))}"
        return
    known = table[name]
    for argument, value in arguments.items():
        if argument not in known:
            near = did_you_mean(argument, list(known))
            yield argument, f"{name} has no argument {argument!r}{near}; allowed: {', '.join(sorted(known))}"
        elif wrong := _wrong(value, known[argument]):
            yield argument, f"{name}: {argument} is {value!r}; allowed: {wrong}"
    for argument in sorted(known):
        if known[argument].get("required") and argument not in arguments:
            yield None, f"{name} needs the argument {argument!r}"


def _wrong(value: Any, rule: dict[str, Any]) -> str:
    """What is allowed in place of `value`, or nothing when it fits."""
    kinds: list[str] = rule["kinds"]
    if value is None and not rule.get("required"):
        return ""
    if kinds and not any(_is_kind(value, kind) for kind in kinds):
        return " or ".join(kinds)
    if "choices" in rule and isinstance(value, str) and value not in rule["choices"]:
        return ", ".join(rule["choices"])
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = rule.get("minimum"), rule.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            return (
                f"{low:g} to {high:g}"
                if None not in (low, high)
                else f"at least {low:g}"
                if low is not None
                else f"at most {high}"
            )
    return ""


def _is_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _KINDS[kind])


def installed_table() -> Table:
    """The same table, read from the installed Great Expectations (slow)."""
    import great_expectations.expectations as module

    classes = (getattr(module, name) for name in dir(module) if name.startswith("Expect"))
    found = {cls.expectation_type: cls.schema() for cls in classes if isinstance(getattr(cls, "expectation_type", None), str)}
    return {name: _arguments(schema) for name, schema in sorted(found.items()) if name}


def _arguments(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    required = set(schema.get("required", ()))
    shared = schema.get("definitions", {})
    rows = {}
    for name, field in sorted(schema["properties"].items()):
        if name not in INTERNAL:
            row = _rule(field, shared)
            rows[name] = row | {"required": True} if name in required else row
    return rows


def _rule(field: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    parts = [_resolved(part, shared) for part in field.get("anyOf") or field.get("allOf") or [field]]
    kinds = sorted({str(part["type"]) for part in parts if "type" in part}) if all("type" in part for part in parts) else []
    row: dict[str, Any] = {"kinds": kinds}
    for part in parts:
        row |= {word: part[word] for word in ("minimum", "maximum") if word in part}
        if "enum" in part:
            row["choices"] = sorted(part["enum"])
    return row


def _resolved(part: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = shared[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return found


def table_text(table: Table) -> str:
    """The file's text: an expectation per line."""
    lines = (f"{json.dumps(name)}: {json.dumps(arguments, sort_keys=True)}" for name, arguments in sorted(table.items()))
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    text = table_text(installed_table())
    if "--write" in sys.argv:
        TABLE_FILE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
