"""One evaluation as the gates see it: rows, predictions, rivals, the artefact that would serve; costly things are made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from include.lifecycle.evaluation.artefact import Served
from include.lifecycle.evaluation.champion import Demand, Facing
from include.lifecycle.evaluation.identity import Scored
from include.lifecycle.evaluation.importance import Importance, importance_of
from include.lifecycle.evaluation.metrics import objective_metric, task_metrics, trivial_predictions
from include.lifecycle.evaluation.sample import Sample, sample_of
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats
from include.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rivals:
    """Champion and anchor: the faced rival, a sentence why it cannot be faced, or None: there is none. `wanted`: its demands."""

    wanted: Sequence[Demand] = ()
    champion: Facing | str | None = None
    anchor: Facing | str | None = None

    @property
    def facing(self) -> Facing | None:
        """The champion, where it could be faced."""
        return self.champion if isinstance(self.champion, Facing) else None


@dataclass(frozen=True)
class Case:
    """What is judged.

    `served` is None where no artefact is built (judging predictions alone); `timed` holds latency verdicts of an earlier try.
    """

    spec: ModelSpec
    train: pd.DataFrame | None
    holdout: pd.DataFrame
    own: Scored
    prior: Sequence[float]
    rivals: Rivals = Rivals()
    served: Served | None = None
    predict: Callable[[pd.DataFrame], Floats] | None = None
    timed: Sequence[Verdict] = ()

    @cached_property
    def sample(self) -> Sample:
        """The whole hold-out, its blocks and resamples."""
        return sample_of(self.spec, self.holdout)

    @property
    def p(self) -> Floats:
        """The challenger's predictions of the hold-out."""
        return self.own.p

    @cached_property
    def trivial(self) -> Floats:
        """Predictions of a model that learnt nothing."""
        return trivial_predictions(self.spec, self.prior, self.sample.rows)

    @cached_property
    def importance(self) -> Importance | None:
        """Permutation importance, or None where it is switched off or cannot be asked."""
        if self.spec.evaluation.importance.act == "off" or self.predict is None:
            return None
        return importance_of(self.spec, self.predict, self.sample, self.holdout)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The challenger's metrics on the hold-out, the objective's with its bounds (`_lower`, `_upper`)."""
        metric = objective_metric(self.spec)
        bounds = self.sample.value(metric, self.p)
        known = {f"{metric.name}_lower": bounds.lower, f"{metric.name}_upper": bounds.upper} if bounds.known else {}
        return task_metrics(self.spec, self.sample.y, self.p) | known
