"""`<local>/run/summary.json`: how one main job ended, in numbers that can be looked up again (ledger ids, versions, run ids)."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from include.demo.chronicle import Chronicle
from include.demo.story import Story
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.storage import write_whole


def write_summary(path: Path, story: Story, found: Chronicle, failure: str | None) -> dict[str, Any]:
    """Collect the facts, write them whole, and return them. `failure` says why the job did not come to its end (None: it did)."""
    counts = story.replay.totals()
    summary: dict[str, Any] = {
        "model": story.model,
        "episode": story.episode.number,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "loop_closed": failure is None and found.closed,
        "failure": failure,
        "champion_before": found.champion_before,
        "champion_after": None,
        "challenges": [vars(challenge) for challenge in found.challenges],
        "versions": [],
        "drift_signal": found.signal,
        "retired_versions": found.retired,
        "ledger_ids": [],
        "client_requests": {name: counts.get(name, 0) for name in ("sent", "failed")},
        "answered_by_version": counts.get("answered_by", {}),
        "last_client_failure": counts.get("last_failure", ""),
        "seconds_per_stage": story.board.seconds,
        "seconds_total": round(sum(story.board.seconds.values()), 1),
    }
    with suppress(SourceUnavailableError):  # a summary of a failed job says what can still be read
        summary["champion_after"] = story.registry.alias("champion")
        summary["versions"] = [vars(version) for version in story.registry.versions()]
        summary["ledger_ids"] = [row["id"] for row in story.tables.ledger_after(found.ledger_before)]
    write_whole(path, orjson.dumps(summary, option=orjson.OPT_INDENT_2))
    return summary


def told(summary: dict[str, Any]) -> list[str]:
    """The summary as lines for a person."""
    requests, signal = summary["client_requests"], summary["drift_signal"]
    lines = [f"Champion: version {summary['champion_before'] or 'none'} before, version {summary['champion_after']} now."]
    for challenge in summary["challenges"]:
        lines.append(f"  {challenge['source']}: version {challenge['version']} {challenge['outcome']}: {challenge['reason']}")
    if signal:
        lines.append(f"Drift: {signal['cause']} with effect {signal['effect']:.3f} in {signal['windows_failed']} windows.")
    if summary["retired_versions"]:
        lines.append(f"Retired: version {', '.join(map(str, summary['retired_versions']))}.")
    lines.append(f"Client requests: {requests['sent']} sent, {requests['failed']} failed.")
    if summary["last_client_failure"]:
        lines.append(f"  last failure: {summary['last_client_failure']}")
    return lines
