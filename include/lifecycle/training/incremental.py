"""Method incremental: the champion learns on from rows newer than its fit; its prepared columns stay as they are.

- random_forest: new trees are grown on the new rows and vote with the old ones (`warm_start`); beyond `most_trees` the
  oldest go.
- lightgbm: boosting continues on the new rows from the champion's predictions (`init_model`).
Others cannot: scikit-learn's hist gradient boosting bins the columns anew and would read its old trees by the wrong bins; the
linear ones solve for the rows that they are given and forget the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.data.targets import labels_of
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.champion import fitted_pipeline, training_record
from include.lifecycle.training.pipelines import feature_table
from include.lifecycle.training.way import base_fit_until

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class LearntOn:
    """The champion with what it learnt in addition, its algorithm and parameters, and how many rows were new."""

    pipeline: Pipeline
    algorithm: str
    params: dict[str, Any]
    rows: int


def learn_on(spec: ModelSpec, rt: Runtime, version: int, rows: pd.DataFrame) -> LearntOn:
    """Add to version `version` what the rows newer than its fit say.

    Raises:
        DataInvalidError: a class is missing among the new rows, or the version has no record of its training.
        ArtefactDigestError: the version's pipeline is not what was registered.
    """
    record = training_record(rt, spec.name, version)
    if record is None:
        raise DataInvalidError(f"model {spec.name}: version {version} was stored without what it was trained with")
    pipeline = fitted_pipeline(rt, spec.name, version)
    new = rows[rows[spec.data.event_time] > base_fit_until(rt, spec.name, version)]
    labels = labels_of(spec, new)
    classes = getattr(pipeline[-1], "classes_", None)
    if classes is not None and (missing := sorted(set(np.asarray(classes).tolist()) - set(labels.tolist()))):
        raise DataInvalidError(
            f"model {spec.name}: the {len(new)} rows since version {version} hold no row of class {missing[0]}; "
            "method incremental needs every class"
        )
    add_to(spec, pipeline, new, labels)
    return LearntOn(pipeline, str(record["algorithm"]), dict(record["params"]), len(new))


def add_to(spec: ModelSpec, pipeline: Pipeline, rows: pd.DataFrame, labels: Any) -> None:
    """Let the fitted pipeline's estimator learn `rows` in addition, in place; its columns are prepared as they were."""
    prepared = pipeline[:-1].transform(feature_table(spec.features, rows))
    model, said = pipeline[-1], spec.training.incremental
    if hasattr(model, "booster_"):
        _boost_on(model, prepared, labels, said.new_trees)
        return
    total = len(model.estimators_) + said.new_trees
    model.set_params(warm_start=True, n_estimators=total).fit(prepared, labels)
    model.estimators_ = model.estimators_[-said.most_trees :]
    model.set_params(warm_start=False, n_estimators=len(model.estimators_))


def _boost_on(model: Any, prepared: Any, labels: Any, new_trees: int) -> None:
    from lightgbm import Booster

    model.set_params(n_estimators=new_trees).fit(prepared, labels, init_model=model.booster_)
    # the fitted booster keeps the predictor that it began with; read anew from its own text it holds all trees and nothing else
    model._Booster = Booster(model_str=model.booster_.model_to_string())
    model.set_params(n_estimators=model.booster_.current_iteration())


def trees_of(estimator: Any) -> int | None:
    """How many trees a fitted forest holds, or rounds of boosting LightGBM went; None for other models."""
    if hasattr(estimator, "booster_"):
        return int(estimator.booster_.current_iteration())
    trees = getattr(estimator, "estimators_", None)
    return None if trees is None else len(trees)
