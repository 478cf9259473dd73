"""The only mover of aliases (champion, challenger, shadow, previous): plan, ledger `intended`, act, read back, ledger `done`.

Rollout, rollback and registration call it. The plan stands in the ledger before anything moves, so a killed move is finished by
the same call again: what it read the first time counts, not what it half changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, RowMapping, select, text

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError, LifecycleError
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.artefacts import REMOVED_TAG, model_version
from include.lifecycle.registry.client import ALIASES, CHALLENGER, CHAMPION, PREVIOUS, SHADOW, aliases_of, registry_calls
from include.lifecycle.registry.stages import NO_STAGE, STAGE_TAG, check_movement, stage_after
from include.lifecycle.rollout.ways_back.freezing import refuse_frozen
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import ledger

PROMOTION = "promotion"
_LOCK_WAIT = "60s"

Aliases = dict[str, int]
Plan = Callable[[Aliases], Aliases]


def promote(
    rt: Runtime, model: str, version: int, *, reason: str, key: str, actor: str, connection: Connection | None = None
) -> None:
    """Make `version` champion and the old champion `previous`; it gives up `challenger` and `shadow`.

    `key` makes it idempotent: the second call with a key that is done changes nothing. Pass `connection` when its transaction
    holds the model's lock already; otherwise the lock is taken here. Raises SourceUnavailableError (MLflow or database),
    SourceQueryError (no such version), GateFailedError (frozen, or the aliases read back differ from the plan).
    """

    def plan(before: Aliases) -> Aliases:
        with transaction(rt.engine) as own:
            refuse_frozen(own, model, "a promotion")  # only a new one: what was intended before the freeze is finished
        old = before.get(CHAMPION)
        kept = {alias: held for alias, held in before.items() if held != version}
        return kept | {CHAMPION: version} | ({PREVIOUS: old} if old is not None and old != version else {})

    entry = Entry(model=model, kind=PROMOTION, act=f"promote {version}", reason=reason, actor=actor, version_after=version)
    _move(rt, plan, entry, key, connection)


def demote(
    rt: Runtime,
    model: str,
    version: int,
    to_version: int | None,
    *,
    reason: str,
    key: str,
    actor: str,
    connection: Connection | None = None,
) -> None:
    """Roll back: `to_version` becomes champion again (None: the model has no champion then), `version` loses every alias.

    `previous` is cleared, not pointed at the version that just failed. Idempotent by `key`; locking and errors as in `promote`.
    """

    def plan(before: Aliases) -> Aliases:
        others = {alias: held for alias, held in before.items() if alias not in (CHAMPION, PREVIOUS)}
        kept = {alias: held for alias, held in others.items() if held not in (version, to_version)}
        return kept | ({CHAMPION: to_version} if to_version is not None else {})

    act = f"demote {version} to {to_version if to_version is not None else 'no champion'}"
    entry = Entry(
        model=model, kind=PROMOTION, act=act, reason=reason, actor=actor, version_before=version, version_after=to_version
    )
    _move(rt, plan, entry, key, connection)


def nominate(
    rt: Runtime,
    model: str,
    version: int,
    *,
    reason: str,
    key: str,
    actor: str,
    alias: str = CHALLENGER,
    connection: Connection | None = None,
) -> None:
    """Give `version` the alias `challenger` (or `shadow`), taking it from whoever held it. Idempotent by `key`.

    Raises ValueError for any other alias: champions are made by `promote` only.
    """
    if alias not in (CHALLENGER, SHADOW):
        raise ValueError(f"got alias {alias!r}; nominate gives {CHALLENGER} or {SHADOW}")
    act = f"nominate {version} as {alias}"
    entry = Entry(model=model, kind=PROMOTION, act=act, reason=reason, actor=actor, version_after=version)
    _move(rt, lambda before: before | {alias: version}, entry, key, connection)


def withdraw(
    rt: Runtime, model: str, version: int, *, reason: str, key: str, actor: str, connection: Connection | None = None
) -> None:
    """Take `challenger` and `shadow` from `version` (its rollout ended without promotion). Idempotent by `key`."""

    def plan(before: Aliases) -> Aliases:
        return {alias: held for alias, held in before.items() if held != version or alias in (CHAMPION, PREVIOUS)}

    entry = Entry(model=model, kind=PROMOTION, act=f"withdraw {version}", reason=reason, actor=actor, version_before=version)
    _move(rt, plan, entry, key, connection)


def foreign_aliases(rt: Runtime, model: str) -> dict[str, dict[str, int | None]]:
    """Aliases that somebody else moved: {alias: {"expected": version, "found": version}} against the last move of ours.

    While a move of ours is under way, what it is about to set is no surprise. Empty when all is as we left it.
    """
    found = aliases_of(rt, model)
    last = last_move(rt, model)
    expected = _after(last) if last else {}
    pending = _after(running) if (running := _unfinished(rt, model, last)) else expected
    odd = [alias for alias in ALIASES if found.get(alias) not in (expected.get(alias), pending.get(alias))]
    return {alias: {"expected": expected.get(alias), "found": found.get(alias)} for alias in odd}


def last_move(rt: Runtime, model: str) -> RowMapping | None:
    """The ledger's newest finished move of this model's aliases; its evidence holds `aliases_before` and `aliases_after`."""
    return next((row for row in moves(rt, model) if row["phase"] == "done"), None)


def moves(rt: Runtime, model: str) -> list[RowMapping]:
    """All ledger rows about this model's aliases, newest first."""
    query = select(ledger).where(ledger.c.model == model, ledger.c.kind == PROMOTION).order_by(ledger.c.id.desc())
    with transaction(rt.engine) as connection:
        return list(connection.execute(query).mappings())


def _unfinished(rt: Runtime, model: str, last: RowMapping | None) -> RowMapping | None:
    """The newest intention after the last finished move, which may still be under way."""
    since = last["id"] if last else 0
    return next((row for row in moves(rt, model) if row["phase"] == "intended" and row["id"] > since), None)


def _after(row: RowMapping) -> Aliases:
    return {alias: int(version) for alias, version in row["evidence"]["aliases_after"].items()}


def _move(rt: Runtime, plan: Plan, entry: Entry, key: str, connection: Connection | None) -> None:
    """One move, under the model's lock, finished or failed in the ledger."""
    with _locked(rt, entry.model, connection):
        history = moves(rt, entry.model)
        mine = {row["phase"]: row for row in history if row["idempotency_key"] == key}
        if "done" in mine:
            return
        if "intended" in mine:
            _refuse_overtaken(mine["intended"], history)
            intended = entry.model_copy(update=_kept(mine["intended"]))
        else:
            intended = _intend(rt, plan, entry, key)
        _act(rt, intended)


def _refuse_overtaken(intended: RowMapping, history: list[RowMapping]) -> None:
    """A move that was planned before another one finished would undo that one."""
    newer = next((row for row in history if row["phase"] == "done" and row["id"] > intended["id"]), None)
    if newer is not None:
        raise GateFailedError(
            f"{intended['model']}: `{intended['act']}` was planned before `{newer['act']}` (ledger {newer['id']}) was done; "
            "it is not taken up again, ask for it anew"
        )


def _kept(row: RowMapping) -> dict[str, Any]:
    return {name: row[name] for name in ("version_before", "version_after", "idempotency_key", "evidence")}


def _intend(rt: Runtime, plan: Plan, entry: Entry, key: str) -> Entry:
    before = aliases_of(rt, entry.model)
    after = plan(before)
    for version in set(after.values()) - set(before.values()):
        found = model_version(rt, entry.model, version)  # a version that does not exist is refused before anything moves
        if removed := found.tags.get(REMOVED_TAG):
            raise GateFailedError(f"{entry.model}: retention removed the files of version {version} at {removed}; train it again")
    evidence: dict[str, Any] = {"aliases_before": before, "aliases_after": after}
    if foreign := foreign_aliases(rt, entry.model):
        evidence["foreign"] = foreign  # the move starts from what is really there; who moved it is for the alert to say
    known = entry.version_before if entry.version_before is not None else before.get(CHAMPION)
    intended = entry.model_copy(
        update={"idempotency_key": key, "evidence": evidence, "version_before": known, "phase": "intended"}
    )
    rt.ledger.write(intended)
    return intended


def _act(rt: Runtime, intended: Entry) -> None:
    before, after = intended.evidence["aliases_before"], intended.evidence["aliases_after"]
    try:
        _set_aliases(rt, intended.model, after)
        moved = _set_stages(rt, intended.model, set(before.values()) | set(after.values()), after)
        found = aliases_of(rt, intended.model)
        if found != after:
            raise GateFailedError(f"{intended.model}: after `{intended.act}` the aliases are {found}; intended were {after}")
    except LifecycleError as problem:
        rt.ledger.write(intended.model_copy(update={"phase": "failed", "evidence": intended.evidence | {"error": str(problem)}}))
        raise
    rt.ledger.write(intended.model_copy(update={"phase": "done", "evidence": intended.evidence | {"stages": moved}}))


def _set_aliases(rt: Runtime, model: str, after: Aliases) -> None:
    """`previous` first and `champion` next: a reader in between finds an old champion, never none."""
    now = aliases_of(rt, model)
    with registry_calls(rt, f"moving the aliases of {model}") as client:
        for alias in (PREVIOUS, CHAMPION, CHALLENGER, SHADOW):
            if alias in after and now.get(alias) != after[alias]:
                client.set_registered_model_alias(model, alias, str(after[alias]))
        for alias in set(now) - set(after):
            client.delete_registered_model_alias(model, alias)


def _set_stages(rt: Runtime, model: str, versions: set[int], after: Aliases) -> dict[str, list[str]]:
    """Move the stage tags of `versions` after their aliases; returns {version: [from, to]} of those that moved."""
    moved: dict[str, list[str]] = {}
    with registry_calls(rt, f"tagging the versions of {model}") as client:
        for version in sorted(versions):
            before = str(client.get_model_version(model, str(version)).tags.get(STAGE_TAG, NO_STAGE))
            stage = stage_after(after, version, before)
            check_movement(model, version, before, stage)
            if stage != before:
                moved[str(version)] = [before, stage]
            client.set_model_version_tag(model, str(version), STAGE_TAG, stage)
    return moved


@contextmanager
def _locked(rt: Runtime, model: str, connection: Connection | None) -> Iterator[None]:
    """The model's lock: the caller's, or one of our own that gives up after a minute (retryable) instead of waiting for ever."""
    if connection is not None:
        yield
        return
    with transaction(rt.engine) as own:
        own.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
        lock_model(own, model)
        yield
