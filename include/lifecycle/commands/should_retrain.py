"""`cli should-retrain MODEL`: what `decide` would do now and why, per signal; asking has no effect."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.tables import aligned
from include.lifecycle.loading import load_model
from include.lifecycle.units import format_duration
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.decisions.policy import SignalView
    from include.lifecycle.decisions.preview import Preview
    from include.lifecycle.spec import ModelSpec

HEAD = ("SIGNAL", "CAUSE", "SEVERITY", "EFFECT", "VERSION", "FAILED", "SPANNING", "CODE", "REASON")
WOULD, WOULD_NOT = 0, 3


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "tell whether a retraining would be requested now, and why; changes nothing"
    parser = subparsers.add_parser("should-retrain", help=text, description=f"{text}. Exit code 0: it would, 3: it would not.")
    parser.add_argument("model")
    parser.add_argument("--json", action="store_true", help="one JSON object, with the evidence")
    parser.add_argument("--force", action="store_true", help="as if a person lifted mode, stop, cooldown, freeze and budget")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Ask the policy and print its answer."""
    from include.lifecycle.decisions.preview import preview_decision
    from include.lifecycle.runtime import build_runtime

    spec = load_model(arguments.model, settings=settings)
    rt = build_runtime(settings)
    try:
        preview = preview_decision(spec, rt, force=arguments.force)
    finally:
        rt.engine.dispose()
    print(json.dumps(_plain(preview)) if arguments.json else "\n".join(_lines(preview, spec)))
    return WOULD if preview.would_retrain else WOULD_NOT


def _plain(preview: Preview) -> dict[str, Any]:
    decision = preview.decision
    weighed = [
        signal.model_dump(mode="json") | {"decision": decision.by_signal[signal.id].model_dump(mode="json")}
        for signal in preview.opened
    ]
    answer: dict[str, Any] = {"model": preview.model, "now": preview.now.isoformat(), "would_retrain": preview.would_retrain}
    return answer | decision.model_dump(mode="json", include={"act", "reason", "primary", "evidence"}) | {"signals": weighed}


def _lines(preview: Preview, spec: ModelSpec) -> list[str]:
    decision = preview.decision
    answer = "would retrain" if preview.would_retrain else f"would not retrain ({decision.act})"
    told = [f"{preview.model} {answer} at {preview.now:%Y-%m-%d %H:%M:%S} UTC: {_one_line(decision.reason)}", ""]
    told += aligned(_facts(preview, spec))
    if preview.opened:
        told += ["", *aligned([HEAD, *(_row(signal, preview) for signal in preview.opened)], widest=40)]
    return told


def _facts(preview: Preview, spec: ModelSpec) -> list[tuple[str, str]]:
    """The state that the decision rests on, one named fact a line; what is not the case is left out."""
    from include.lifecycle.decisions.policy import cooldown_until

    state, until = preview.state, cooldown_until(preview.state, spec)
    factor = spec.retraining.spent_until_grown
    spent, declined = (
        "; ".join(f"{cause} until its effect is {effect * factor:.3g}" for cause, effect in sorted(effects.items()))
        for effects in (state.spent, state.declined)
    )
    starts = datetime.fromisoformat(preview.decision.evidence["starts_at"])
    facts = [
        ("mode", spec.retraining.mode),
        ("champion", f"version {state.champion}" if state.champion is not None else "none"),
        ("trainings this month", f"{state.trainings_this_month} of {spec.retraining.budget_per_month}"),
        ("last request", f"{state.last_request_at:%Y-%m-%d %H:%M} UTC" if state.last_request_at else "none"),
        ("cooldown until", f"{until:%Y-%m-%d %H:%M} UTC" if until and preview.now < until else ""),
        ("fruitless trainings", str(state.fruitless) if state.fruitless else ""),
        ("open request", state.open_request or ""),
        ("open rollout", state.open_rollout or ""),
        ("stopped", state.stopped or ""),
        ("spent", spent),
        ("declined", declined),
        ("may start", f"{starts:%Y-%m-%d %H:%M} UTC" if starts > preview.now else ""),
        ("next look finds", "; ".join(preview.due)),
    ]
    return [(name, value) for name, value in facts if value]


def _row(signal: SignalView, preview: Preview) -> tuple[str, ...]:
    chosen = preview.decision.by_signal[signal.id]
    version = "" if signal.version is None else str(signal.version)
    failed = (f"{signal.effect:.3g}", version, str(signal.windows_failed), format_duration(signal.spanning))
    return (str(signal.id), signal.cause, signal.severity, *failed, chosen.code, _one_line(chosen.reason))


def _one_line(text: str) -> str:
    return " ".join(text.split())
