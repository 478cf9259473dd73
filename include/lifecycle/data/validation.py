"""Stage validate_data: judges the fetched rows, sets bad ones aside, and hands the clean ones to snapshot and preparation.

Order: schema contract, checks of single rows, expectations, missing values, outliers, share of the quarantine, change since the
last training data. Every check is a Finding in `validation.json` and on the page, also when the stage fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from include.lifecycle.data.data_profile import DataProfile, keep_profile, own_profile, previous_profile, take_profile
from include.lifecycle.data.expectations import build_expectations, run_expectations
from include.lifecycle.data.findings import Finding, verdict_of
from include.lifecycle.data.missing import missing_finding
from include.lifecycle.data.outliers import distances, outlier_finding
from include.lifecycle.data.quarantine import QUARANTINE_FILE, BadRows, separate, share_finding
from include.lifecycle.data.row_checks import row_findings
from include.lifecycle.data.schema_change import change_findings
from include.lifecycle.data.schema_checks import contract_findings, key_finding, numeric_columns, text_columns
from include.lifecycle.data.table_file import TableFile
from include.lifecycle.data.validation_report import REPORT_FILE, publish_page, report_content, write_report
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import FetchedData, ValidatedData
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import whole_folder
from include.lifecycle.verdicts import Outcome, Verdict


@dataclass(frozen=True)
class Judged:
    """What the checks found, and what the data looked like (None when its columns are not what they must be)."""

    result: ValidatedData
    profile: DataProfile | None


def validate_data(spec: ModelSpec, rt: Runtime, run: RunContext, fetched: FetchedData) -> ValidatedData:
    """Check the fetched rows, separate the bad ones, and note the verdict in the ledger.

    Raises:
        SpecInvalidError: an expectation or argument that does not exist (found before the data is read).
        DataInvalidError: listing every failed check with counts and examples, or what could not be told where
            `data.on_inconclusive` is refuse; the report is written all the same.
    """
    judged = judge_data(spec, rt, run, fetched)
    _note(spec, rt, run, judged.result.verdict)
    return accepted(spec, rt, run, judged)


def judge_data(spec: ModelSpec, rt: Runtime, run: RunContext, fetched: FetchedData) -> Judged:
    """All checks, written to the stage's folder and the model's reports; raises SpecInvalidError only."""
    expectations = build_expectations(spec)
    table = TableFile(fetched.path)
    bad = BadRows(table.rows)
    findings = contract_findings(spec, table.schema)
    profile = None
    if all(finding.success for finding in findings):
        findings += row_findings(spec, table, bad)
        findings.append(key_finding(spec, table, bad.keep))
        findings += run_expectations(expectations, table, bad)
        findings += _feature_findings(spec, table, bad)
        changes, profile = _changes(spec, rt, run, table, bad)
        findings += changes
    findings += [share_finding(spec, bad), _enough_rows(spec, bad)]
    verdict = verdict_of(findings, table.rows, bad.counts)
    return Judged(_write(spec, rt, run, fetched, table, bad, findings, verdict), profile)


def accepted(spec: ModelSpec, rt: Runtime, run: RunContext, judged: Judged) -> ValidatedData:
    """The result, whose profile the next run is compared with; DataInvalidError when the data is not to be trained on."""
    result, verdict = judged.result, judged.result.verdict
    if verdict.failed or (verdict.outcome is Outcome.INCONCLUSIVE and spec.data.on_inconclusive == "refuse"):
        raise DataInvalidError(f"model {spec.name}, {spec.data.source}: {verdict.reason}. Report: {result.report}")
    if judged.profile is not None:
        keep_profile(rt, run, judged.profile)
    return result


def _note(spec: ModelSpec, rt: Runtime, run: RunContext, verdict: Verdict) -> None:
    """The verdict with its numbers, once per run and outcome."""
    rt.ledger.write(
        Entry(
            model=spec.name,
            kind="training",
            act="validate data",
            reason=verdict.reason,
            actor=run.actor,
            verdict=verdict.outcome,
            spec_hash=spec.digest,
            run_id=run.run_id,
            idempotency_key=f"validate-data:{spec.name}:{run.run_id}:{verdict.outcome}",
            evidence=verdict.evidence,
        )
    )


def _feature_findings(spec: ModelSpec, table: TableFile, bad: BadRows) -> list[Finding]:
    """Missing values of every feature, and outliers of the numeric ones, over the rows that are not in quarantine yet."""
    found, keep, rule = [], bad.keep, spec.data.outliers
    extreme = []
    for name in numeric_columns(spec):
        values = table.numbers(name)[keep]
        found.append(missing_finding(spec, name, int((~np.isfinite(values)).sum()), len(values)))
        if rule.method == "none" or (name in spec.columns and spec.columns[name].outliers == "ignore"):
            continue
        far = distances(values, rule.method)
        found.append(outlier_finding(name, values, far, rule))
        if rule.quarantine_beyond is not None and (far > rule.quarantine_beyond).any():
            mask = np.zeros(table.rows, dtype=np.bool_)
            mask[keep] = far > rule.quarantine_beyond
            extreme.append((f"outlier({name})", mask))
    for name in text_columns(spec):
        column = table.column(name)
        missing = int((column.is_null().to_numpy() & keep).sum())
        found.append(missing_finding(spec, name, missing, int(keep.sum())))
    for reason, mask in extreme:
        bad.add(reason, mask)
    return found


def _changes(spec: ModelSpec, rt: Runtime, run: RunContext, table: TableFile, bad: BadRows) -> tuple[list[Finding], DataProfile]:
    """Changes since the last accepted data, and this run's own profile. A rerun is compared with what its first try was."""
    own = own_profile(rt, run)
    now = own.taken_at if own else rt.clock.now()
    profile = take_profile(spec, table, bad.keep, run, now)
    return change_findings(profile, previous_profile(rt, run, now), spec.data.schema_change), profile


def _enough_rows(spec: ModelSpec, bad: BadRows) -> Finding:
    rows = bad.rows - bad.count
    enough = rows >= spec.data.minimum_rows
    return Finding(
        check="row_count",
        outcome=Outcome.PASS if enough else Outcome.INCONCLUSIVE,
        rows=rows,
        detail=f"{rows} rows, data.minimum_rows is {spec.data.minimum_rows}",
    )


def _write(
    spec: ModelSpec,
    rt: Runtime,
    run: RunContext,
    fetched: FetchedData,
    table: TableFile,
    bad: BadRows,
    findings: list[Finding],
    verdict: Verdict,
) -> ValidatedData:
    """Reports, quarantine and clean rows, whole or not at all; a rerun replaces them."""
    folder = run.folder(rt.storage)
    content = report_content(run, table.path, bad, findings, verdict)
    contract_holds = all(finding.success for finding in findings if finding.check in ("columns_exist", "column_kinds"))
    with whole_folder(folder) as temporary:
        write_report(temporary, content)
        clean = separate(table, bad, temporary, numeric_columns(spec)) if contract_holds else table.path
    apart = folder / QUARANTINE_FILE
    return ValidatedData(
        verdict=verdict,
        expectations=len(findings),
        report=folder / REPORT_FILE,
        model=run.model,
        page=publish_page(rt, run, content),
        clean=fetched.model_copy(
            update={"path": _moved(clean, temporary, folder), "rows": bad.rows - bad.count, "quarantined_rows": bad.count}
        ),
        quarantined=bad.count,
        reasons=bad.counts,
        quarantine=apart if apart.is_file() else None,
    )


def _moved(path: Path, temporary: Path, folder: Path) -> Path:
    return folder / path.name if path.parent == temporary else path
