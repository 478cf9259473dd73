"""What a person may say when starting a train run by hand (the Dag's form, REST `conf`): read strictly, unknown keys named."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.rules.view import did_you_mean
from include.lifecycle.spec import ModelSpec

_MOST_TRIALS = 1000
ReasonKind = Literal["new_feature", "business_change", "data_correction", "regulator", "other"]
REASON_KINDS: tuple[str, ...] = get_args(ReasonKind)
"""What a person may say a training is for, besides the reason in words."""


class TrainingConf(BaseModel):
    """What may be said, all optional; null and empty text mean not said. `source` is the operator's (`schedule`: as cron)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str | None = None
    reason_kind: ReasonKind | None = None
    requested_by: str | None = None
    method: str | None = None
    trials: Annotated[int, Field(ge=1)] | None = None
    force: bool = False
    source: str | None = None
    data: str | None = None


def most_trials(spec: ModelSpec) -> int:
    """How many trials a person may ask for: a thousand, or what the YAML says if that is more."""
    return max(_MOST_TRIALS, spec.training.trials)


def read_conf(conf: dict[str, Any], spec: ModelSpec) -> TrainingConf:
    """Parse `conf`; SpecInvalidError names the key, what was got and what is allowed."""
    where = f"model {spec.name}, conf of the run"
    known = list(TrainingConf.model_fields)
    for key in conf:
        if key not in known:
            raise SpecInvalidError(f"{where}: unknown key {key!r}{did_you_mean(key, known)}; allowed: {', '.join(known)}")
    try:
        read = TrainingConf.model_validate({key: value for key, value in conf.items() if value is not None and value != ""})
    except ValidationError as problem:
        said = "; ".join(f"{error['loc'][0]}: got {error['input']!r}: {error['msg']}" for error in problem.errors())
        raise SpecInvalidError(f"{where}: {said}") from problem
    methods = ("full", "incremental")
    if read.method is not None and read.method not in methods:
        raise SpecInvalidError(f"{where}: method {read.method!r} is not available; allowed: {', '.join(map(str, methods))}")
    if read.trials is not None and read.trials > (most := most_trials(spec)):
        raise SpecInvalidError(f"{where}: trials: got {read.trials}; allowed: 1 to {most}")
    return read
