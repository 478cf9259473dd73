"""The stages of the main job in order: data, version 1, a week, the scheduled version, drift, what it leads to, retirement.

Each reads its facts from tables, registry and Airflow; what it found goes into the Chronicle, from which the summary is written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping

from include.demo.board import Stage
from include.demo.chronicle import Challenge, Chronicle
from include.demo.data import load_data, production_url
from include.demo.facts import ARCHIVED
from include.demo.outside import set_clock
from include.demo.story import DemoFailedError, Story
from include.lifecycle.rollout.states import OPEN_STATES

RATE = 28_800.0  # event seconds per wall second: one day takes three seconds
TRAINING_RATE = 14_400.0  # half of it while a training needs the cores; a slow machine would else use up the year
WEEK = timedelta(days=7)
_TRAIN, _ROLLOUT = 240.0, 240.0  # limits in wall seconds


def tell(story: Story, found: Chronicle) -> None:
    """The whole main job. Raises DemoFailedError, naming stage and task, when a stage does not come to its end."""
    found.ledger_before, found.requests_before = story.tables.newest_ledger_id(), story.tables.newest_request_id()
    found.champion_before = story.registry.alias("champion")
    switch_on(story)
    settle(story)
    prepare_data(story)
    if found.champion_before is not None:
        open_traffic(story)
    first = challenge(story, found, "schedule", start_training(story, "the demo's first training of this episode"))
    if story.registry.alias("champion") is None:
        raise DemoFailedError(f"no version serves after the first training: {first.reason}")
    if found.champion_before is None:
        open_traffic(story)
    pass_week(story)
    challenge(story, found, "schedule", start_training(story, "the weekly schedule, kept by the demo's clock"))
    drift = watch_for_drift(story, found)
    challenge(story, found, "signal", drift["run_id"])
    retire(story, found)


def switch_on(story: Story) -> None:
    """Wait until Airflow has read every Dag that the story needs, and switch all Dags on."""
    needed = {f"train__{story.model}", f"deploy__{story.model}", "monitor_hourly", "decide", "retire", "upkeep"}
    with story.board.stage("Switch the Dags on", 120) as stage:

        def there() -> int | None:
            missing = needed - story.airflow.dags()
            if missing and (errors := story.airflow.import_errors()):
                raise DemoFailedError("Airflow cannot read a Dag file: " + "; ".join(errors))
            story.board.tell(stage, f"waiting for {', '.join(sorted(missing))}" if missing else "all read")
            return None if missing else 1

        story.wait(stage, there, "reading the Dag files")
        story.board.tell(stage, f"{story.airflow.unpause_all()} Dags")


def settle(story: Story) -> None:
    """Let a training or rollout that a former run left behind come to its own end: without traffic a rollout gives up."""
    if story.tables.open_rollout() is None and story.tables.training_now() is None:
        return
    with story.board.stage("Finish what was left", 400) as stage:

        def idle() -> int | None:
            rollout, training = story.tables.open_rollout(), story.tables.training_now()
            story.board.tell(stage, f"rollout {rollout['id']} is {rollout['state']}" if rollout else f"training run {training}")
            return 1 if rollout is None and training is None else None

        story.wait(stage, idle, "the end of an earlier rollout or training")


def prepare_data(story: Story) -> None:
    """Load the episode's data and set the clock to its cut; event time then keeps to wall time until traffic opens."""
    with story.board.stage("Load the data", 120) as stage:
        configured = story.rt.settings
        loaded = load_data(production_url(configured), configured.passfile, story.episode)
        set_clock(story.clock_file, story.episode.cut, 1.0)
        told = f"{loaded.arrivals} flights with known arrivals before {story.episode.cut:%Y-%m-%d}, {loaded.held_back} held back"
        story.board.tell(stage, told)


def open_traffic(story: Story) -> None:
    """Start the replay and let event time run."""
    with story.board.stage("Open the traffic", 60) as stage:
        story.replay.start()
        story.pace(RATE)

        def flowing() -> dict[str, Any] | None:
            counts = story.replay.totals()
            answered, failed = sum(counts.get("answered_by", {}).values()), counts.get("failed", 0)
            if failed >= 20 and not answered:
                raise DemoFailedError(f"stage {stage.name!r}: no request is answered; {counts['last_failure']}")
            return counts if answered >= 20 else None

        counts = story.wait(stage, flowing, "twenty answered requests")
        story.monitoring = True
        story.board.tell(
            stage, f"one day in {86400 / RATE:.0f} s, answered by version {', '.join(sorted(counts['answered_by']))}"
        )


def start_training(story: Story, reason: str) -> Callable[[], str]:
    """A call that starts a scheduled training, as Airflow's cron would at the tier's time."""
    return lambda: story.trigger(f"train__{story.model}", {"reason": reason, "source": "schedule"})


def challenge(story: Story, found: Chronicle, source: str, run: str | Callable[[], str]) -> Challenge:
    """Follow one train run (started here, or under way) to its version, and the version to the end of its rollout."""
    number = len(found.challenges) + 1
    with story.board.stage(f"Training {number} ({source})", _TRAIN) as stage:
        run_id = run if isinstance(run, str) else run()
        story.pace(TRAINING_RATE)
        story.finish_run(stage, f"train__{story.model}", run_id)
        if not story.tables.requests_of(run_id) and (other := story.tables.training_now()):
            run_id = other  # an event was quicker: its training is the one
            story.finish_run(stage, f"train__{story.model}", run_id)
        requests = story.tables.requests_of(run_id)
        if not requests:
            raise DemoFailedError(f"stage {stage.name!r}: run {run_id} was refused; {_refusal(story, found, run_id)}")
        version, said = requests[0]["version"], requests[0]["outcome"] or ""
        story.board.tell(stage, f"version {version}: {said}" if version else said)
    story.pace(RATE)
    candidate = None if version is None else story.tables.candidate(version)
    if version is None or candidate is None:
        result = Challenge(run_id, source, version, "refused", said)
    else:
        row = roll_out(story, version)
        result = Challenge(run_id, source, version, row["state"], row["reason"])
    found.challenges.append(result)
    return result


def roll_out(story: Story, version: int) -> RowMapping:
    """Follow a version's rollout, which its candidate's event has started, to its end."""
    with story.board.stage(f"Roll out version {version}", _ROLLOUT) as stage:

        def closed() -> RowMapping | None:
            row = story.tables.rollout_of(version)
            if row is None or row["state"] in OPEN_STATES:
                story.board.tell(stage, _progress(row, version))
                _stop_at_failure(story, stage, row)
                return None
            return row

        row = story.wait(stage, closed, f"the end of the rollout of version {version}")
        story.board.tell(stage, f"{row['state']}: {row['reason']}")
        return row


def pass_week(story: Story) -> None:
    """Live traffic until a week of event time after the cut has passed; monitoring looks on."""
    end = story.episode.cut + WEEK
    with story.board.stage("A week of traffic", 120) as stage:

        def over() -> datetime | None:
            story.board.tell(stage, _health(story))
            return end if story.now() >= end else None

        story.wait(stage, over, f"{end:%Y-%m-%d} of event time")


def watch_for_drift(story: Story, found: Chronicle) -> dict[str, Any]:
    """Wait until monitoring finds decay and `decide` asks for a training because of it; its request row with the run's id."""
    known = [challenge.run_id for challenge in found.challenges]
    with story.board.stage("Watch for drift", 240) as stage:

        def requested() -> RowMapping | None:
            if story.now() >= story.episode.end:
                raise DemoFailedError(f"stage {stage.name!r}: the year is over and no decay was found; {_health(story)}")
            story.board.tell(stage, _health(story))
            return story.tables.claimed_for_signal(found.requests_before, known)

        request = story.wait(stage, requested, "an event-driven training")
        signal = story.tables.signal_of(request["id"])
        found.signal = None if signal is None else {key: signal[key] for key in _SIGNAL}
        story.board.tell(stage, request["reason"])
        return dict(request)


_SIGNAL = ("id", "kind", "cause", "effect", "severity", "version", "first_seen", "last_seen", "windows_failed", "evidence")


def retire(story: Story, found: Chronicle) -> None:
    """Run `retire` until the versions without an alias are archived: those that were superseded twice, and those that lost."""
    with story.board.stage("Retire what nobody needs", 90) as stage:
        while waiting := {one.version for one in story.registry.versions() if one.stage != ARCHIVED} - story.registry.holders():
            story.board.tell(stage, f"version {', '.join(map(str, sorted(waiting)))} holds no alias any more")
            story.finish_run(stage, "retire", story.trigger("retire", {"model": story.model}))
            archived = waiting & {one.version for one in story.registry.versions() if one.stage == ARCHIVED}
            found.retired = sorted({*found.retired, *archived})
            if stage.overdue:
                raise DemoFailedError(f"stage {stage.name!r}: version {sorted(waiting - archived)} was not retired")
        retired = f"version {', '.join(map(str, found.retired))} archived" if found.retired else "every version holds an alias"
        story.board.tell(stage, retired)


def _refusal(story: Story, found: Chronicle, run_id: str) -> str:
    rows = [row for row in story.tables.ledger_after(found.ledger_before) if row["run_id"] == run_id]
    return "; ".join(f"{row['act']}: {row['reason']}" for row in rows) or "the ledger does not say why"


def _progress(row: RowMapping | None, version: int) -> str:
    if row is None:
        return "waiting for the deploy Dag"
    weights = row["status"].get("weights") or {}
    share = weights.get(str(version))
    return f"{row['state']}, {share} % of the traffic" if share is not None else str(row["state"])


def _stop_at_failure(story: Story, stage: Stage, row: RowMapping | None) -> None:
    """A deploy run that failed for good will not close the rollout: say its reason now."""
    dag_id = f"deploy__{story.model}"
    if row is not None and row["run_id"] and story.airflow.state(dag_id, row["run_id"]) == "failed":
        raise DemoFailedError(f"stage {stage.name!r}: {story.airflow.failure(dag_id, row['run_id'])}")


def _health(story: Story) -> str:
    """Newest window and open signals in one line."""
    window, open_signals = story.tables.newest_window(), story.tables.open_signals()
    if window is None:
        return "no window measured yet"
    health = "unknown" if window["health"] is None else f"{window['health']:.2f}"
    told = f"health of version {window['version']} {health} until {window['window_end']:%m-%d}, {window['mature_rows']} labels"
    return told + "".join(f"; {row['cause']} {row['effect']:.3f}" for row in open_signals)
