"""Pydantic's findings in a person's words: the key, what was got, what is allowed, did-you-mean, and the place in the YAML."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from include.lifecycle.availability import allowed_now, shown
from include.lifecycle.origins import KeyPath, Node, Origin, Problem, dotted, find
from include.lifecycle.rules.view import did_you_mean
from include.lifecycle.spec import ModelSpec

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "bool": "true or false",
}
_BOUNDS: dict[str, tuple[str, str]] = {
    "greater_than_equal": ("at least {}", "ge"),
    "greater_than": ("more than {}", "gt"),
    "less_than_equal": ("at most {}", "le"),
    "less_than": ("less than {}", "lt"),
    "too_short": ("at least {} entry", "min_length"),
    "string_too_short": ("text of at least {} character", "min_length"),
    "string_too_long": ("text of at most {} characters", "max_length"),
    "string_pattern_mismatch": ("text that matches {}", "pattern"),
}
# Keys that stand elsewhere than one might think.
_MOVED = {
    "retention.keep_predictions": "prediction_log.keep",
    "rollout.approvers": "approval.team",
    "rollout.approval_timeout": "approval.expires",
}


def type_problems(error: ValidationError, tree: Node, top: Origin) -> list[Problem]:
    """One Problem per wrong key; `top` is the first line of the model's file, named where a whole section is missing from it."""
    grouped: dict[KeyPath, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        grouped.setdefault(_key_path(details, tree), []).append(details)
    return [_problem(path, found, tree, top) for path, found in grouped.items()]


def section_at(path: KeyPath) -> type[BaseModel] | None:
    """The section class that describes `path`; None where none does."""
    kind: Any = ModelSpec
    for part in path:
        if _is_section(kind):
            field = kind.model_fields.get(part)
            kind = field.annotation if field else None
        else:
            kind = get_args(kind)[-1] if get_origin(kind) in (list, dict) else None
        kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if get_origin(kind) in (Union, UnionType):  # a mapping, where a list or a plain value would do as well
            members = [get_args(one)[0] if get_origin(one) is Annotated else one for one in get_args(kind)]
            kind = next((one for one in members if _is_section(one)), None)
    return kind if _is_section(kind) else None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _key_path(details: ErrorDetails, tree: Node) -> KeyPath:
    # A union adds its member's name to the location ("floor", "float"): leave out what is no key.
    place = details["loc"]
    if details["type"] == "missing":
        return (*_keys(place[:-1], tree), place[-1])
    return _keys(place, tree)


def _keys(place: KeyPath, node: Node) -> KeyPath:
    keys: KeyPath = ()
    for part in place:
        child, walked = find(node, (part,))
        if walked:
            node, keys = child, (*keys, part)
    return keys


def _problem(path: KeyPath, found: list[ErrorDetails], tree: Node, top: Origin) -> Problem:
    first, (node, _) = found[0], find(tree, path)
    if first["type"] == "missing":
        parent = find(tree, path[:-1])[0]
        place = parent.key or parent.origin
        return Problem(top if place.layer == "default" else place, path, _missing(path))
    if first["type"] == "extra_forbidden":
        return Problem(node.key or node.origin, path, _unknown(path))
    if first["type"] == "value_error":
        return Problem(node.origin, path, str(first["ctx"]["error"]))
    now = allowed_now(path)
    allowed = [", ".join(shown(value, bare=True) for value in now)] if now else [_allowed(details) for details in found]
    return Problem(
        node.origin, path, f"got {shown(node.value if _scalar(node) else first['input'])}; allowed: {' or '.join(allowed)}"
    )


def _scalar(node: Node) -> bool:
    return not isinstance(node.value, dict | list)


def _allowed(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"]).replace(" or ", ", ").replace("'", "")
    if kind in _BOUNDS:
        template, key = _BOUNDS[kind]
        bound = context[key]
        return template.format(f"{bound:g}" if isinstance(bound, float) else bound)
    return _KINDS.get(kind.partition("_")[0], details["msg"])


def _missing(path: KeyPath) -> str:
    section = section_at(path[:-1])
    field = section.model_fields.get(str(path[-1])) if section else None
    hint = f" ({field.description})" if field and field.description else ""
    return f"missing, and it is required{hint}"


def _unknown(path: KeyPath) -> str:
    if moved := _MOVED.get(dotted(path)):
        return f"unknown key; it is {moved} now"
    name, section = str(path[-1]), section_at(path[:-1])
    siblings = list(section.model_fields) if section else []
    if near := did_you_mean(name, siblings):
        return f"unknown key{near}"
    if elsewhere := [dotted((*at, name)) for at in _sections() if name in _fields(at)]:
        return f"unknown key here; did you mean {' or '.join(elsewhere)}?"
    return f"unknown key; allowed: {', '.join(siblings)}" if siblings else "unknown key"


def _fields(path: KeyPath) -> list[str]:
    section = section_at(path)
    return list(section.model_fields) if section else []


def _sections(above: KeyPath = ()) -> list[KeyPath]:
    inner = [path for name in _fields(above) for path in _sections((*above, name))]
    return [above, *inner] if section_at(above) else []
