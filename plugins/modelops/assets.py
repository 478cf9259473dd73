"""The wake-up assets. An event only says "look": the facts are rows, so a lost or doubled event changes nothing.

Tasks emit through an AssetAlias, since a plain outlet would emit on every success, also when there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import Asset, AssetAlias, AssetWatcher

WAKE_UPS = AssetAlias("modelops-wake-ups")


def signals() -> Asset:
    """Monitoring opened a signal: `decide` looks."""
    return Asset("modelops://signals")


def external_requests() -> Asset:
    """Another system asks for a training through Airflow's REST API: `decide` reads the events' extras (docs/triggers.md)."""
    return Asset("modelops://external-requests")


def new_rows() -> Asset:
    """Enough new training rows came: a trigger watches the sources of all models, and `decide` looks."""
    from modelops.triggers.new_rows import NewRowsTrigger

    return Asset("modelops://new-rows", watchers=[AssetWatcher(name="new_rows", trigger=NewRowsTrigger())])


def training_requested(model: str) -> Asset:
    """A training request is open: `train__<model>` looks."""
    return Asset(f"modelops://{model}/training-requested")


def candidate(model: str) -> Asset:
    """A registered version may be rolled out: `deploy__<model>` looks."""
    return Asset(f"modelops://{model}/candidate")


def promotions() -> Asset:
    """A version was promoted: `retire` looks."""
    return Asset("modelops://promotions")


def alerts() -> Asset:
    """An alert was raised or is over: Dag `alerts` tells people."""
    return Asset("modelops://alerts")


def wake(outlet_events: Any, assets: Iterable[Asset]) -> None:
    """Emit one event per asset through the task's WAKE_UPS outlet (`outlet_events` of the task context)."""
    for asset in assets:
        outlet_events[WAKE_UPS].add(asset)
