"""Settings of the stack's optional programs: exporter, Prometheus, Alertmanager and Evidently's UI, and the exporter's files.

Only settings.py reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from include.lifecycle.errors import SettingsError

PROGRAMS, EVIDENTLY = "MODELOPS_PROMETHEUS", "MODELOPS_EVIDENTLY"
TOKEN, TARGETS = "MODELOPS_METRICS_TOKEN_FILE", "MODELOPS_METRICS_TARGETS"
NAMES, PATHS = (PROGRAMS, EVIDENTLY), (TOKEN, TARGETS)

Runs = Literal["none", "exporter", "all"]
_WORDS: dict[str, Runs] = {"": "none", "0": "none", "exporter": "exporter", "1": "all"}


@dataclass(frozen=True)
class MetricsSettings:
    """`runs`: what the stack starts; `token`: file with /metrics' bearer token; `targets`: folder of Prometheus' file_sd.

    `evidently`: whether the stack starts Evidently's UI, too.
    """

    runs: Runs = "none"
    token: Path = Path("metrics-token")
    targets: Path = Path("targets")
    evidently: bool = False


def metrics_settings(env: Mapping[str, str], local: Path) -> MetricsSettings:
    """Build from `env`; SettingsError names a variable whose value cannot be used, and what is allowed."""
    text = env.get(PROGRAMS, "")
    if text not in _WORDS:
        raise SettingsError(f"{PROGRAMS}={text!r}; allowed: 0 (none), exporter, or 1 (exporter, Prometheus and Alertmanager)")
    ui = env.get(EVIDENTLY, "")
    if ui not in ("", "0", "1"):
        raise SettingsError(f"{EVIDENTLY}={ui!r}; allowed: 0 (none) or 1 (Evidently's UI)")
    token = Path(env.get(TOKEN, local / "secrets" / "metrics-token"))
    targets = Path(env.get(TARGETS, local / "prometheus" / "targets"))
    return MetricsSettings(_WORDS[text], token, targets, evidently=ui == "1")
