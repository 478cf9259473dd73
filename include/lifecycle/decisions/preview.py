"""What the arbiter would decide now, without any effect: the same policy on the same facts, in a transaction that cannot write.

The command `should-retrain` asks it. It takes no lock: one snapshot of the database keeps what it reads consistent.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from include.lifecycle.database import transaction
from include.lifecycle.decisions.facts import Survey, aged, survey
from include.lifecycle.decisions.history import open_signals, read_state, signal_view
from include.lifecycle.decisions.policy import Decision, Frozen, RetrainingState, SignalView, decide_retraining
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec


class Preview(Frozen):
    """A decision that nobody acted upon, with what it rests on; `now` is the event time of asking. `due`: see _due."""

    model: str
    now: datetime
    opened: list[SignalView]
    state: RetrainingState
    decision: Decision
    due: tuple[str, ...] = ()

    @property
    def would_retrain(self) -> bool:
        """Whether `decide` would request a training; a mere suggestion to a person is none, nor one that waits for approval."""
        return self.decision.act == "retrain"


def preview_decision(spec: ModelSpec, rt: Runtime, *, force: bool = False) -> Preview:
    """Decide on the model's open signals as `decide` would now; the database itself refuses any write on the way.

    Raises:
        SourceUnavailableError: the database did not answer.
    """
    with transaction(rt.engine) as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        now = rt.clock.now()
        opened = [signal_view(row) for row in connection.execute(open_signals(spec.name)).mappings()]
        state = read_state(connection, spec.name, opened, now)
        seen = survey(connection, rt)
    decision = decide_retraining(opened, state, spec, now, check=True, force=force)
    due = _due(seen, spec)
    return Preview(model=spec.name, now=now, opened=opened, state=state, decision=decision, due=tuple(due))


def _due(seen: Survey, spec: ModelSpec) -> list[str]:
    """What the next look of `decide` will find out besides the open signals; not part of the decision yet."""
    age, slot = seen.age(spec), seen.missed(spec)
    found = [aged(seen, spec, age).reason] if age is not None and "age" not in seen.kinds.get(spec.name, ()) else []
    return found + ([f"the schedule's slot of {slot:%Y-%m-%d %H:%M} UTC passed without a training"] if slot else [])
