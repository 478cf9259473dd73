"""`cli retention MODEL`: which versions are kept and which go, each with its reason; acts only with --apply."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.lifecycle.commands.numbers import version_number
from include.lifecycle.commands.tables import aligned
from include.lifecycle.errors import LifecycleError
from include.lifecycle.loading import load_model
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.registry.retention import VersionPlan
    from include.lifecycle.runtime import Runtime

HEAD = ("VERSION", "SEMVER", "STAGE", "DECISION", "WHY")
ACTOR = "command line:retention"


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "show which versions are kept, archived or removed, and why; or pin one"
    parser = subparsers.add_parser("retention", help=text, description=f"{text}. Without --apply nothing is changed.")
    parser.add_argument("model")
    acts = parser.add_mutually_exclusive_group()
    acts.add_argument("--dry-run", action="store_true", help="only show the plan (also without this option)")
    acts.add_argument("--apply", action="store_true", help="carry the plan out, as the Dag retire does")
    acts.add_argument("--pin", type=version_number, metavar="VERSION", help="never remove this version's files; needs --reason")
    acts.add_argument("--unpin", type=version_number, metavar="VERSION", help="take the pin away")
    parser.add_argument("--reason", help="why a version is pinned; stands in the plan and in the ledger")
    parser.add_argument("--json", action="store_true", help="one JSON object a version")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Pin, plan or apply."""
    from include.lifecycle.runtime import build_runtime

    if (arguments.pin is not None) != bool((arguments.reason or "").strip()):
        raise LifecycleError("--pin VERSION and --reason TEXT belong together: a pin without a reason helps nobody")
    rt = build_runtime(settings)
    try:
        if arguments.pin is not None or arguments.unpin is not None:
            _pin(rt, arguments)
            return 0
        _plan(rt, arguments, settings)
    finally:
        rt.engine.dispose()
    return 0


def _pin(rt: Runtime, arguments: argparse.Namespace) -> None:
    from include.lifecycle.registry.retirement import pin_version

    version = arguments.pin if arguments.pin is not None else arguments.unpin
    pin_version(rt, arguments.model, version, arguments.reason if arguments.pin is not None else None, actor=ACTOR)
    print(f"version {version} of {arguments.model} is {'pinned' if arguments.pin is not None else 'not pinned'}")


def _plan(rt: Runtime, arguments: argparse.Namespace, settings: Settings) -> None:
    from include.lifecycle.database import transaction
    from include.lifecycle.registry.retention import plan_retention
    from include.lifecycle.registry.retirement import retire_versions
    from include.lifecycle.runtime import RunContext

    spec = load_model(arguments.model, settings=settings)
    with transaction(rt.engine) as connection:
        plans = plan_retention(spec, rt, connection)
    if arguments.json:
        print("".join(f"{json.dumps(_plain(plan))}\n" for plan in plans), end="")
    else:
        print("\n".join(aligned([HEAD, *map(_line, plans)])) if plans else f"{spec.name} has no versions")
    if arguments.apply:
        done = retire_versions(spec, rt, RunContext(spec.name, f"retention__{uuid4().hex[:12]}", "retention", by="command line"))
        told = f"applied: archived {', '.join(map(str, done.retired)) or 'none'}"
        print(told if not arguments.json else json.dumps({"retired": done.retired, "kept": done.kept}))


def _plain(plan: VersionPlan) -> dict[str, Any]:
    return plan.model_dump(mode="json") | {"decision": plan.decision, "why": plan.reasons}


def _line(plan: VersionPlan) -> tuple[str, ...]:
    return (str(plan.version), plan.semver or "-", plan.stage, plan.decision, plan.reasons)
