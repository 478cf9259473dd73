"""Stage retire_versions: archive versions that nobody needs, prove that nothing serves them, remove files that nothing protects.

It carries out the plan of retention.py, one version at a time under the model's lock; run again, it finishes what was begun.
Metadata (tags, metrics, evaluation, record, card, profile) always stays.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.artefacts import MANIFEST_TAG, REMOVED_TAG, model_version
from include.lifecycle.registry.client import registry_calls
from include.lifecycle.registry.promotion import moves
from include.lifecycle.registry.retention import (
    PIN_TAG,
    REGISTRY_FILES,
    RETIRED_TAG,
    SERVED_COPY,
    VersionPlan,
    plan_retention,
)
from include.lifecycle.registry.stages import ARCHIVED, STAGE_TAG, check_movement
from include.lifecycle.registry.usage import released_at
from include.lifecycle.results import Retirement
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.units import format_duration

if TYPE_CHECKING:
    from include.lifecycle.rollout.targets.base import Target

# What takes space; MLmodel, signature, record, evaluation, card, profile, golden requests and all digests stay.
_MODEL_FILES = ("model.skops", "training/model.skops", "serving/model.onnx", "serving/model.skops", "exports/model.int8.onnx")


def retire_versions(spec: ModelSpec, rt: Runtime, run: RunContext, *, target: Target | None = None) -> Retirement:
    """Retire every version that may go; the others stay with a reason each. Run again, it finishes what was begun.

    Raises:
        SourceUnavailableError: MLflow, the database or the servers' supervisor did not answer.
        GateFailedError: a version was still served after its server was stopped.
    """
    if target is None:
        from include.lifecycle.rollout.targets.embedded import EmbeddedTarget

        target = EmbeddedTarget(rt)
    with transaction(rt.engine) as connection:
        plans = plan_retention(spec, rt, connection)
    kept = {str(plan.version): plan.in_use for plan in plans if plan.in_use and not plan.archived}
    retired = []
    for version in [plan.version for plan in plans if plan.decision != "keep"]:
        with transaction(rt.engine) as connection:
            lock_model(connection, spec.name)
            if frozen := frozen_reason(connection, spec.name):
                kept[str(version)] = frozen
                continue
            # planned again: under the lock nobody can begin to need the version
            plan = next(one for one in plan_retention(spec, rt, connection) if one.version == version)
            if plan.archive:
                _retire(spec, rt, run, target, plan)
                retired.append(version)
            if plan.remove:
                _remove(spec, rt, run, plan)
        if plan.in_use and not plan.archived:
            kept[str(version)] = plan.in_use
    return Retirement(model=spec.name, retired=retired, kept=kept)


def pin_version(rt: Runtime, model: str, version: int, reason: str | None, *, actor: str) -> None:
    """Protect a version's files for `reason` until it is unpinned (reason None); noted in the ledger.

    Raises SourceQueryError when there is no such version.
    """
    with transaction(rt.engine) as connection:
        lock_model(connection, model)
        before = model_version(rt, model, version).tags.get(PIN_TAG)
        if before == reason:
            return
        with registry_calls(rt, f"pinning version {version} of {model}") as client:
            if reason is None:
                client.delete_model_version_tag(model, str(version), PIN_TAG)
            else:
                client.set_model_version_tag(model, str(version), PIN_TAG, reason)
        act = f"pin {version}" if reason is not None else f"unpin {version}"
        told = reason if reason is not None else f"was pinned: {before}"
        rt.ledger.write(
            Entry(model=model, kind="retention", act=act, reason=told, actor=actor, version_before=version), connection
        )


def _retire(spec: ModelSpec, rt: Runtime, run: RunContext, target: Target, plan: VersionPlan) -> None:
    """Intended, server stopped, proven, tagged, done."""
    version = plan.version
    check_movement(spec.name, version, plan.stage, ARCHIVED)
    intent = _intent(spec, rt, run, version)
    rt.ledger.write(intent)
    target.stop_server(spec.name, version)
    proof = _prove_unserved(target, spec.name, version)
    proof["copy"] = "removed" if SERVED_COPY in plan.remove else "kept"
    with registry_calls(rt, f"archiving version {version} of {spec.name}") as client:
        client.set_model_version_tag(spec.name, str(version), RETIRED_TAG, rt.clock.now().isoformat())
        client.set_model_version_tag(spec.name, str(version), STAGE_TAG, ARCHIVED)
    evidence = intent.evidence | proof | {"stages": {str(version): [plan.stage, ARCHIVED]}}
    rt.ledger.write(intent.model_copy(update={"phase": "done", "evidence": evidence}))


def _remove(spec: ModelSpec, rt: Runtime, run: RunContext, plan: VersionPlan) -> None:
    """Remove what the plan names: intended, removed, done. A part that is gone already is no error."""
    version, tags = plan.version, dict(model_version(rt, spec.name, plan.version).tags)
    intent = Entry(
        model=spec.name,
        kind="retention",
        act=f"remove files of {version}",
        reason=f"{', '.join(plan.remove)}: {plan.reasons}",
        actor=run.actor,
        phase="intended",
        version_before=version,
        run_id=run.run_id,
        idempotency_key=f"retention:{spec.name}:{version}:{tags.get(RETIRED_TAG, '')}:{'+'.join(plan.remove)}",
        evidence={"remove": plan.remove, "manifest_digest": tags[MANIFEST_TAG]},
    )
    rt.ledger.write(intent)
    if SERVED_COPY in plan.remove:
        shutil.rmtree(rt.storage.served(spec.name, version), ignore_errors=False)
    if REGISTRY_FILES in plan.remove:
        _remove_stored(rt, spec.name, version)
    rt.ledger.write(intent.model_copy(update={"phase": "done"}))


def _remove_stored(rt: Runtime, model: str, version: int) -> None:
    """Delete the model files from MLflow's artefact store, then say so by a tag: whoever asks for them is told."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with registry_calls(rt, f"removing the model files of version {version} of {model}") as client:
        identity = str(client.get_model_version(model, str(version)).source).removeprefix("models:/")
        place = client.get_logged_model(identity).artifact_location
        repository = get_artifact_repository(place, tracking_uri=rt.settings.mlflow_url)
        for folder in (None, "training", "serving", "exports"):
            present = {item.path for item in repository.list_artifacts(folder)}
            for path in sorted(present & set(_MODEL_FILES)):
                repository.delete_artifacts(path)
        client.set_model_version_tag(model, str(version), REMOVED_TAG, rt.clock.now().isoformat())


def _intent(spec: ModelSpec, rt: Runtime, run: RunContext, version: int) -> Entry:
    tags = dict(model_version(rt, spec.name, version).tags)
    since: datetime = released_at(version, tags, moves(rt, spec.name))
    unused = f"no alias, rollout, candidate or traffic since {since:%Y-%m-%d %H:%M} UTC"
    return Entry(
        model=spec.name,
        kind="retirement",
        act=f"retire {version}",
        reason=f"{unused}, longer than {format_duration(spec.retention.retire_after)}",
        actor=run.actor,
        phase="intended",
        version_before=version,
        run_id=run.run_id,
        idempotency_key=f"retire:{spec.name}:{version}:{since.isoformat()}",
        evidence={"without_alias_since": since.isoformat(), "manifest_digest": tags[MANIFEST_TAG]},
    )


def _prove_unserved(target: Target, model: str, version: int) -> dict[str, Any]:
    """Read back that no traffic and no server is left; GateFailedError otherwise."""
    weights, servers = target.read_back(model), target.servers(model)
    if weights.get(version, 0) or version in servers:
        raise GateFailedError(
            f"{model}: version {version} is still served after its server was stopped "
            f"(traffic {weights}, servers {sorted(servers)})"
        )
    return {"traffic": {str(one): share for one, share in weights.items()}, "servers": sorted(servers)}
