"""The comparison with the champion: its served artefact, scored on the very rows on which the challenger is scored.

Rows count only after both models' `fit_until`. What the challenger must show depends on why it was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.errors import ArtefactDigestError, LifecycleError
from include.lifecycle.evaluation.gates import CHAMPION, comparison_gate
from include.lifecycle.evaluation.metrics import Metric, binary_metrics, metric_of_measure, objective_metric
from include.lifecycle.evaluation.sample import rows_digest, sample_of
from include.lifecycle.registry.artefacts import materialise_version, model_version
from include.lifecycle.registry.scoring import score, served_engine
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats
from include.lifecycle.verdicts import Outcome, Verdict
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
        """Names of the columns that it reads."""
        return {column.name for column in self.serving.inputs}


@dataclass(frozen=True)
class Demand:
    """What the challenger must show: `metric` better (margin None) or not worse by `margin`, and why."""

    metric: Metric
    margin: float | None
    why: str


@dataclass(frozen=True)
class Comparison:
    """Verdicts of the comparison and the champion's metrics on the compared rows (None when it could not be scored)."""

    verdicts: list[Verdict]
    metrics: dict[str, float] | None


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
        "the features changed": champion.features != set(spec.features.all),
    }
    why = next((reason for reason, changed in changes.items() if changed), None)
    return [Demand(objective, None, why)] if why else [Demand(objective, margin, "same features and algorithm, no decay")]


def decayed_measure(order: TrainingOrder) -> str | None:
    """What decayed, from the order's cause (`kind` and `measure`, or the text `decay:<measure>`); None when nothing did."""
    named_kind, _, named_measure = str(order.cause.get("cause") or "").partition(":")
    if "decay" not in (order.cause.get("kind"), named_kind):
        return None
    return str(order.cause.get("measure") or named_measure)


def compare(
    spec: ModelSpec, champion: Champion, frame: pd.DataFrame, p: Floats, fit_until: datetime, wanted: list[Demand]
) -> Comparison:
    """Judge challenger predictions p (n,) of `frame` against the champion on the rows after both fits."""
    if missing := sorted(champion.features - set(frame.columns)):
        reason = f"version {champion.version} cannot be scored: the data no longer has {', '.join(missing)}"
        unknown = Verdict(
            check=CHAMPION, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"champion_version": champion.version}
        )
        return Comparison([unknown], None)
    after = max(fit_until, champion.fit_until)
    common = (frame[spec.data.event_time] > after).to_numpy()
    rows, new = frame[common], p[common]
    sample = sample_of(spec, rows)
    old = score(champion.engine, champion.serving, rows)
    _same_rows(spec.name, sample.digest, rows_digest(spec, rows), len(new), len(old))
    verdicts = [
        comparison_gate(demand.metric, sample, new, old, margin=demand.margin, why=demand.why, champion=champion.version)
        for demand in wanted
    ]
    extra: dict[str, Any] = {"after": after.isoformat(), "champion_manifest": champion.manifest_digest}
    metrics = binary_metrics(sample.y, old, spec.objective.threshold) if len(np.unique(sample.y)) == 2 else None
    return Comparison([verdict.model_copy(update={"evidence": verdict.evidence | extra}) for verdict in verdicts], metrics)


def _same_rows(model: str, new_digest: str, old_digest: str, new_rows: int, old_rows: int) -> None:
    if (new_digest, new_rows) != (old_digest, old_rows):
        raise LifecycleError(
            f"{model}: challenger and champion were scored on different rows ({new_rows}, {old_rows}; {new_digest}, {old_digest})"
        )
