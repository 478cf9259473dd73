"""How long a planned rollout will take and what it can see, from its stages and the model's recent traffic. Pure.

Planning stores the estimate in the rollout's plan and refuses what cannot end in time; approvals and the command line show it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from include.lifecycle.rollout.evidence import Plain
from include.lifecycle.rollout.planning.visible_harm import Harm, visible_harm
from include.lifecycle.rollout.telling.phrases import rough, stage_told
from include.lifecycle.units import Duration

if TYPE_CHECKING:
    from include.lifecycle.rollout.planning.recent_traffic import RecentTraffic
    from include.lifecycle.rollout.states import Plan, Stage


class StageEstimate(Plain):
    """One stage: what happens in it, how many requests it needs, and how long it is expected to take (None: traffic unknown)."""

    told: str
    needs: int
    at_least: Duration
    expected: Duration | None
    manual: bool = False


class Estimate(Plain):
    """Of a whole rollout. `traffic` says in words what it rests on; `problem` why the plan cannot end in time, or nothing."""

    traffic: str
    per_second: float | None
    stages: list[StageEstimate]
    at_least: Duration
    expected: Duration | None
    bake: Duration
    harm: Harm
    problem: str = ""


def estimate(plan: Plan, traffic: RecentTraffic) -> Estimate:
    """Expected duration of each stage and of all of them, the smallest harm that shows, and whether it can end in time.

    A stage takes as long as its `at_least`, and as its requests need at the model's mean rate; evidence may need more. A plan
    is refused only when even the busiest stretch of the last day would not do; unknown traffic is said and never refuses.
    """
    stages = [_stage(stage, traffic.per_second) for stage in plan.stages]
    known = [one.expected for one in stages]
    return Estimate(
        traffic=traffic.told,
        per_second=traffic.per_second,
        stages=stages,
        at_least=sum((stage.at_least for stage in plan.stages), timedelta()),
        expected=None if None in known else sum((one for one in known if one is not None), timedelta()),
        bake=plan.bake,
        harm=visible_harm(plan, traffic, [one.expected or one.at_least for one in stages]),
        problem=_problem(plan, traffic),
    )


def describe(found: Estimate) -> list[str]:
    """The estimate in sentences, one a line: traffic, each stage, the whole, the harm, and the problem if there is one."""
    lines = [found.traffic, *(_stage_line(number, one) for number, one in enumerate(found.stages, 1))]
    if found.expected is not None:
        whole = f"about {rough(found.expected)}, at least {rough(found.at_least)}"
    else:
        whole = f"at least {rough(found.at_least)}, longer as the traffic has it"
    waits = " besides the wait for a person" if any(one.manual for one in found.stages) else ""
    until = f"From the first request to full traffic: {whole}{waits}" if found.stages else "All traffic at once"
    lines.append(f"{until}; then a bake of {rough(found.bake)}.")
    lines.append(found.harm.told)
    return [*lines, *([f"It cannot end in time: {found.problem}."] if found.problem else [])]


def counted_share(stage: Stage) -> float:
    """Fraction of the live requests that count for the stage's `requests`: challenger's, copied ones, or the smaller arm's."""
    if stage.kind == "mirror":
        return stage.mirror / 100
    if stage.kind == "ab_test":
        share = stage.percent or stage.baseline
        return min(share, 100 - share) / 100
    return stage.percent / 100


def time_for(stage: Stage, per_second: float) -> timedelta:
    """How long the stage takes at that rate of live requests; at least its `at_least`, timedelta.max when it gets none."""
    rate = per_second * counted_share(stage)
    if stage.requests == 0:
        return stage.at_least
    if rate * timedelta.max.total_seconds() <= stage.requests:
        return timedelta.max
    return max(stage.at_least, timedelta(seconds=stage.requests / rate))


def _stage(stage: Stage, per_second: float | None) -> StageEstimate:
    expected = None if per_second is None else time_for(stage, per_second)
    told = stage_told(stage)
    return StageEstimate(told=told, needs=stage.requests, at_least=stage.at_least, expected=expected, manual=stage.manual)


def _stage_line(number: int, one: StageEstimate) -> str:
    expected = "" if one.expected is None else f"about {rough(one.expected)}, "
    person = "; then a person resumes it" if one.manual else ""
    return f"Stage {number}, {one.told}: {one.needs} requests, {expected}at least {rough(one.at_least)}{person}."


def _problem(plan: Plan, traffic: RecentTraffic) -> str:
    """Why even the busiest traffic seen would not end a stage before it is given up; nothing when it would, or is not known."""
    if traffic.busiest is None:
        return ""
    elapsed = timedelta()
    for number, stage in enumerate(plan.stages, 1):
        takes = time_for(stage, traffic.busiest)
        late = takes > stage.at_most if stage.at_most else takes > plan.give_up_after - elapsed
        if late:
            return _late(plan, traffic, number, takes, elapsed)
        elapsed += takes
    return ""


def _late(plan: Plan, traffic: RecentTraffic, number: int, takes: timedelta, elapsed: timedelta) -> str:
    stage = plan.stages[number - 1]
    limit = f"its at_most is {rough(stage.at_most)}" if stage.at_most else f"give_up_after is {rough(plan.give_up_after)}"
    before = "" if not elapsed or stage.at_most else f", after {rough(elapsed)} for the stages before"
    per_minute = (traffic.busiest or 0) * 60
    return (
        f"stage {number} ({stage_told(stage)}) needs {stage.requests} requests; at {per_minute:.3g} requests/min, the busiest of "
        f"the last day, that takes {rough(takes)}{before}; {limit}"
    )
