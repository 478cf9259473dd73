"""The models' specs, read anew only when their files change: a scrape must not validate a thousand YAML files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from include.lifecycle.alerting.policy import default_policy
from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import DEFAULTS, load_model, model_names
from include.lifecycle.sections.alerts import AlertsSection
from include.lifecycle.spec import ModelSpec
from include.settings import Settings

_Stamp = tuple[int, ...]


@dataclass
class KnownSpecs:
    """`read` gives every valid spec by name; `broken` are the models whose YAML is not."""

    settings: Settings
    broken: set[str] = field(default_factory=set)
    _kept: dict[str, tuple[_Stamp, ModelSpec | None]] = field(default_factory=dict)

    def read(self) -> dict[str, ModelSpec]:
        """Specs as the files say now."""
        kept: dict[str, tuple[_Stamp, ModelSpec | None]] = {}
        for name in model_names(settings=self.settings):
            stamp, known = self._stamp(name), self._kept.get(name)
            kept[name] = known if known is not None and known[0] == stamp else (stamp, self._load(name))
        self._kept = kept
        self.broken = {name for name, (_, spec) in kept.items() if spec is None}
        return {name: spec for name, (_, spec) in kept.items() if spec is not None}

    def policy(self, model: str) -> AlertsSection:
        """Section `alerts` of a model; the defaults' for the platform and for a model without a valid YAML."""
        _, spec = self._kept.get(model, ((), None))
        return spec.alerts if spec is not None else default_policy(self.settings)

    def _load(self, name: str) -> ModelSpec | None:
        try:
            return load_model(name, settings=self.settings)
        except SpecInvalidError:
            return None  # counted in `broken`; `cli lint` says why

    def _stamp(self, name: str) -> _Stamp:
        files = [self.settings.models_dir / f"{name}.yaml", self.settings.models_dir / DEFAULTS]
        files += [self.settings.overlay / f"{name}.yaml"] if self.settings.overlay else []
        return tuple(_mtime(file) for file in files)


def _mtime(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
