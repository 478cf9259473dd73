"""`cli apply [MODEL]`: asks a running Airflow to read the models' Dag files again, after all YAML was found right."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_all, load_model
from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("apply", help="ask Airflow to read a changed YAML now")
    parser.add_argument("model", nargs="?", help="default: all models")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Check, then ask; nothing is asked for a model whose YAML is wrong."""
    from include.lifecycle.airflow_api import AirflowApi

    names, broken = _checked(arguments.model, settings)
    for problem in broken:
        print(problem, file=sys.stderr)
    if not names:
        return 1 if broken else _nothing(settings)
    with AirflowApi(settings) as airflow:
        tokens = airflow.file_tokens()
        for name in names:
            asked = sorted({token for dag_id, token in tokens.items() if dag_id in (f"train__{name}", f"deploy__{name}")})
            for token in asked:
                airflow.parse_file(token)
            print(f"{name}: {'Airflow reads its Dag file again' if asked else _unknown(name, settings)}")
        for file, trace in airflow.import_errors().items():
            if file.removesuffix(".py").rpartition("/")[2] in names:
                print(f"note: before this, Airflow could not read {file}: {trace.strip().splitlines()[-1]}")
    return 1 if broken else 0


def _checked(model: str | None, settings: Settings) -> tuple[list[str], list[SpecInvalidError]]:
    if model:
        return [load_model(model, settings=settings).name], []
    models = load_all(settings=settings)
    return list(models), list(models.broken.values())


def _unknown(name: str, settings: Settings) -> str:
    if not (settings.dags_dir / f"{name}.py").is_file():
        return f"nothing to read, dags/{name}.py does not exist"
    return "Airflow has not been able to read its Dag file yet; it looks again by itself"


def _nothing(settings: Settings) -> int:
    print(f"no models in {settings.models_dir}")
    return 0
