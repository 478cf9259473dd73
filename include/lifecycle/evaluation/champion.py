"""The comparison with the champion: its served artefact, scored on the very rows on which the challenger is scored.

Rows count only after both models' `fit_until`. What the challenger must show depends on why it was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.evaluation.gates import CHAMPION, comparison_gate
from include.lifecycle.evaluation.identity import Scored, Scorer, assert_same_rows, engine_scorer, scored_rows
from include.lifecycle.evaluation.metrics import Metric, metric_of_measure, objective_metric
from include.lifecycle.evaluation.sample import Sample, sample_of
from include.lifecycle.registry.artefacts import materialise_version, model_version
from include.lifecycle.registry.scoring import served_engine
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats
from include.lifecycle.verdicts import Verdict
from include.serving.engines import Engine
from include.serving.version_folder import ServingSpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Champion:
    """The champion as it is served, and what its version's tags say."""

    version: int
    fit_until: datetime
    algorithm: str
    manifest_digest: str
    engine: Engine
    serving: ServingSpec

    @property
    def features(self) -> set[str]:
        """Names of the columns that a request to it holds."""
        return {column.name for column in self.serving.inputs}

    @property
    def model_features(self) -> set[str]:
        """Names of the columns that its model reads: those that its transformer makes, where it has one."""
        return {column.name for column in self.serving.model_columns}


@dataclass(frozen=True)
class Demand:
    """What the challenger must show: `metric` better (margin None) or not worse by `margin`, and why."""

    metric: Metric
    margin: float | None
    why: str


@dataclass(frozen=True)
class Facing:
    """Challenger and one rival on the same rows after both fits: table, sample, predictions of both, the rival's version."""

    rows: pd.DataFrame
    sample: Sample
    new: Floats
    old: Floats
    version: int
    evidence: dict[str, Any]


def load_champion(rt: Runtime, model: str, version: int) -> Champion:
    """Fetch, verify and load the champion. ArtefactDigestError when its files or its `fit_until` are not what was registered."""
    folder, digest = materialise_version(rt, model, version)
    tags = model_version(rt, model, version).tags
    try:
        fit_until = datetime.fromisoformat(tags["fit_until"])
    except (KeyError, ValueError) as problem:
        raise ArtefactDigestError(f"version {version} of {model} has no readable tag fit_until: {problem!r}") from problem
    engine, serving = served_engine(folder)
    return Champion(version, fit_until, tags.get("algorithm", ""), digest, engine, serving)


def demands(spec: ModelSpec, order: TrainingOrder, algorithm: str, champion: Champion) -> list[Demand]:
    """The demands on a challenger: better where a decay was found or something changed, else not worse by the margin."""
    objective, margin = objective_metric(spec), spec.evaluation.margin
    if (measure := decayed_measure(order)) is not None:
        answered = metric_of_measure(measure, spec)
        better = Demand(answered, None, f"trained because of decay in {measure or objective.name}")
        keep = [Demand(objective, margin, "the objective must not pay for it")] if answered.name != objective.name else []
        return [better, *keep]
    changes = {
        "evaluation.promote_if is better": spec.evaluation.promote_if == "better",
        f"the algorithm changed from {champion.algorithm} to {algorithm}": algorithm != champion.algorithm,
        "the features changed": champion.model_features != set(spec.features.all) or champion.features != set(spec.features.read),
    }
    why = next((reason for reason, changed in changes.items() if changed), None)
    return [Demand(objective, None, why)] if why else [Demand(objective, margin, "same features and algorithm, no decay")]


def decayed_measure(order: TrainingOrder) -> str | None:
    """What decayed, from the order's cause (`kind` and `measure`, or the text `decay:<measure>`); None when nothing did."""
    named_kind, _, named_measure = str(order.cause.get("cause") or "").partition(":")
    if "decay" not in (order.cause.get("kind"), named_kind):
        return None
    return str(order.cause.get("measure") or named_measure)


def cannot_be_scored(spec: ModelSpec, rival: Champion, frame: pd.DataFrame) -> str | None:
    """Why the rival says nothing comparable of the table (another task, other classes, a vanished column), or None."""
    task, classes = rival.serving.task, [str(name) for name in rival.serving.classes]
    if task != spec.objective.task:
        return f"version {rival.version} cannot be compared: it is a {task}, the model is now a {spec.objective.task}"
    if spec.objective.classes and classes != spec.objective.classes:
        now = ", ".join(spec.objective.classes)
        return (
            f"version {rival.version} cannot be compared: its classes are {', '.join(classes)}, objective.classes are now {now}"
        )
    missing = sorted(rival.features - set(frame.columns))
    return f"version {rival.version} cannot be scored: the data no longer has {', '.join(missing)}" if missing else None


def face(
    spec: ModelSpec,
    rival: Champion,
    frame: pd.DataFrame,
    own: Scored,
    fit_until: datetime,
    scorer: Scorer | None = None,
    *,
    role: str = CHAMPION,
) -> Facing:
    """Score the rival (by `scorer`, else by its served engine) on the rows of `frame` after both fits.

    Each side's digest is made of the rows that it scored, in its order; LifecycleError when they differ.
    """
    after = max(fit_until, rival.fit_until)
    rows = frame[(frame[spec.data.event_time] > after).to_numpy()]
    old = scored_rows(spec, scorer or engine_scorer(rival.engine, rival.serving), rows)
    new, sample = own.after(spec, after), sample_of(spec, rows)
    sides = {"challenger": new, role: old}
    digests = {name: (side.digest(spec), len(side.p)) for name, side in sides.items()}
    assert_same_rows(spec.name, {"sample": (sample.digest, sample.rows), **digests})
    evidence = {
        "after": after.isoformat(),
        f"{role}_manifest": rival.manifest_digest,
        "digests": {name: digest for name, (digest, _) in digests.items()},
    }
    return Facing(rows, sample, new.p, old.p, rival.version, evidence)


def judge_against(facing: Facing, wanted: Sequence[Demand], role: str = CHAMPION) -> list[Verdict]:
    """One verdict per demand on the rows that both scored."""
    verdicts = [
        comparison_gate(
            demand.metric,
            facing.sample,
            facing.new,
            facing.old,
            margin=demand.margin,
            why=demand.why,
            champion=facing.version,
            role=role,
        )
        for demand in wanted
    ]
    return [verdict.model_copy(update={"evidence": verdict.evidence | facing.evidence}) for verdict in verdicts]


def proven_better(spec: ModelSpec, facing: Facing | None) -> bool:
    """Whether the challenger's gain in the objective lies above 0; True without a champion: the first version is the anchor."""
    if facing is None:
        return True
    if facing.sample.shortage:
        return False
    gain = facing.sample.gain(objective_metric(spec), facing.new, facing.old)
    return gain.known and gain.lower > 0
