"""What every stage is handed besides its inputs: clock, storage, database, ledger. Built once per process from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Engine

from include.lifecycle.clock import Clock, FileClock, SystemClock
from include.lifecycle.database import engine_for
from include.lifecycle.ledger import Ledger
from include.lifecycle.storage import Storage
from include.settings import Settings, settings


@dataclass(frozen=True)
class Runtime:
    """The outside world of the lifecycle, injectable in tests."""

    settings: Settings
    clock: Clock
    storage: Storage
    engine: Engine
    ledger: Ledger


@dataclass(frozen=True)
class RunContext:
    """Which Airflow task (or, by `by`, which command) this is: names the stage folder, the ledger's `run_id` and the actor."""

    model: str
    run_id: str
    task: str
    try_number: int = 1
    by: str = "airflow"

    def folder(self, storage: Storage) -> Path:
        """Folder of this task's outputs."""
        return storage.stage(self.model, self.run_id, self.task)

    @property
    def actor(self) -> str:
        """Name under which this task writes into the ledger."""
        return f"{self.by}:{self.task}"


def build_runtime(configured: Settings, clock: Clock | None = None) -> Runtime:
    """Assemble a Runtime; nothing is connected before first use."""
    chosen: Clock = clock or (FileClock(configured.clock_file) if configured.clock_file else SystemClock())
    engine = engine_for(configured.database_url, configured.passfile)
    return Runtime(configured, chosen, Storage(configured.storage), engine, Ledger(engine, chosen))


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """The process's runtime."""
    return build_runtime(settings())
