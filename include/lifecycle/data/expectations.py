"""`data.expectations` of the YAML run by Great Expectations: a few columns at a time, so that memory never holds the table.

Two forms: `{expect_column_values_to_be_between: {column: distance, min_value: 1}}`, or flat with the name under `type` or `name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.data.expectation_names import INTERNAL, name_and_arguments, problems_of
from include.lifecycle.data.findings import SHOWN, Finding, plain
from include.lifecycle.data.quarantine import BadRows
from include.lifecycle.data.table_file import TableFile
from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.expectations import Expectation

_NULL_CHECKS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")
"""Rows that these leave unmet are not set aside: missing values of a feature are filled in by the pipeline."""


def build_expectations(spec: ModelSpec) -> list[Expectation]:
    """Great Expectations' objects in the YAML's order.

    Raises:
        SpecInvalidError: naming every unknown expectation, unknown or missing argument, wrong value or unknown column.
    """
    if not spec.data.expectations:
        return []
    built, problems = [], []
    for index, declared in enumerate(spec.data.expectations):
        try:
            built.append(_build(*name_and_arguments(declared)))
        except ValueError as problem:
            problems.append(f"data.expectations[{index}]: {problem}")
    if problems:
        raise SpecInvalidError(f"model {spec.name}: " + "; ".join(problems))
    return built


def run_expectations(expectations: list[Expectation], table: TableFile, bad: BadRows) -> list[Finding]:
    """Run all on the rows that are not in quarantine yet, in memory and without any context on disk; one Finding each, in order.

    Rows that an expectation with `mostly` leaves unmet while it holds go to quarantine, with the expectation as their reason.
    """
    if not expectations:
        return []
    keep = bad.keep
    places: dict[tuple[str, ...], list[int]] = {}
    for place, expectation in enumerate(expectations):
        places.setdefault(_columns_of(expectation, table.schema.names), []).append(place)
    found: dict[int, Finding] = {}
    rows_of = _whole_frames()
    for columns, group in places.items():
        frame = table.frame(list(columns), keep) if columns else _stand_in(table.schema.names, int(keep.sum()))
        for place, (finding, rows) in zip(group, _run([expectations[place] for place in group], rows_of, frame), strict=True):
            found[place] = finding
            if rows.size:
                mask = np.zeros(table.rows, dtype=np.bool_)
                mask[np.flatnonzero(keep)[rows]] = True
                bad.add(finding.check if finding.column is None else f"{finding.check}({finding.column})", mask)
        del frame
    return [found[place] for place in range(len(expectations))]


def _build(name: str, arguments: dict[str, Any]) -> Expectation:
    if found := [text for _, text in problems_of(name, arguments)]:
        raise ValueError("; ".join(found))
    import great_expectations.expectations as module

    cls: type[Expectation] = getattr(module, "".join(word.capitalize() for word in name.split("_")), None) or _by_type(name)
    try:
        return cls(**arguments)
    except ValueError as problem:  # pydantic's ValidationError is one
        said = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in getattr(problem, "errors", list)())
        raise ValueError(f"{name}: {said or problem}") from problem


def _by_type(name: str) -> type[Expectation]:
    import great_expectations.expectations as module

    classes = (getattr(module, word) for word in dir(module) if word.startswith("Expect"))
    found: type[Expectation] = next(cls for cls in classes if getattr(cls, "expectation_type", None) == name)
    return found


def _columns_of(expectation: Expectation, names: list[str]) -> tuple[str, ...]:
    """The columns that an expectation reads: those that its arguments name, a row condition's too; none for the whole table's."""
    arguments = expectation.dict(exclude_none=True, exclude=set(INTERNAL))
    words: set[str] = set()
    for argument, value in arguments.items():
        if argument in ("column", "column_A", "column_B"):
            words.add(str(value))
        elif argument == "column_list":
            words.update(map(str, value))
        elif argument == "row_condition":
            words.update(re.findall(r"\w+", str(value)))
    return tuple(name for name in names if name in words)


def _stand_in(names: list[str], rows: int) -> pd.DataFrame:
    """A table of the same shape without its values, for expectations on row count and column names."""
    import pandas as pd

    return pd.DataFrame(np.zeros((rows, len(names)), dtype=np.int8), columns=names)


def _whole_frames() -> BatchDefinition[Any]:
    """Great Expectations in memory, ready to be given tables."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context.data_sources.add_pandas("stage").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")


def _run(
    expectations: list[Expectation], rows_of: BatchDefinition[Any], frame: pd.DataFrame
) -> Iterator[tuple[Finding, NDArray[np.int64]]]:
    """Each expectation's Finding, and the positions of the rows that it leaves unmet while it holds."""
    batch = rows_of.get_batch(batch_parameters={"dataframe": frame})
    summary = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN}
    for expectation in expectations:
        result = batch.validate(expectation, result_format=summary).to_json_dict()
        rows = np.empty(0, dtype=np.int64)
        kind = result["expectation_config"]["type"]
        if result["success"] and (result.get("result") or {}).get("unexpected_count") and kind not in _NULL_CHECKS:
            whole = batch.validate(expectation, result_format={"result_format": "COMPLETE"}).to_json_dict()
            rows = np.array(whole["result"].get("unexpected_index_list") or [], dtype=np.int64)
        yield _finding(result, rows.size), rows


def _finding(result: dict[str, Any], set_aside: int) -> Finding:
    config, numbers = result["expectation_config"], result.get("result") or {}
    arguments = {key: value for key, value in config["kwargs"].items() if key not in INTERNAL | {"column"}}
    detail = [f"{key} {plain(value)!r}" for key, value in arguments.items()]
    if "observed_value" in numbers:
        detail.append(f"observed {plain(numbers['observed_value'])!r}")
    if raised := _raised(result.get("exception_info") or {}):
        detail.append(f"could not be run: {raised}")
    if set_aside:
        detail.append(f"{set_aside} rows set aside")
    return Finding(
        check=config["type"],
        column=config["kwargs"].get("column"),
        outcome=Outcome.PASS if result["success"] else Outcome.FAIL,
        rows=numbers.get("element_count"),
        unexpected=numbers.get("unexpected_count"),
        examples=[plain(value) for value in numbers.get("partial_unexpected_list") or []][:SHOWN],
        detail=", ".join(detail),
    )


def _raised(info: dict[str, Any]) -> str:
    """First message of Great Expectations' exception info, which is flat or nested by metric."""
    entries = [info, *(value for value in info.values() if isinstance(value, dict))]
    messages = (entry.get("exception_message") for entry in entries if entry.get("raised_exception"))
    return next((str(message).splitlines()[0] for message in messages if message), "")
