"""`data.expectations` of the YAML as Great Expectations: names and arguments are checked, then run on a table.

Two forms: `{expect_column_values_to_be_between: {column: distance, min_value: 1}}`, or flat with the name under `type` or `name`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.lifecycle.data.findings import Finding, plain
from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.rules.view import did_you_mean
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations import Expectation

_EXAMPLES = 5
# Fields of every expectation that say how it is run, not what is expected.
_INTERNAL = {"id", "rendered_content", "batch_id", "windows", "catch_exceptions", "result_format"}


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
            built.append(_build(*_name_and_arguments(declared)))
        except SpecInvalidError as problem:
            problems.append(f"data.expectations[{index}]: {problem}")
    if problems:
        raise SpecInvalidError(f"model {spec.name}: " + "; ".join(problems))
    return built


def run_expectations(expectations: list[Expectation], frame: pd.DataFrame) -> list[Finding]:
    """Run all on one table, in memory and without any context on disk; one Finding each, in order."""
    if not expectations:
        return []
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas("stage")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch(batch_parameters={"dataframe": frame})
    )
    format_ = {"result_format": "SUMMARY", "partial_unexpected_count": _EXAMPLES}
    return [_finding(batch.validate(expectation, result_format=format_).to_json_dict()) for expectation in expectations]


def _name_and_arguments(declared: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    for key in ("type", "name"):
        if key in declared:
            return str(declared[key]), {name: value for name, value in declared.items() if name != key}
    if len(declared) != 1:
        raise SpecInvalidError(f"one expectation per item, got {', '.join(map(str, declared)) or 'none'}")
    name, arguments = next(iter(declared.items()))
    if not isinstance(arguments, dict):
        raise SpecInvalidError(f"{name} takes named arguments such as {{column: distance}}, got {arguments!r}")
    return str(name), arguments


def _build(name: str, arguments: dict[str, Any]) -> Expectation:
    known = _known()
    if name not in known:
        raise SpecInvalidError(f"unknown expectation {name!r}{did_you_mean(name, list(known))}")
    allowed = sorted(set(known[name].__fields__) - _INTERNAL)
    for argument in arguments:
        if argument not in allowed:
            near = did_you_mean(argument, allowed)
            raise SpecInvalidError(f"{name} has no argument {argument!r}{near}; allowed: {', '.join(allowed)}")
    try:
        return known[name](**arguments)
    except ValueError as problem:  # pydantic's ValidationError is one
        said = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in getattr(problem, "errors", list)())
        raise SpecInvalidError(f"{name}: {said or problem}") from problem


def _known() -> dict[str, type[Expectation]]:
    import great_expectations.expectations as module

    classes = (getattr(module, name) for name in dir(module) if name.startswith("Expect"))
    return {cls.expectation_type: cls for cls in classes if isinstance(getattr(cls, "expectation_type", None), str)}


def _finding(result: dict[str, Any]) -> Finding:
    config, numbers = result["expectation_config"], result.get("result") or {}
    arguments = {key: value for key, value in config["kwargs"].items() if key not in _INTERNAL | {"column"}}
    detail = [f"{key} {plain(value)!r}" for key, value in arguments.items()]
    if "observed_value" in numbers:
        detail.append(f"observed {plain(numbers['observed_value'])!r}")
    if raised := _raised(result.get("exception_info") or {}):
        detail.append(f"could not be run: {raised}")
    return Finding(
        check=config["type"],
        column=config["kwargs"].get("column"),
        success=bool(result["success"]),
        rows=numbers.get("element_count"),
        unexpected=numbers.get("unexpected_count"),
        examples=[plain(value) for value in numbers.get("partial_unexpected_list") or []][:_EXAMPLES],
        detail=", ".join(detail),
    )


def _raised(info: dict[str, Any]) -> str:
    """First message of Great Expectations' exception info, which is flat or nested by metric."""
    entries = [info, *(value for value in info.values() if isinstance(value, dict))]
    messages = (entry.get("exception_message") for entry in entries if entry.get("raised_exception"))
    return next((str(message).splitlines()[0] for message in messages if message), "")
