"""Checks of single tensors: each refuses with a message that names input, row, what was got and what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.serving.pii import KeyedHash

NUMERIC_DATATYPES = frozenset(
    ("FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8", "BOOL"),
)
FLOAT32_MAX = 3.4028234663852886e38
MAX_TEXT = 1000  # characters of a category or key: a line of the log stays readable
_NUMBERS: frozenset[type] = frozenset((float, int, type(None)))
_BOOLEANS: frozenset[type] = frozenset((bool, type(None)))
INTEGER_RANGES = {
    f"{sign}INT{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
_STRINGS: frozenset[type] = frozenset((str, type(None)))
_SHOWN = 20  # names in one message


class RequestRefusedError(Exception):
    """A request that cannot be answered: HTTP `status`, response `headers`; the text names field, value and what is allowed."""

    def __init__(self, status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


def check_datatype(name: str, tensor: dict[str, Any], allowed: Collection[str]) -> None:
    """Refuse a tensor whose datatype is not among `allowed`."""
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in allowed:
        raise refused(f"input {name!r} has datatype {shown(datatype)}; allowed: {', '.join(sorted(allowed))}")


def _check_values(name: str, data: list[Any], allowed: frozenset[type], wanted: str) -> None:
    if not allowed.issuperset(map(type, data)):
        row, value = next((row, value) for row, value in enumerate(data) if type(value) not in allowed)
        raise refused(f"input {name!r}, row {row}: {shown(value)} is {kind_of(value)}; allowed: {wanted}")


def check_texts(name: str, data: list[Any]) -> None:
    """Refuse anything but strings of bounded length and nulls."""
    _check_values(name, data, _STRINGS, "a string or null")
    if max(map(len, filter(None, data)), default=0) > MAX_TEXT:
        row, value = next((row, value) for row, value in enumerate(data) if len(value or "") > MAX_TEXT)
        raise refused(f"input {name!r}, row {row}: a string of {len(value)} characters; allowed: up to {MAX_TEXT}")


def hashed_texts(name: str, tensor: dict[str, Any], data: list[Any], keyed: KeyedHash) -> list[str | None]:
    """The keyed hashes of a checked column of texts; a refusal shows no value of it."""
    check_datatype(name, tensor, ("BYTES",))
    try:
        check_texts(name, data)
    except RequestRefusedError:
        raise refused(f"input {name!r} is personal data; allowed: strings of up to {MAX_TEXT} characters, or null") from None
    return keyed.all(data)


def check_numbers(name: str, data: list[Any]) -> None:
    """Refuse anything but nulls and numbers that a 32-bit float can hold (NaN and infinities are no JSON)."""
    _check_values(name, data, _NUMBERS, "a number or null")
    if max(map(abs, filter(None, data)), default=0) > FLOAT32_MAX:
        row, value = next((row, value) for row, value in enumerate(data) if abs(value or 0) > FLOAT32_MAX)
        raise refused(f"input {name!r}, row {row}: {value} is too large; allowed: up to {FLOAT32_MAX:.3g} in magnitude")


def numbers_of(name: str, datatype: str, data: list[Any]) -> list[Any]:
    """A checked column of numbers, whatever numeric datatype it is sent in: BOOL becomes 0 and 1, integers keep their range."""
    if datatype == "BOOL":
        _check_values(name, data, _BOOLEANS, "a boolean or null, as datatype BOOL has it")
        return [None if value is None else int(value) for value in data]
    check_numbers(name, data)
    if bounds := INTEGER_RANGES.get(datatype):
        low, high = bounds
        for row, value in enumerate(data):
            if value is not None and (type(value) is not int or not low <= value <= high):
                raise refused(
                    f"input {name!r}, row {row}: {shown(value)} is no {datatype}; allowed: whole numbers {low} to {high}"
                )
    return data


def check_parameters(where: str, parameters: Any) -> None:
    """Refuse parameters that are no object of strings, numbers and booleans; what they say is not used."""
    if parameters is None:
        return
    if not isinstance(parameters, dict) or any(isinstance(value, dict | list) or value is None for value in parameters.values()):
        raise refused(f"{where}: parameters is {shown(parameters)}; allowed: an object of strings, numbers and booleans")


def flattened(name: str, data: list[Any]) -> list[Any]:
    """The values of a nested [n, 1] array."""
    for row, value in enumerate(data):
        if type(value) is not list or len(value) != 1:
            raise refused(f"input {name!r}, row {row}: {shown(value)} does not fit the shape [n, 1]; allowed: [value]")
    return [value[0] for value in data]


def event_time_in_utc(name: str, row: int, value: str | None) -> str | None:
    """An event time as ISO 8601 in UTC with microseconds; refused without a timezone."""
    at = None if value is None else _in_utc(value)
    if value is not None and at is None:
        example = "2013-08-01T06:00:00+00:00"
        raise refused(f"input {name!r}, row {row}: {shown(value)}; allowed: ISO 8601 with timezone, such as {example}")
    return at


def _in_utc(text: str) -> str | None:
    """The moment in UTC with microseconds, or None when the text is none."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC).isoformat(timespec="microseconds") if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def refused(message: str) -> RequestRefusedError:
    """A refusal with status 400."""
    return RequestRefusedError(400, message)


def listed(names: list[str]) -> str:
    """Quoted names for a message, cut when there are many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def shown(value: Any) -> str:
    """A value for a message, cut when it is long; in words where it is nested deeper than Python can write."""
    try:
        text = repr(value)
    except RecursionError:
        return kind_of(value)
    return text if len(text) <= 80 else text[:77] + "..."


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return "missing or null" if value is None else names.get(type(value), type(value).__name__)
