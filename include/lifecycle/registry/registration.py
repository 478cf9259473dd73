"""Stage register_model: what was evaluated becomes a version in MLflow, whole and sealed, and a candidate if it is deployable.

Once per run: every step first looks for what an earlier, killed try left behind. The tag `manifest_digest` is written last and
says that a version is complete.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.artefacts import MANIFEST_TAG, SERVING_FOLDER
from include.lifecycle.registry.candidates import CandidateState, open_candidate
from include.lifecycle.registry.client import aliases_of
from include.lifecycle.registry.entries import Registry, version_tags
from include.lifecycle.registry.exports import EXPORTS_FOLDER
from include.lifecycle.registry.promotion import nominate
from include.lifecycle.registry.record import VersionRecord, build_record
from include.lifecycle.registry.semver import SEMVER_TAG
from include.lifecycle.registry.version_files import CARD_FOLDER, Material, read_material, write_numbered, write_version
from include.lifecycle.results import Evaluation, PreparedData, RegisteredVersion, Snapshot, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.requests import finish_requests
from include.serving.version_folder import MANIFEST


def register_model(
    spec: ModelSpec,
    rt: Runtime,
    run: RunContext,
    order: TrainingOrder,
    snapshot: Snapshot,
    prepared: PreparedData,
    trained: TrainedModel,
    evaluation: Evaluation,
) -> RegisteredVersion:
    """Register the trained model as one version, open its candidate when it is deployable, and close the training requests.

    Raises:
        ArtefactDigestError: the model file is not the one that was evaluated.
        SourceUnavailableError: MLflow or the database did not answer; a rerun goes on where this try stopped.
    """
    registry = Registry(rt, spec.name, run.run_id)
    intent = _intent(spec, run, order, snapshot, evaluation)
    rt.ledger.write(intent)
    version = registry.find_version()
    if version is None or MANIFEST_TAG not in registry.tags(version):
        tags = version_tags(spec, rt, run, order, snapshot, prepared, trained, evaluation)
        material = read_material(spec, trained, prepared.train, prepared.holdout)
        record = build_record(spec, rt.settings, run.run_id, order, snapshot, prepared, trained, material.holdout)
        version = _build(registry, spec, record, trained, evaluation, material, tags)
    tags = registry.tags(version)
    candidate = _conclude(spec, rt, run, evaluation, version, intent, tags)
    return RegisteredVersion(
        model=spec.name,
        version=version,
        run_id=trained.run_id,
        manifest_digest=tags[MANIFEST_TAG],
        engine=tags["engine"],
        candidate_id=candidate,
        reason=evaluation.reason,
    )


def _build(
    registry: Registry,
    spec: ModelSpec,
    record: VersionRecord,
    trained: TrainedModel,
    evaluation: Evaluation,
    material: Material,
    tags: dict[str, str],
) -> int:
    """Write all files, upload them, make the version, and mark it complete by its last tag."""
    with TemporaryDirectory(prefix="modelops-register-") as temporary:
        root = Path(temporary) / "model"
        files = write_version(root, spec, record, trained, evaluation, material)
        logged = registry.ensure_logged_model(trained)
        registry.upload(logged, root)
        version = registry.ensure_version(logged, trained.run_id, tags | files.tags, evaluation.reason)
        digests = write_numbered(root, spec, version, registry.tags(version), record, evaluation, files, material)
        for folder in (SERVING_FOLDER, EXPORTS_FOLDER, CARD_FOLDER):
            registry.upload(logged, root / folder, folder)
        registry.upload_file(logged, root / MANIFEST)
    registry.log_metrics(logged, trained.run_id, _metrics(evaluation))
    registry.complete(logged, version, files.tags | digests)
    return version


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    champion = {f"champion_{name}": value for name, value in (evaluation.champion_metrics or {}).items()}
    return evaluation.metrics | champion | {f"baseline_{name}": value for name, value in evaluation.baseline_metrics.items()}


def _conclude(
    spec: ModelSpec, rt: Runtime, run: RunContext, evaluation: Evaluation, version: int, intent: Entry, tags: dict[str, str]
) -> int | None:
    """Candidate, requests and the ledger's last word in one transaction; then the challenger's alias."""
    told = f"version {version} ({tags.get(SEMVER_TAG, 'without semantic version')}): {evaluation.reason}"
    evidence: dict[str, Any] = {"metrics": evaluation.metrics, "reason": evaluation.reason, "manifest_digest": tags[MANIFEST_TAG]}
    evidence["champion"] = evaluation.champion  # planning a rollout asks whether this is still whom it was judged against
    with transaction(rt.engine) as connection:
        lock_model(connection, spec.name)
        candidate = None
        if evaluation.deployable or evaluation.held:
            state: CandidateState = "held" if evaluation.held else "open"
            opened = open_candidate(rt, connection, spec.name, version, run.run_id, evaluation.outcome, evidence, state=state)
            candidate = opened if evaluation.deployable else None
        finish_requests(rt, spec.name, run.run_id, "done", version, told, connection)
        evidence |= {
            "semver": tags.get(SEMVER_TAG),
            "engine": tags["engine"],
            "engine_reason": tags.get("engine_reason", ""),
            "candidate": candidate,
        }
        done = {"phase": "done", "version_after": version, "evidence": intent.evidence | evidence}
        rt.ledger.write(intent.model_copy(update=done), connection)
    if evaluation.deployable and aliases_of(rt, spec.name).get("champion") not in (None, version):
        nominate(rt, spec.name, version, reason=told, key=f"nominate:{spec.name}:{version}", actor=run.actor)
    return candidate


def _intent(spec: ModelSpec, run: RunContext, order: TrainingOrder, snapshot: Snapshot, evaluation: Evaluation) -> Entry:
    return Entry(
        model=spec.name,
        kind="training",
        act="register version",
        reason=f"trained because {order.reason}",
        actor=run.actor,
        phase="intended",
        verdict=evaluation.outcome,
        version_before=order.champion,
        snapshot_id=snapshot.snapshot_id,
        spec_hash=spec.digest,
        run_id=run.run_id,
        idempotency_key=f"register:{spec.name}:{run.run_id}",
        evidence={"requests": order.request_ids, "cause": order.cause},
    )
