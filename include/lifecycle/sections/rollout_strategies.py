"""Sections rollout.blue_green, .rolling, .shadow and .ab_test: what each strategy needs beyond the canary's steps."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from include.lifecycle.sections.base import Section, Share
from include.lifecycle.units import Duration, PositiveDuration

# Prefixes of request headers that tell no user from another, and why.
NOT_STICKY = {
    "x-modelops-": "the gateway sets it and removes what a client sends",
    "host": "it names the server",
    "cookie": "it changes whenever a page sets another cookie",
    "content-": "it is about the body",
    "x-request-id": "it is new with each request",
}


def _whole_percents(share: float) -> float:
    percents = share * 100
    if abs(percents - round(percents)) > 1e-9:
        near = f"{math.floor(percents) / 100:.2f} or {math.ceil(percents) / 100:.2f}"
        raise ValueError(f"got {share:g}; allowed: whole percents, which is what the gateway splits by, such as {near}")
    return share


def _tells_users_apart(header: str) -> str:
    for name, why in NOT_STICKY.items():
        if header == name or (name.endswith("-") and header.startswith(name)):
            raise ValueError(f"got {header!r}: {why}; allowed: a header with one value per user or account, such as x-user-id")
    return header


Percent = Annotated[int, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]


class BlueGreenSection(Section):
    """The look at the new environment before the one switch."""

    mirror: Percent = Field(description="percent of live requests copied to the new environment before the switch; 0: none")
    at_least: Duration = Field(description="wall time that the new environment is looked at before the switch")
    requests: Count = Field(description="copied requests that the look needs at least")


class RollingSection(Section):
    """Server by server."""

    at_least: Duration = Field(description="wall time between two servers at least")
    requests: Count = Field(description="requests of the new servers that each turn needs at least")


class ShadowSection(Section):
    """Mirrored traffic without effect on clients."""

    mirror: Annotated[int, Field(ge=1, le=100)] = Field(description="percent of live requests copied to the shadow")
    at_least: Duration = Field(description="wall time that the shadow runs at least")
    pairs: Annotated[int, Field(ge=1)] = Field(description="answers of both versions to the same request that are needed")
    minimum_agreement: Share = Field(description="fraction of pairs with the same decision, below which the shadow fails")
    tolerance: Annotated[float, Field(ge=0)] = Field(
        description="regression: predictions agree when they differ by at most this, in the target's unit"
    )
    then: Literal["canary", "hold", "promote"] = Field(
        description="after the shadow passed: the canary's steps, a person's decision, or all traffic at once"
    )


class AbBusinessSection(Section):
    """Values of the business's own, such as revenue, by sticky key or by the key of a prediction; off while `query` is null."""

    query: str | None = Field(
        description="SQL file below include/sql that returns key and value, one row per key; it may bind :window_start, "
        ":window_end, :as_of"
    )
    per: Literal["sticky", "key"] = Field(description="what the query's key is: the sticky header's value, or data.key")
    direction: Literal["higher", "lower"] = Field(description="which is better")
    missing: Literal["zero", "leave_out"] = Field(description="what a key without a row counts as")


class AbTestSection(Section):
    """An experiment on the live traffic."""

    split: Annotated[float, Field(ge=0.01, le=0.5), AfterValidator(_whole_percents)] = Field(
        description="fraction of the keys that the challenger answers, in whole percents"
    )
    sticky_header: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$"), AfterValidator(_tells_users_apart)] = Field(
        description="request header whose value (a user, an account) always meets the same version"
    )
    minimum_samples: Annotated[int, Field(ge=1)] = Field(description="samples per arm before the challenger may win")
    at_least: Duration = Field(description="wall time before the challenger may win")
    at_most: PositiveDuration = Field(description="wall time after which the test ends without a winner")
    metric: Literal["success", "loss", "business"] | None = Field(
        description="what decides, per sticky key: success (share of right decisions), loss (Brier score, regression: absolute "
        "error), business (the query's values); null: success, for a regression loss"
    )
    business: AbBusinessSection = Field(description="values of the business's own; where they do not decide, they guard")
    minimum_effect: Annotated[float, Field(ge=0)] = Field(
        description="improvement that is wanted, fixed when the test is planned, in the metric's unit; a challenger that is "
        "surely below it loses"
    )
    sample_ratio_alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        description="probability of calling a sound split broken, over the whole test; a broken split ends it"
    )
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(description="probability of a wrong winner over the whole test")
    winner: Literal["auto", "manual"] = Field(description="auto: the test's verdict counts; manual: a person concludes")
    then: Literal["promote", "canary"] = Field(
        description="after a won test: all traffic at once, or the canary's steps above the split"
    )
