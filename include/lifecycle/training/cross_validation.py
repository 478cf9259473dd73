"""Which folds score a trial (`training.folding`), and a hold-out that shares no group with the training rows.

Tuning and prepare_data use it. Forward-chaining folds stand in folds.py; the shuffled kinds know no time and say so in the YAML.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.data.targets import Labels, labels_of
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.folds import Fold, Rows, forward_folds

if TYPE_CHECKING:
    import pandas as pd


def folds_of(spec: ModelSpec, rows: pd.DataFrame) -> list[Fold]:
    """The folds over `rows` on which a trial can learn and be scored; a classification needs two classes,
    all of them on both sides.

    Raises:
        DataInvalidError: no fold is left; the message says of what kind and why.
    """
    labels = labels_of(spec, rows)
    where = f"model {spec.name}, training.folds {spec.training.folds} ({spec.training.folding.kind})"
    try:
        found = _cut(spec, rows, labels)
    except DataInvalidError as problem:
        raise DataInvalidError(f"{where}: {problem}") from None
    if spec.objective.task == "regression":
        return found
    usable = [fold for fold in found if len(_classes(labels, fold.validation)) > 1 and _knows(labels, fold)]
    if not usable:
        named = "both classes" if spec.objective.task == "binary_classification" else "two classes"
        raise DataInvalidError(f"{where}: none of {len(found)} folds holds {named} on both sides ({len(rows)} rows)")
    return usable


def disjoint_groups(spec: ModelSpec, train: pd.DataFrame, holdout: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and hold-out rows without a group in common, where folds are grouped; else both as they are.

    The split itself stays one by time. A group on both sides goes to one of them by a hash of its name: half of such groups keep
    their older rows in training and lose the newer ones, half keep the newer ones in the hold-out. So a model of groups that
    come back every time (a panel) is judged on groups that it never saw, and groups that come and go lose next to nothing.
    """
    column = spec.training.folding.group_by
    if column is None:
        return train, holdout
    old, new = train[column].astype(str), holdout[column].astype(str)
    shared = set(old.unique()) & set(new.unique())
    judged = {name for name in shared if _is_judged(name)}
    return train[~old.isin(judged)], holdout[~new.isin(shared - judged)]


def _is_judged(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 0


def _cut(spec: ModelSpec, rows: pd.DataFrame, labels: Labels) -> list[Fold]:
    said, folds = spec.training.folding, spec.training.folds
    if said.kind == "forward":
        times = rows[spec.data.event_time].dt.tz_convert(None).to_numpy(dtype="datetime64[us]")
        return forward_folds(times, folds, spec.labels.mature_after if said.gap is None else said.gap)
    if len(rows) < folds:
        raise DataInvalidError(f"{len(rows)} rows leave no {folds} folds")
    if said.kind == "group":
        return _group_folds(rows, str(said.group_by), folds)
    return _shuffled_folds(labels, folds, spec.training.seed, stratified=said.kind == "stratified")


def _group_folds(rows: pd.DataFrame, column: str, folds: int) -> list[Fold]:
    """Folds of about equal row counts; all rows of a group are in one of them. Rows without a group are one group."""
    from sklearn.model_selection import GroupKFold

    groups = rows[column].astype(str).to_numpy(dtype=object)
    there = len(set(groups))
    if there < 2:
        raise DataInvalidError(f"column {column!r} holds {there} group; two folds need two")
    splitter = GroupKFold(min(folds, there))
    return [Fold(train, validation) for train, validation in splitter.split(groups, groups=groups)]


def _shuffled_folds(labels: Labels, folds: int, seed: int, *, stratified: bool) -> list[Fold]:
    from sklearn.model_selection import KFold, StratifiedKFold

    if not stratified:
        return [Fold(*sides) for sides in KFold(folds, shuffle=True, random_state=seed).split(labels)]
    most = int(np.unique(labels, return_counts=True)[1].max())  # scikit-learn refuses more folds than that
    if most < 2:
        raise DataInvalidError("no class has two rows")
    splitter = StratifiedKFold(min(folds, most), shuffle=True, random_state=seed)
    return [Fold(*sides) for sides in splitter.split(labels, labels)]


def _classes(labels: Labels, rows: Rows) -> set[float]:
    return set(np.unique(labels[rows]).tolist())


def _knows(labels: Labels, fold: Fold) -> bool:
    """Whether training saw every class that the fold's scores ask for: else they would compare trials by what none can know."""
    return _classes(labels, fold.validation) <= _classes(labels, fold.train)
