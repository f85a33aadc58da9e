"""What is told of models beside each other: the poster's tables, tests, volumes, costs, pictures."""

from __future__ import annotations

from collections.abc import Mapping

from cmrseg.evaluation.phases import poster_table
from cmrseg.experiments.comparison import Comparison
from cmrseg.experiments.stack_figure import pick_stacks, stack_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report

_TITLES = {"all": "As the networks give them", "heart": "One heart: other pieces removed"}


def comparison_report(found: Comparison, provenance: Mapping[str, object]) -> Report:
    """What is told of a comparison.

    Parameters
    ----------
    found
        The comparison.
    provenance
        What was compared.
    """
    text = [
        "Mean Dice and mean Hausdorff distance (mm) per volume, one pass over the whole image, no flips. (n) "
        "is the number of volumes with a value, where it is not that of all: what one of truth and "
        "prediction lacks has a Dice of 0 and no distance (column missed of table.csv).",
        *(f"{note[:1].upper()}{note[1:]}." for note in found.notes),
    ]
    sections = [
        Section(
            _TITLES[pieces], text if not number else (), [Table(poster_table(found.phases(pieces)), "Mean")]
        )
        for number, pieces in enumerate(found.evaluations)
    ]
    sections += [_tests(found), _clinical(found), _costs(found), _pictures(found)]
    tables = {
        "table.csv": found.table(),
        "tests.csv": found.tests(),
        "clinical.csv": found.clinical(),
        "costs.csv": found.costs,
        **{f"poster_{pieces}.csv": poster_table(found.phases(pieces)) for pieces in found.evaluations},
    }
    summary = f"{len(found.arms)} models on the same {found.which}."
    return Report(
        "Models beside each other", sections, provenance, summary, tables=tables, problems=found.problems
    )


def _tests(found: Comparison) -> Section:
    """Paired tests of the masks as they are."""
    table = found.tests()
    shown = table[table["pieces"] == "all"].drop(columns="pieces")
    if shown.empty:
        return Section(
            "Paired tests", ["No two models differ in the loss alone or in the architecture alone."]
        )
    text = (
        "Second minus first over the volumes that both have a value of: mean difference with its 95 % "
        "bootstrap interval, p of Wilcoxon's signed-rank test and the same after Holm's correction for all "
        "rows. With few subjects no small p is a proof. tests.csv holds the tests of one heart, too."
    )
    return Section("Paired tests", [text], [Table(shown, "Between losses, and between architectures")])


def _clinical(found: Comparison) -> Section:
    """Volumes, EF and mass."""
    table = found.clinical()
    captions = {"all": "All pieces", "heart": "One heart"}
    tables = [
        Table(table[table["pieces"] == pieces].drop(columns="pieces"), captions[pieces])
        for pieces in found.evaluations
    ]
    text = "Predicted minus true; limits of agreement are bias ± 1.96 sd, correlation is Pearson's."
    return Section("Clinical parameters", [text], tables)


def _costs(found: Comparison) -> Section:
    """Time and memory."""
    text = (
        "Time and most memory of one stack (one phase of an examination of median size), from intensities to "
        "mask, in a process of its own on this computer; those of the training are of the one that trained."
    )
    return Section("Costs", [text], [Table(found.costs, "Parameters, file, time and memory")])


def _pictures(found: Comparison) -> Section:
    """Best, median and worst volume."""
    pictures = [
        Picture(
            stack_figure(example), f"Slices of the {example.title}.", f"stack_{example.title.split(':')[0]}"
        )
        for example in pick_stacks(found.evaluations["all"])
    ]
    return Section("Best, median and worst volume", pictures=pictures)
