"""Replay: make a registered version again from its record and its snapshot, and compare the metrics with the recorded ones.

Nothing is registered and no alias moves. The command `replay` and the Dag `replay` come here; docs/replay.md says what counts.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from include.lifecycle.data.preparation import prepare_data
from include.lifecycle.data.snapshot import restore_snapshot
from include.lifecycle.data.transformer import source_path
from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.evaluation.metrics import task_metrics
from include.lifecycle.evaluation.sample import rows_digest
from include.lifecycle.ledger import Entry
from include.lifecycle.loading import EVERY_COLUMN, defaults_tree
from include.lifecycle.origins import plain
from include.lifecycle.registry.artefacts import SERVING_FOLDER, fetch_version
from include.lifecycle.registry.record import VersionRecord, environment, read_record
from include.lifecycle.registry.replay_report import ReplayReport, differing, judge
from include.lifecycle.registry.replay_training import Refit, refit
from include.lifecycle.registry.scoring import fitted_scores
from include.lifecycle.results import FetchedData, PreparedData
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import Storage
from include.lifecycle.training.pipelines import labels_of
from include.serving.transformer import TRANSFORMER_FILE
from include.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

EVALUATION = "evaluation/evaluation.json"
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Replay:
    """What to replay and how: with the recorded parameters, or (`tune`) by running the study again with the same seeds."""

    model: str
    version: int
    tune: bool = False
    tolerance: float = TOLERANCE


def replay_version(rt: Runtime, run: RunContext, asked: Replay) -> ReplayReport:
    """Rebuild the version in a folder of its own, compare, write the report and one ledger entry.

    Raises:
        ArtefactDigestError: a file of the version or its snapshot is missing or damaged, or the version has no record.
        SpecInvalidError: the recorded settings are not understood any more, or cannot be replayed as asked.
        SourceUnavailableError: MLflow, the snapshot remote or the database did not answer.
    """
    started = time.monotonic()
    with TemporaryDirectory(prefix="modelops-replay-") as name:
        own = replace(rt, storage=Storage(Path(name) / "data"))
        root = fetch_version(rt, asked.model, asked.version, Path(name) / "version")
        record = read_record(root)
        spec = recorded_spec(record, rt.settings)
        prepared = _prepared(rt, own, run, record, spec, root)
        made = refit(spec, own, run, record, prepared, tune=asked.tune)
        recorded = json.loads((root / EVALUATION).read_text(encoding="utf-8"))["evaluation"]["metrics"]
        report = _compared(rt, asked, spec, record, prepared, made, recorded)
    report = report.model_copy(update={"seconds": time.monotonic() - started})
    written = report.write(rt.storage.reports(asked.model))
    _note(rt, run, report, written)
    return report


def recorded_spec(record: VersionRecord, settings: Settings) -> ModelSpec:
    """The effective spec that the version was made by; keys that are newer than the version get today's defaults."""
    from pydantic import ValidationError

    defaults = plain(defaults_tree(settings))
    every = defaults.get("columns", {}).pop(EVERY_COLUMN, {})
    columns = {name: {**every, **told} for name, told in record.spec.get("columns", {}).items()}
    try:
        return ModelSpec.model_validate(_over(defaults, record.spec | {"columns": columns}))
    except ValidationError as problem:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problem.errors()[:5])
        raise SpecInvalidError(f"model {record.model}, settings recorded with run {record.run_id}: {said}") from problem


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, section by section."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _over(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def _prepared(rt: Runtime, own: Runtime, run: RunContext, record: VersionRecord, spec: ModelSpec, root: Path) -> PreparedData:
    """The very rows of then, split by the same rule."""
    import pyarrow.parquet

    target = own.storage.stage(spec.name, run.run_id, "restore") / "data.parquet"
    restore_snapshot(rt, spec.name, (root / "snapshot.dvc").read_text(encoding="utf-8"), target)
    held = pyarrow.parquet.ParquetFile(target)
    rows, columns = held.metadata.num_rows, list(held.schema_arrow.names)
    fetched = FetchedData(path=target, rows=rows, rows_in_window=rows, columns=columns, seconds=0.0)
    recorded = replace(own, settings=replace(own.settings, home=_recorded_home(own, spec, root)))
    return prepare_data(spec, recorded, replace(run, task="prepare_data"), record.order, fetched)


def _recorded_home(own: Runtime, spec: ModelSpec, root: Path) -> Path:
    """A project folder that holds the version's own copy of its feature code where prepare_data looks for it."""
    home = own.storage.root / "home"
    copy = root / SERVING_FOLDER / TRANSFORMER_FILE
    if spec.features.transformer and copy.is_file():
        target = source_path(spec, home)
        target.parent.mkdir(parents=True)
        shutil.copyfile(copy, target)
    return home


def _compared(
    rt: Runtime,
    asked: Replay,
    spec: ModelSpec,
    record: VersionRecord,
    prepared: PreparedData,
    made: Refit,
    recorded: dict[str, float],
) -> ReplayReport:
    import pandas as pd

    holdout = pd.read_parquet(prepared.holdout)
    labels = labels_of(spec, holdout).astype(float)
    found = task_metrics(spec, labels, fitted_scores(made.pipeline, spec.features, holdout))
    metrics = {name: (float(recorded[name]), value) for name, value in found.items() if name in recorded}
    data = differing(*_data_facts(spec, record, prepared, holdout))
    chosen = differing({"algorithm": record.algorithm, **record.params}, {"algorithm": made.algorithm, **made.params})
    other = differing(record.environment, environment(rt.settings))
    other |= {name: pair for name, pair in made.facts.items() if pair[0] != pair[1]}
    outcome, reason = judge(asked.tolerance, metrics, data, chosen, other)
    return ReplayReport(
        model=asked.model,
        version=asked.version,
        at=rt.clock.now(),
        outcome=outcome,
        reason=reason,
        tuned=asked.tune,
        tolerance=asked.tolerance,
        metrics=metrics,
        data=data,
        chosen=chosen,
        environment=other,
    )


def _data_facts(
    spec: ModelSpec, record: VersionRecord, prepared: PreparedData, holdout: pd.DataFrame
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the split was then and is now: rows on both sides, their bounds in time, the hold-out's rows."""
    now = prepared.model_dump(mode="json", exclude={"train", "holdout"}) | {"holdout_digest": rows_digest(spec, holdout)}
    names = [name for name in record.data if name in now]
    return {name: record.data[name] for name in names}, {name: now[name] for name in names}


def _note(rt: Runtime, run: RunContext, report: ReplayReport, written: Path) -> None:
    rt.ledger.write(
        Entry(
            model=report.model,
            kind="replay",
            act=f"replay {report.version}",
            reason=report.reason,
            actor=run.actor,
            verdict=report.outcome,
            version_before=report.version,
            run_id=run.run_id,
            idempotency_key=f"replay:{report.model}:{report.version}:{run.run_id}",
            evidence=report.model_dump(mode="json", exclude={"model", "version"}) | {"report": str(written)},
        )
    )
