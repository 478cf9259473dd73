"""Watches every model's new training rows: one look per connection at a time, whatever the number of models on it.

Edge-triggered. The watermark of each model stands in the asset's state store, so a restarted triggerer goes on where it stopped:
what came meanwhile is counted by its first look, and raised once. The signal is a row before the event wakes anybody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Protocol

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from include.lifecycle.errors import LifecycleError
from include.lifecycle.spec import ModelSpec

_log = logging.getLogger(__name__)
ACTOR = "airflow:new_rows"


class StateStore(Protocol):
    """What the trigger needs of Airflow's asset state store."""

    async def aget(self, key: str, default: Any = None) -> Any:
        """The value under `key`."""

    async def aset(self, key: str, value: Any) -> None:
        """Replace the value under `key`."""


class NewRowsTrigger(BaseEventTrigger):
    """Fire `{"model", "rows", "since", "until"}` once for each time that a model's new rows reach its threshold.

    Without arguments: Airflow tells triggers apart by their arguments, and would start another one for each change.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer builds an equal trigger."""
        return "modelops.triggers.new_rows.NewRowsTrigger", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at every connection each `MODELOPS_NEW_ROWS_POLL`; never returns, since a watcher that ends is started anew."""
        store = self.asset_state_store
        if store is None:
            raise RuntimeError("the triggerer handed over no asset state store; watermarks would not survive a restart")
        found: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        looking = asyncio.create_task(_look_for_ever(store, found))
        try:
            while True:
                waiting = asyncio.create_task(found.get())
                await asyncio.wait({waiting, looking}, return_when=asyncio.FIRST_COMPLETED)
                if looking.done():
                    waiting.cancel()
                    looking.result()
                    return
                yield TriggerEvent(waiting.result())  # type: ignore[no-untyped-call]
        finally:
            looking.cancel()


async def _look_for_ever(store: StateStore, found: asyncio.Queue[dict[str, Any]]) -> None:
    from include.lifecycle.runtime import runtime

    busy: dict[str, asyncio.Task[None]] = {}
    try:
        while True:
            try:
                groups = await asyncio.to_thread(_groups)
            except (LifecycleError, OSError):
                _log.exception("the models could not be read; they are looked at again")
                groups = {}
            for place, specs in groups.items():
                if place not in busy or busy[place].done():  # a slow source delays only itself
                    busy[place] = asyncio.create_task(_look(place, specs, store, found))
            await asyncio.sleep(runtime().settings.new_rows_poll.total_seconds())
    finally:
        for task in busy.values():
            task.cancel()


async def _look(place: str, specs: list[ModelSpec], store: StateStore, found: asyncio.Queue[dict[str, Any]]) -> None:
    """Count once for all models of a connection; whatever goes wrong is logged and tried again at the next look."""
    try:
        marks = {spec.name: await store.aget(_key(spec.name)) for spec in specs}
        raised = await asyncio.to_thread(look_at, specs, marks)
        for event in raised:
            # The mark moves before the event leaves: the row is the fact, an event only wakes, and none may come twice.
            await store.aset(_key(event["model"]), event["until"])
            if event.pop("new"):
                found.put_nowait(event)
    except LifecycleError as problem:
        _log.warning("new rows of %s: %s", place, problem)
    except Exception:  # noqa: BLE001 - a watcher that ends is started anew at once; what nobody foresaw is logged and tried later
        _log.exception("new rows of %s: unexpected error; looked at again", place)


def look_at(specs: list[ModelSpec], marks: dict[str, str | None]) -> list[dict[str, Any]]:
    """Count, and write a signal for each model whose threshold is reached; `new` says whether it was not written before.

    `marks`: the stored watermarks, ISO. A model starts from its newest training's data, or from its watermark if that is later.
    """
    from include.lifecycle.decisions.volume import count_new_rows, raise_volume, threshold_of, trained_until
    from include.lifecycle.runtime import runtime
    from modelops.hooks.database import data_access

    rt = runtime()
    since = trained_until(rt)
    for model in since:
        if text := marks.get(model):
            since[model] = max(since[model], datetime.fromisoformat(text))
    wanted = [spec for spec in specs if spec.name in since]
    if not wanted:
        return []
    by_name, raised = {spec.name: spec for spec in wanted}, []
    for model, rows in count_new_rows(wanted, rt, data_access(wanted[0]), since).items():
        if rows.rows >= (threshold_of(by_name[model]) or 0):
            new = raise_volume(by_name[model], rt, rows, actor=ACTOR)
            times = {"since": rows.since.isoformat(), "until": rows.until.isoformat()}
            raised.append({"model": model, "rows": rows.rows, **times, "new": new})
    return raised


def _groups() -> dict[str, list[ModelSpec]]:
    from include.lifecycle.decisions.volume import by_connection
    from modelops.models import valid_specs

    return by_connection(valid_specs(_log))


def _key(model: str) -> str:
    return f"new-rows-{model}"
