"""The machine's own resources: CPU, memory, and the room that is left for storage. Linux' /proc; elsewhere only the room is told.

In a container /proc is the host's; where a node_exporter runs, it knows more.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from include.lifecycle.exporter.families import Families

_PROC = Path("/proc")
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def add_host(families: Families, storage: Path, proc: Path = _PROC) -> None:
    """CPU seconds by mode, memory and its available part, and size and free part of the disk under `storage`, in bytes."""
    place = next(folder for folder in (storage, *storage.parents) if folder.exists())
    room = shutil.disk_usage(place)
    text = "disk under the storage folder"
    families.gauge("modelops_storage_bytes", text, room.total, kind="total")
    families.gauge("modelops_storage_bytes", text, room.free, kind="free")
    if not (proc / "stat").is_file():
        return
    ticks = (proc / "stat").read_text(encoding="ascii").splitlines()[0].split()[1 : len(_MODES) + 1]
    for mode, value in zip(_MODES, ticks, strict=True):
        seconds = int(value) / os.sysconf("SC_CLK_TCK")
        families.counter("modelops_host_cpu_seconds_total", "seconds of all CPUs by what they did", seconds, mode=mode)
    lines = (line.split() for line in (proc / "meminfo").read_text(encoding="ascii").splitlines())
    memory = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}
    for kind, name in (("total", "MemTotal"), ("available", "MemAvailable")):
        families.gauge("modelops_host_memory_bytes", "memory of the machine", memory.get(name), kind=kind)
