"""What supervisord starts instead of a program itself: ends what an earlier instance left behind, then becomes the program.

Run by path with the standard library only (`python -I -S launch.py SPEC.json`). A killed scheduler leaves workers, tasks and
its log server, beside which a new one could not start.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import sys
import time
from pathlib import Path
from typing import Any


def main(path: str) -> None:
    """Replace this process by the program of the JSON file: {name, argv, env, cwd, user, nice}."""
    spec: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    record = Path(path).with_suffix(".pgid")
    end_leftovers(record, {name: spec["env"][name] for name in ("MODELOPS_PROGRAM", "MODELOPS_LOCAL")})
    record.write_text(f"{os.getpid()} {_started(os.getpid())}", encoding="utf-8")
    os.chdir(spec["cwd"])
    if spec.get("user"):
        # Again at each start: programs that guard their folders (pytest, sshd's checks) may have closed the way since.
        let_through(Path(spec["cwd"]))
        let_through(Path(spec["argv"][0]).parent)
        become(spec["user"])
    os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - no shell is wanted


def end_leftovers(record: Path, mark: dict[str, str]) -> None:
    """Kill the group that the last instance led, any process whose environment carries `mark`, and their descendants."""
    doomed = leftovers(record, mark)
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + 10
    while any(_started(pid) == born for pid, born in doomed.items()) and time.monotonic() < deadline:
        time.sleep(0.02)


def leftovers(record: Path, mark: dict[str, str]) -> dict[int, str]:
    """{process id: start time} of what an earlier instance left; never this process or its ancestors."""
    table = {int(entry.name): _status(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}
    group = _recorded_group(record)
    wanted = {f"{name}={value}".encode() for name, value in mark.items()}
    found = {pid for pid, row in table.items() if row and (int(row[2]) == group or wanted <= _environment(pid))}
    grown = True
    while grown:
        more = {pid for pid, row in table.items() if row and int(row[1]) in found and pid not in found}
        found |= more
        grown = bool(more)
    spared = {os.getpid(), os.getppid(), 1}
    return {pid: _started(pid) for pid in found - spared if (table[pid] or ["Z"])[0] != "Z"}


def let_through(folder: Path) -> None:
    """Let other users traverse `folder` and its parents: execute permission only, nothing to read."""
    for parent in [folder, *folder.parents]:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o011)


def become(user: str) -> None:
    """Give up root for `user`, with its groups only."""
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _recorded_group(record: Path) -> int | None:
    """The last instance's process group, unless a stranger leads a group of that number by now."""
    try:
        leader, born = record.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return int(leader) if _started(int(leader)) in ("", born) and int(leader) != os.getpid() else None


def _status(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name: state, parent, group, ...; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> str:
    """Start time of a living process in clock ticks since boot, which with the id names it; "" for a dead one."""
    row = _status(pid)
    return row[19] if row and row[0] != "Z" else ""


def _environment(pid: int) -> set[bytes]:
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


if __name__ == "__main__":
    main(sys.argv[1])
