"""Evidently's workspace: a folder of snapshots that `evidently ui` shows, one project per model, the newest ones kept.

Only with `monitoring.workspace: true`. Ids follow from what a snapshot is of, so that a task that runs again doubles nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from include.lifecycle.monitoring.windows import Window

if TYPE_CHECKING:
    from evidently.core.report import Snapshot

FOLDER = "evidently"
"""Name of the workspace's folder below the storage's root."""


def keep_snapshot(root: Path, model: str, version: int, window: Window, snapshot: Snapshot, *, keep: int) -> UUID:
    """Store the snapshot in the workspace below the storage `root`, remove all but the newest `keep` of the model; its id."""
    from evidently.sdk.models import ProjectModel
    from evidently.ui.storage.local.base import LocalState

    workspace = root / FOLDER
    workspace.mkdir(parents=True, exist_ok=True)
    state = LocalState(str(workspace))
    project, number = project_id(model), snapshot_id(model, version, window)
    if not (workspace / str(project)).is_dir():
        state.write_project(ProjectModel(id=project, name=model, description=f"Windows of model {model}"))
    state.write_snapshot(project, number, snapshot.to_snapshot_model())
    for old in sorted(state.list_snapshots(project), key=str, reverse=True)[keep:]:
        (workspace / str(project) / "snapshots" / f"{old}.json").unlink(missing_ok=True)
    return number


def project_id(model: str) -> UUID:
    """The model's project."""
    return UUID(bytes=hashlib.sha256(f"modelops:{model}".encode()).digest()[:16], version=4)


def snapshot_id(model: str, version: int, window: Window) -> UUID:
    """An id in UUID version 7's shape (RFC 9562): milliseconds of the window's start first, so that ids sort by time."""
    stamp = max(round(window.start.timestamp() * 1000), 0).to_bytes(6, "big")
    rest = hashlib.sha256(f"{model}:{version}:{window.end.isoformat()}".encode()).digest()[:10]
    plain = int.from_bytes(stamp + rest, "big")
    return UUID(int=plain & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)
