"""CPU and memory of both arms' server processes, from supervisord and the kernel. They are told, not judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from include.lifecycle.rollout.judging.source_evidence import UsageEvidence
from include.lifecycle.rollout.sources.base import Look
from include.lifecycle.rollout.targets.programs import declared_programs
from include.lifecycle.rollout.targets.supervisor import Supervisor

EVERY = 10.0  # wall seconds between two readings


@dataclass(frozen=True)
class ProcessSource:
    """Reads the processes of this machine; elsewhere (no supervisord, no psutil) there is nothing to tell."""

    name: str = "processes"

    def read(self, look: Look) -> dict[str, Any]:
        """`usage` by arm. Raises SourceUnavailableError when supervisord does not answer."""
        before, settings = look.before.usage, look.rt.settings
        last = max((one.at for one in before.values()), default=None)
        if not settings.supervisor_socket.exists() or not look.due(last, EVERY) or find_spec("psutil") is None:
            return {}
        pids = Supervisor(settings.supervisor_socket, settings.server_conf_dir).pids()
        arms: dict[str, list[int]] = {}
        for program in declared_programs(settings.server_conf_dir):
            arm = _arm(look, program.version, baseline=program.baseline)
            if program.model == look.plan.model and arm and program.name in pids:
                arms.setdefault(arm, []).append(pids[program.name])
        return {"usage": {arm: _usage(found, before.get(arm), look.now) for arm, found in arms.items()}}


def _arm(look: Look, version: int, *, baseline: bool) -> str:
    if baseline:
        return "challenger" if look.plan.version == look.plan.champion else "baseline"
    return {look.plan.champion: "champion", look.plan.version: "challenger"}.get(version, "") if version else ""


def _usage(pids: Iterable[int], before: UsageEvidence | None, now: float) -> UsageEvidence:
    """Sums over the processes and their children; what ended meanwhile is left out."""
    import psutil

    memory, seconds, servers = 0, 0.0, 0
    for pid in pids:
        try:
            parent = psutil.Process(pid)
            for process in [parent, *parent.children(recursive=True)]:
                times = process.cpu_times()
                memory, seconds = memory + process.memory_info().rss, seconds + times.user + times.system
            servers += 1
        except psutil.NoSuchProcess:
            continue
    elapsed = 0.0 if before is None else now - before.at
    grew = before is not None and elapsed > 0 and seconds >= before.cpu_seconds
    cores = (seconds - before.cpu_seconds) / elapsed if before is not None and grew else None
    return UsageEvidence(at=now, servers=servers, memory=memory, cpu_seconds=seconds, cores=cores)
