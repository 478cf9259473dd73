"""What stages hand on: small JSON-plain results (ids, URIs, numbers, verdicts). Data itself lies in files, never in here.

They travel through XCom as `model_dump(mode="json")` and come back through `model_validate`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from include.lifecycle.verdicts import Outcome, Verdict


class StageResult(BaseModel):
    """Base of every stage's result."""

    model_config = ConfigDict(frozen=True)


class TrainingOrder(StageResult):
    """A confirmed training: why, what for, and over which window of event time [window_start, window_end)."""

    model: str
    request_ids: list[int]
    source: str
    reason: str
    cause: dict[str, Any] = {}
    method: str = "full"
    as_of: datetime
    window_start: datetime
    window_end: datetime
    champion: int | None = None
    overrides: dict[str, Any] = {}


class FetchedData(StageResult):
    """The fetched table as one Parquet file: from which source, and what was left out of it."""

    path: Path
    rows: int
    rows_in_window: int
    columns: list[str]
    seconds: float
    source: str = ""
    immature_rows: int = 0
    excluded_rows: int = 0
    excluded_windows: list[int] = []
    notes: list[str] = []
    quarantined_rows: int = 0  # set aside by validate_data; not in `rows` any more


class ValidatedData(StageResult):
    """Outcome of the data checks. `clean` is the table without bad rows: the only one that is kept and trained on.

    `quarantined` rows lie in `quarantine`, counted by reason; `report` (JSON) and `page` (HTML) tell every check.
    """

    verdict: Verdict
    expectations: int
    report: Path
    model: str
    page: Path
    clean: FetchedData
    quarantined: int = 0
    reasons: dict[str, int] = {}
    quarantine: Path | None = None


class Snapshot(StageResult):
    """The DVC snapshot: content hash (md5 as DVC names it) and pointer text; from which source, without which windows."""

    snapshot_id: str
    pointer: str
    bytes: int
    source: str = ""
    excluded_windows: list[int] = []


class PreparedData(StageResult):
    """Time-based split. `fit_until` is the newest event time that the model may learn from."""

    train: Path
    holdout: Path
    train_rows: int
    holdout_rows: int
    fit_until: datetime
    holdout_until: datetime
    positive_share: float | None = None
    quarantined_rows: int = 0
    label_prior: list[float] = []  # training rate, mean, or classes' shares: what a model that learnt nothing would say


class StudyPlan(StageResult):
    """One Optuna study and how many trials each mapped worker adds."""

    study: str
    experiment_id: str
    parent_run_id: str
    workers: int
    trials: int
    method: Literal["full", "incremental", "entry_point"] = "full"
    base_version: int | None = None  # the champion that an incremental training starts from
    notes: list[str] = []


class TunedStudy(StageResult):
    """One worker's share of the study."""

    study: str
    worker: int
    trials: int
    best_value: float | None  # None while no trial of the study is complete
    best_params: dict[str, Any]
    reason: str = ""  # why this worker stopped: trials, timeout, no_improvement; or why there was nothing to tune


class TrainedModel(StageResult):
    """The fitted pipeline on disk (`model.skops`) with its sha256, and the chosen algorithm and parameters."""

    folder: Path
    digest: str
    algorithm: str
    params: dict[str, Any]
    run_id: str
    seconds: float
    method: Literal["full", "incremental", "entry_point"] = "full"
    base_version: int | None = None  # the version that an incremental training started from
    tags: dict[str, str] = {}  # what registration puts on the version besides its own tags


class FailedTraining(StageResult):
    """A training that failed: where and why, and who keeps serving (None: nobody, or MLflow did not say)."""

    model: str
    champion: int | None
    tasks: dict[str, str]
    requests: int
    message: str
    ledger_id: int | None


class Evaluation(StageResult):
    """All gates with their verdicts, metrics on the hold-out, and whether this version may be rolled out."""

    verdicts: list[Verdict]
    outcome: Outcome
    metrics: dict[str, float]
    champion_metrics: dict[str, float] | None = None
    baseline_metrics: dict[str, float]
    deployable: bool
    reason: str
    report: Path
    champion: int | None = None  # whom it was judged against; planning a rollout asks whether it still is the champion
    held: bool = False  # inconclusive, and the policy wants a person to release it
    proven_better: bool = False  # its gain over the champion lies above 0: what makes it the next anchor
    switched_off: dict[str, str] = {}  # gate -> why it did not look


class RegisteredVersion(StageResult):
    """The version in MLflow's registry; `candidate_id` is None when it may not be rolled out."""

    model: str
    version: int
    run_id: str
    manifest_digest: str
    engine: str
    candidate_id: int | None
    reason: str


class PlannedRollout(StageResult):
    """An open rollout row, or none when there is no candidate left to roll out."""

    rollout_id: int | None
    model: str
    version: int | None = None
    champion: int | None = None
    strategy: str | None = None
    reason: str
    refused: bool = False  # there is a candidate, but its plan could not end in time
    estimate: list[str] = []  # how long it will take and what it can see, in sentences


class ServingCheck(StageResult):
    """The exact artefact answered golden requests in a real server before any traffic."""

    verdict: Verdict
    port: int
    start_seconds: float
    p95_ms: float
    tests: list[Verdict] = []  # staging: health, bad input, inference time


ReasonKind = Literal["business", "complaint", "regulator", "incident"]
"""What a person's or an alert's rollback is about."""


class RollbackPlan(StageResult):
    """What a rollback would do: `rollout` is an open one that it ends, `leave` the version that loses its traffic, `enter` the
    one that gets all of it; `weights` is what is in force now. `stops` says why nothing can be done; empty when it can.
    """

    model: str
    rollout: int | None = None
    leave: int | None = None
    enter: int | None = None
    weights: dict[int, int] = {}
    files: str = ""
    stops: str = ""


class RolloutOutcome(StageResult):
    """How a rollout ended."""

    rollout_id: int
    model: str
    version: int
    state: str
    reason: str


class MonitoredModel(StageResult):
    """One model's monitoring run: windows measured, signals raised, newest health."""

    model: str
    windows: list[int]
    signals: list[int]
    health: float | None
    verdicts: list[Verdict] = []


class ReportedWindows(StageResult):
    """Evidently's reports that one run wrote, newest window first, and how many old files it removed."""

    model: str
    reports: list[Path]
    removed: int = 0


class PeriodicReport(StageResult):
    """A daily, weekly, monthly or quarterly report of one model, or of all (`model` is then `_fleet`), and how many went."""

    model: str
    kind: str
    path: Path
    removed: int = 0


class Decisions(StageResult):
    """What `decide` concluded: models for which a training was requested, and the ledger ids of all decisions."""

    training_requested: list[str]
    ledger_ids: list[int]


class Retirement(StageResult):
    """Versions archived by one retirement run."""

    model: str
    retired: list[int]
    kept: dict[str, str]
