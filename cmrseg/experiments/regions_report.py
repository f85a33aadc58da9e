"""What is told of a study of regions: Tables 1, 2 and 3 of the paper, and the curve from base to apex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from cmrseg.evaluation.regions_report import gains_in_paper, paper_table, regions_report
from cmrseg.experiments.regions import BOUND, CLASSIFIED, RegionStudy, gap_table
from cmrseg.metrics.classes import WEIGHTED
from cmrseg.report.html import Section, Table
from cmrseg.report.write import Report

_TABLE2 = (
    "Precision and recall in % on the scored subjects, weighted by how often the regions occur; the one with "
    "the best validation recall is part of the regional model. Every region by itself: classifiers.csv."
)
_GAPS = (
    "How far base and apex lie below the middle, in points of Dice, mean over structures, and how much of "
    "the baseline's gap is closed."
)
_SEEDS = "Mean and sd over {} seeds of all trainings; all other tables are of the first seed."
_CLOSED = ("base_closed_percent", "apex_closed_percent")
_ARMS = "All segmenters start from the same weights and see the same number of images."


def region_study_report(
    studies: Sequence[RegionStudy], provenance: Mapping[str, object], *, seeds: Sequence[int] = ()
) -> Report:
    """What is told of a study of regions.

    Parameters
    ----------
    studies
        The study, of one or more seeds.
    provenance
        What was trained on what.
    seeds
        Of the studies, where there are several.
    """
    found, several = studies[0], seed_table(studies, seeds)
    report = regions_report(found.evaluation, provenance)
    gaps = gap_table(found.evaluation.table1)
    sections = [
        *_seed_sections(several),
        Section("Classifiers", [_TABLE2], [Table(table_two(found.classifiers), "Table 2")]),
        Section("Gaps", [_GAPS], [Table(_one_digit(gaps), "Gap to the middle")]),
        *report.sections,
        *(_of_data_set(name, each.table1, each.table3) for name, each in found.by_data.items()),
        Section("Networks", [_ARMS], [Table(found.arms, "Segmenters")]),
    ]
    tables = {"classifiers.csv": found.classifiers, "gaps.csv": gaps, "arms.csv": found.arms}
    tables |= {} if several.empty else {"seeds.csv": several}
    return replace(
        report,
        title="Base, middle, apex: sampling, or a network for each",
        sections=sections,
        summary=f"{headline(found)} {report.summary}",
        tables={**report.tables, **tables},
        problems=list(dict.fromkeys(problem for study in studies for problem in study.problems)),
    )


def seed_table(studies: Sequence[RegionStudy], seeds: Sequence[int]) -> pd.DataFrame:
    """Table 3 of every seed with the gaps that a method closes, in column seed; empty for a single one."""
    if len(studies) < 2:
        return pd.DataFrame()
    parts = []
    for seed, study in zip(seeds, studies, strict=True):
        closed = gap_table(study.evaluation.table1).drop(columns=["base_gap", "apex_gap"])
        parts.append(study.evaluation.table3.merge(closed, on="method").assign(seed=seed))
    return pd.concat(parts, ignore_index=True)


def _seed_sections(several: pd.DataFrame) -> list[Section]:
    """Mean gains over seeds, and how far the seeds are apart; nothing for a single seed."""
    if several.empty:
        return []
    gains = several.groupby(["method", "structure", "region"], sort=False)["mean"].agg(["mean", "std"])
    closed = (
        several.groupby(["method", "seed"], sort=False)[list(_CLOSED)].first().groupby("method", sort=False)
    )
    shown = closed.agg(["mean", "std"]).round(1)
    shown.columns = [f"{name} {what}" for name, what in shown.columns]
    tables = [
        Table(gains.round(2).reset_index(), "Gain in points of Dice"),
        Table(shown.reset_index(), "Closed part of the gap to the middle (%)"),
    ]
    return [Section("Over seeds", [_SEEDS.format(several["seed"].nunique())], tables)]


def table_two(classifiers: pd.DataFrame) -> pd.DataFrame:
    """Table 2 in the paper's layout, a row per classifier."""
    rows = classifiers[classifiers["class"] == WEIGHTED]
    scores = rows[["validation_recall", "precision", "recall"]] * 100
    return pd.concat([rows[["classifier", "n"]], scores.round(2)], axis=1).reset_index(drop=True)


def headline(found: RegionStudy) -> str:
    """What a reader in a hurry needs: what becomes of the gaps at apex and base."""
    gaps = gap_table(found.evaluation.table1).set_index("method")
    told = [
        f"with {method} the gap at the apex is {_changed(gaps.loc[method, 'apex_closed_percent'])}, that at "
        f"the base {_changed(gaps.loc[method, 'base_closed_percent'])}"
        for method in (CLASSIFIED, BOUND)
    ]
    return f"Classifier {found.chosen}: {'; '.join(told)}."


def _changed(closed_percent: float) -> str:
    """How a gap has changed, in words."""
    return f"{abs(closed_percent):.0f} % {'smaller' if closed_percent >= 0 else 'larger'}"


def _one_digit(gaps: pd.DataFrame) -> pd.DataFrame:
    """Numbers as text with one digit."""
    return gaps.apply(lambda column: column if column.name == "method" else column.map("{:.1f}".format))


def _of_data_set(name: str, table1: pd.DataFrame, table3: pd.DataFrame) -> Section:
    """Tables 1 and 3 of one of several data sets."""
    return Section(
        name, tables=[Table(paper_table(table1), "Table 1"), Table(gains_in_paper(table3), "Table 3")]
    )
