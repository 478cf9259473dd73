"""A spec in words: what happens unattended, when, and when it needs a person. Read by `cli explain`.

The sentences follow the values only; they promise nothing that the YAML does not say.
"""

from __future__ import annotations

from include.lifecycle.decisions.schedule import schedule_in_words
from include.lifecycle.spec import ModelSpec
from include.lifecycle.units import format_duration as length
from include.lifecycle.wording_alerts import alert_words
from include.lifecycle.wording_approval import person_words
from include.lifecycle.wording_monitoring import monitoring_words
from include.lifecycle.wording_rollout import rollout_words

LOWER_IS_BETTER = {"brier_score", "log_loss", "rmse", "mae", "median_absolute_error", "mape"}


def in_words(spec: ModelSpec) -> list[tuple[str, str]]:
    """What happens unattended, as (topic, sentences)."""
    return [
        ("Training", _training(spec)),
        ("Judgement", _judgement(spec)),
        ("Monitoring", monitoring_words(spec)),
        ("Retraining", _retraining(spec)),
        ("Rollout", rollout_words(spec)),
        ("Rollback", _rollback(spec)),
        ("Person", person_words(spec)),
        ("Alerts", alert_words(spec)),
        ("Retirement", _retirement(spec)),
    ]


def _training(spec: ModelSpec) -> str:
    data = spec.data
    few = "refuses" if data.on_inconclusive == "refuse" else "trains all the same"
    return (
        f"Trains {schedule_in_words(spec)}, on the rows of the last {length(data.window)} whose labels are "
        f"final ({length(spec.labels.mature_after)} old). Beyond {data.max_rows:,} rows it takes a hash sample, "
        f"below {data.minimum_rows:,} it {few}. Bad rows are set aside; more than {data.quarantine.max_share:.2%} of them stop "
        f"the training. {_own_features(spec)}{_tuning(spec)}"
    )


def _tuning(spec: ModelSpec) -> str:
    """How the model comes out of the rows."""
    training = spec.training
    if training.entry_point is not None:
        return f"The model is made by {training.entry_point}; nothing is tuned."
    kinds = {
        "forward": "that look ahead in time",
        "group": f"that share no {training.folding.group_by}",
        "k_fold": "of shuffled rows",
    }
    folds = f"{training.folds} folds {kinds.get(training.folding.kind, 'with the classes in their shares')}"
    patience = training.stop_after_no_improvement
    early = f", or after {patience} trials without a better one" if patience else ""
    searched = (
        f"{training.trials} trials by {training.workers} workers choose among {', '.join(training.estimators)} on {folds}; "
        f"tuning ends after {length(training.timeout)} at the latest{early}."
    )
    if training.method == "full":
        return searched
    return (
        f"The champion learns on from rows newer than its fit, nothing is tuned. Where there is none to learn on from: {searched}"
    )


def _own_features(spec: ModelSpec) -> str:
    if not spec.features.transformer:
        return ""
    return f"{spec.features.transformer} makes the features, in training and at serving alike. "


def _judgement(spec: ModelSpec) -> str:
    objective, evaluation = spec.objective, spec.evaluation
    lower = objective.metric in LOWER_IS_BETTER
    side = "above" if lower else "below"
    floor = "No absolute floor." if objective.floor == "none" else f"Never rolled out {side} {objective.floor:g}."
    wanted = f"not worse by more than {evaluation.margin:g}" if evaluation.promote_if == "not_worse" else "better"
    return (
        f"By {objective.metric} ({'lower' if lower else 'higher'} is better) on the newest {spec.data.holdout:.0%} of the "
        f"window, and against the champion on identical rows. {floor} A scheduled challenger must be {wanted}; one that "
        f"was trained because of decay, or by another algorithm or on other features, must be better."
        f"{_further_gates(spec)}{_groups(spec)} {_doubt(spec)}"
    )


def _further_gates(spec: ModelSpec) -> str:
    evaluation = spec.evaluation
    floors = "".join(f" {name} must hold {floor:g}." for name, floor in evaluation.floors.items())
    anchor = (
        " Nor may it fall below the last version that was proven better by that margin." if evaluation.anchor == "fail" else ""
    )
    return floors + anchor


def _doubt(spec: ModelSpec) -> str:
    words = {"canary": "the canary decides", "hold": "a person decides (cli release)", "refuse": "it is not rolled out"}
    policy = spec.evaluation.on_inconclusive
    return (
        f"Where the rows cannot tell: {words[policy.not_worse]} on not worse, {words[policy.better]} on better, "
        f"{words[policy.gates]} on any other gate; a first version needs a clear floor and gain."
    )


def _groups(spec: ModelSpec) -> str:
    fairness = spec.evaluation.fairness
    if not fairness.attributes:
        return ""
    return f" Groups of {', '.join(fairness.attributes)} must not differ by more than {fairness.max_gap:.0%}."


def _retraining(spec: ModelSpec) -> str:
    policy = spec.retraining
    if policy.mode == "off":
        return f"No signal leads to a training (mode off); only the schedule and people do. {_when(spec)}".strip()
    confirm, rows = policy.confirm, spec.data.new_rows_threshold
    leads = {
        "suggest": "makes decide ask a person whether to train; nothing is requested before the answer",
        "approve": "requests a training, which waits for a person's approval",
        "auto": "starts a training",
    }[policy.mode]
    counted = "" if isinstance(rows, str) else f", {rows:,} new rows with final labels"
    return (
        f"A decay that stood in {confirm.windows} of the last {confirm.of} windows, over at least "
        f"{length(confirm.spanning)}, {leads}. So does a champion older than {length(policy.max_age)}{counted}, or another "
        f"system's request. Not earlier than {length(policy.cooldown)} after the last one (twice as long after each that came "
        f"to nothing; after {policy.suggest_after} such in a row it is only suggested to a person), and with the "
        f"scheduled ones at most {policy.budget_per_month} times a month. {_drift_alone(spec)}; while a "
        f"fault in the data stands, nothing is trained. {_when(spec)}"
    ).strip()


def _drift_alone(spec: ModelSpec) -> str:
    policy = spec.retraining
    alone = [kind for kind in ("covariate", "population", "equipment") if getattr(policy, kind) == "retrain"]
    with_estimate = "together with a decay that is only estimated it does"
    if not alone:
        return f"Drift of inputs alone never starts one; {with_estimate}"
    bar = spec.monitoring.drift.act_effect
    return f"Drift alone ({', '.join(alone)}) starts one where its distance is surely above {bar:g}; {with_estimate}"


def _when(spec: ModelSpec) -> str:
    """What the calendar says: the daily window and the freezes."""
    policy = spec.retraining
    window = f"What signals ask for starts between {policy.window.replace('-', ' and ')} UTC. " if policy.window else ""
    return window + (f"Nothing is trained in {', '.join(policy.freeze)} (UTC)." if policy.freeze else "")


def _rollback(spec: ModelSpec) -> str:
    limits, rollout = spec.rollout.limits, spec.rollout
    ending = "all traffic returns, too" if rollout.on_inconclusive == "roll_back" else "the rollout is held"
    return (
        f"All traffic returns to the champion when more than {limits.error_rate:.0%} of the canary's requests fail, when its "
        f"p95 latency is above {limits.latency_ratio:g} times the champion's and {length(limits.latency_floor)} more, or when "
        f"it performs worse by more than {limits.performance_drop:.0%}; also when it surely fails more often than the champion "
        f"in the same seconds, by over {limits.error_floor:.1%}, or surely answers over {length(limits.latency_floor)} later; "
        f"and when its servers are dead for {length(limits.dead_after)}. An equally good version is sent back with "
        f"probability {rollout.false_rollback_rate:g}. Without a conclusion after {length(rollout.give_up_after)} {ending}. "
        f"A canary that nobody drives for {length(rollout.lease)} loses its traffic, also while Airflow is down."
    )


def _retirement(spec: ModelSpec) -> str:
    kept, place = spec.retention, f", in {spec.prediction_log.destination}" if spec.prediction_log.destination else ""
    return (
        f"A version is archived {length(kept.retire_after)} after it lost its last alias: its server goes, its files too "
        f"unless it is one of the newest {kept.keep_versions}, one of the last {kept.keep_known_good} good champions, the anchor "
        f"or pinned; in the registry its model files {'stay' if kept.artifacts == 'keep' else 'go as well'}, its metadata stays. "
        f"Logged predictions are kept for {length(spec.prediction_log.keep)}{place}."
    )
