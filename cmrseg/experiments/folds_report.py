"""What is told of a cross-validation of networks for indices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cmrseg.evaluation.indices_report import indices_report
from cmrseg.experiments.ensembles import FILES, FOLDS
from cmrseg.experiments.folds import FoldRun
from cmrseg.report.html import Section, Table
from cmrseg.report.write import Report

_FOLDS = (
    "Every subject is answered by the models of its fold, which were neither trained on it nor chose their "
    "epoch by it; the subjects of one patient are in one fold."
)


def folds_report(run: FoldRun, provenance: Mapping[str, object]) -> Report:
    """Table 1 over all subjects, differences between recipes, and the folds."""
    report = indices_report(run.evaluation, provenance)
    counts = run.folds.groupby("fold", as_index=False).agg(subjects=("subject", "nunique"))
    folds = Section("Folds", [_FOLDS, *run.notes], [Table(counts, FOLDS)])
    tables = {name: table for name, table in (report.tables or {}).items() if name != "values.csv"}
    return replace(
        report,
        title="Cross-validation of networks for indices",
        sections=[report.sections[0], folds, *report.sections[1:]],
        tables={**tables, FILES[0]: run.evaluation.values, FOLDS: run.folds},
    )
