"""Stage validate_data: schema checks and the declared expectations on the fetched file; failing data stops the run.

Writes `validation.json` with every check, also when it fails, and hands on the verdict.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from include.lifecycle.data.expectations import build_expectations, run_expectations
from include.lifecycle.data.fetch import WINDOW_END, WINDOW_START
from include.lifecycle.data.findings import Finding
from include.lifecycle.data.schema_checks import schema_findings
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.results import FetchedData, ValidatedData
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import whole_folder
from include.lifecycle.verdicts import Outcome, Verdict

REPORT_FILE = "validation.json"


def validate_data(spec: ModelSpec, rt: Runtime, run: RunContext, fetched: FetchedData) -> ValidatedData:
    """Check the fetched rows.

    Raises:
        SpecInvalidError: an expectation or argument that does not exist (found before the data is read).
        DataInvalidError: listing every failed check with counts and examples; the report is written all the same.
    """
    import pandas as pd

    expectations = build_expectations(spec)
    window = _window(fetched.path)
    frame = pd.read_parquet(fetched.path)
    findings = schema_findings(spec, frame, window) + run_expectations(expectations, frame)
    verdict = _verdict(findings)
    report = _write_report(rt, run, fetched, findings)
    if verdict.failed:
        raise DataInvalidError(f"model {spec.name}, query {spec.data.query}: {verdict.reason}. Report: {report}")
    return ValidatedData(verdict=verdict, expectations=len(findings), report=report)


def _window(path: Path) -> tuple[datetime, datetime]:
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    if WINDOW_START not in metadata or WINDOW_END not in metadata:
        raise DataInvalidError(f"{path} does not say which window it holds; it was not written by fetch_data")
    start, end = (datetime.fromisoformat(metadata[key].decode()) for key in (WINDOW_START, WINDOW_END))
    return start, end


def _verdict(findings: list[Finding]) -> Verdict:
    failed = [finding for finding in findings if not finding.success]
    evidence = {"checks": len(findings), "failed": [finding.model_dump(mode="json") for finding in failed]}
    if failed:
        listed = " | ".join(finding.sentence for finding in failed)
        reason = f"{len(failed)} of {len(findings)} data checks failed: {listed}"
        return Verdict(check="data_validation", outcome=Outcome.FAIL, reason=reason, evidence=evidence)
    reason = f"all {len(findings)} data checks passed"
    return Verdict(check="data_validation", outcome=Outcome.PASS, reason=reason, evidence=evidence)


def _write_report(rt: Runtime, run: RunContext, fetched: FetchedData, findings: list[Finding]) -> Path:
    folder = run.folder(rt.storage)
    report = {
        "model": run.model,
        "data": str(fetched.path),
        "rows": fetched.rows,
        "success": all(finding.success for finding in findings),
        "checks": [finding.model_dump(mode="json") for finding in findings],
    }
    with whole_folder(folder) as temporary:
        (temporary / REPORT_FILE).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return folder / REPORT_FILE
