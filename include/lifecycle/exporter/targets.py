"""Which model servers Prometheus is to scrape: a file_sd file made of what supervisord is told to run.

A server that died keeps its entry, since it is declared: that is how its death is seen. No database is asked.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from include.lifecycle.rollout.targets.programs import Declared, declared_programs
from include.lifecycle.storage import write_whole

log = logging.getLogger(__name__)
FILE = "model-servers.json"


def write_targets(conf_dir: Path, folder: Path) -> bool:
    """Write `<folder>/model-servers.json` when it would change; return whether it did."""
    entries = []
    for program in declared_programs(conf_dir):
        declared = Declared.read(conf_dir / f"{program.name}.conf")
        if declared is None:
            continue  # stopped in between
        arm = "baseline" if program.baseline else "live"
        labels = {"server": program.name, "model": program.model, "version": str(program.version), "arm": arm}
        entries.append({"targets": [f"127.0.0.1:{declared.port}"], "labels": labels})
    text = json.dumps(entries, indent=1) + "\n"
    path = folder / FILE
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    return True
