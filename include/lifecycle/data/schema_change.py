"""Differences of this run's data from the model's last accepted training data, by their profiles. Pure.

A change warns or fails as `data.schema_change.then` says; the first training has nothing to be compared with.
"""

from __future__ import annotations

from collections.abc import Iterator

from include.lifecycle.data.data_profile import ColumnProfile, DataProfile
from include.lifecycle.data.findings import SHOWN, Finding
from include.lifecycle.sections.data_checks import SchemaChangeSection
from include.lifecycle.verdicts import Outcome

EXPECTED_ROWS = 10
"""A category counts as new or vanished only if so many rows of it were to be expected on the other side: by Poisson's law
none at all would come by chance with probability exp(-10), 5 in 100,000."""


def change_findings(now: DataProfile, before: DataProfile | None, rule: SchemaChangeSection) -> list[Finding]:
    """One finding per kind of change of the columns, then one per feature; all of them warnings unless `rule.then` is fail."""
    if rule.then == "ignore":
        return []
    warning = rule.then == "warn"
    if before is None:
        return [_finding("schema_change", None, [], "no earlier training data", warning)]
    against = f"since the data of run {before.run_id}"
    added = [name for name in now.columns if name not in before.columns]
    removed = [name for name in before.columns if name not in now.columns]
    shared = [name for name in now.columns if name in before.columns]
    retyped = [name for name in shared if now.columns[name].kind != before.columns[name].kind]
    kinds = [f"{name}: {before.columns[name].kind} became {now.columns[name].kind}" for name in retyped]
    found = [
        _finding("columns_added", None, added, against, warning),
        _finding("columns_removed", None, removed, against, warning),
        _finding("columns_retyped", None, kinds, against, warning),
    ]
    for name in shared:
        if name not in retyped:
            found.extend(_column(name, now.columns[name], before.columns[name], rule, against))
    return found


def _column(name: str, now: ColumnProfile, before: ColumnProfile, rule: SchemaChangeSection, against: str) -> Iterator[Finding]:
    warning = rule.then == "warn"
    if now.size is not None and before.size is not None:
        ratio = now.size / before.size
        jumped = ratio > rule.unit_jump or ratio < 1 / rule.unit_jump
        detail = f"median size {before.size:g} became {now.size:g}, a ratio of {ratio:.3g}; allowed {rule.unit_jump:g} {against}"
        yield _finding("unit_same", name, [f"{ratio:.3g}"] if jumped else [], detail, warning)
    if now.categories is not None and before.categories is not None:
        yield _finding("categories_new", name, _only_in(now, before, rule.category_share), against, warning)
        yield _finding("categories_vanished", name, _only_in(before, now, rule.category_share), against, warning)


def _only_in(one: ColumnProfile, other: ColumnProfile, share: float) -> list[str]:
    """Categories of `one` that `other` lacks, although they are common in `one` and `other` has rows enough to show them."""
    if not one.values or one.categories is None or other.categories is None:
        return []
    shares = {name: count / one.values for name, count in one.categories.items() if name not in other.categories}
    common = [name for name, own in shares.items() if own >= share and own * other.values >= EXPECTED_ROWS]
    return sorted(common, key=lambda name: -shares[name])


def _finding(check: str, column: str | None, changed: list[str], detail: str, warning: bool) -> Finding:
    outcome = Outcome.FAIL if changed else Outcome.PASS
    more = f"; {len(changed)} in all" if len(changed) > SHOWN else ""
    return Finding(check=check, column=column, outcome=outcome, warning=warning, examples=changed[:SHOWN], detail=detail + more)
