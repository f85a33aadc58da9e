"""Printed numbers beside a log."""

from pathlib import Path

import pandas as pd
import pytest

from cmrseg.experiments.curves import RUN_COLUMNS
from cmrseg.experiments.printed import PAPER_COLUMNS, beside, read_printed
from cmrseg.problems import DataError

PAPER = Path(__file__).parents[2] / "benchmarks" / "ankenbrand2021_fig6.tsv"


@pytest.fixture
def printed(tmp_path):
    """A function of the starting point, peak and plateau that a paper prints for R, full, LV."""

    def call(*values, columns=PAPER_COLUMNS, copies=1):
        text = "\t".join(["R", "full", "LV", *values, "III.B: a sentence"])
        (tmp_path / "paper.tsv").write_text("\n".join(["\t".join(columns), *[text] * copies]))
        return read_printed(tmp_path / "paper.tsv")

    return call


def runs(**values):
    row = {"start": "R", "subset": "full", "seed": 0, "structure": "LV", "images": 4, "epochs": 2}
    row |= {"starting_point": 0.574, "peak": 0.894, "smoothed_peak": 0.886, "plateau": 45_000} | values
    return pd.DataFrame([row]).reindex(columns=list(RUN_COLUMNS))


def test_a_number_agrees_when_the_log_rounds_to_it(printed):
    table = beside(runs(), printed("0.57", "0.89", "")).set_index("quantity")
    assert table["agrees"].to_dict() == {"starting_point": True, "peak": True, "smoothed_peak": True}
    assert table["difference"].tolist() == pytest.approx([0.004, 0.004, -0.004])
    other = beside(runs(peak=0.896), printed("", "0.89", "")).set_index("quantity")
    assert not other.loc["peak", "agrees"]


@pytest.mark.parametrize(
    ("plateau", "difference", "agrees"),
    [(45_000, 0, True), (50_000, 0, True), (39_000, -1000, False), (52_000, 2000, False)],
)
def test_a_range_agrees_when_the_log_lies_in_it(printed, plateau, difference, agrees):
    (row,) = beside(runs(plateau=plateau), printed("", "", "40000-50000")).itertuples()
    assert (row.difference, row.agrees) == (difference, agrees)


def test_of_several_seeds_the_mean_counts(printed):
    table = pd.concat([runs(peak=0.80), runs(peak=0.90, seed=1)])
    assert beside(table, printed("", "0.85", "")).loc[0, "log"] == pytest.approx(0.85)


def test_numbers_of_other_runs_are_left_out(printed):
    assert beside(runs(subset="v7"), printed("0.57", "0.89", "")).empty


@pytest.mark.parametrize("text", ["about 0.9", "0.8-", "-0.8", "0,89"])
def test_what_is_no_number_is_refused(printed, text):
    with pytest.raises(DataError, match="peak must hold numbers or ranges"):
        printed("0.57", text, "")


def test_a_row_that_is_there_twice_is_refused(printed):
    with pytest.raises(DataError, match="R full LV more than once"):
        printed("0.57", "0.89", "", copies=2)


def test_a_missing_column_is_named(printed):
    with pytest.raises(DataError, match="lacks the column peak"):
        printed("0.57", "0.89", "", columns=[c.replace("peak", "top") for c in PAPER_COLUMNS])


def test_the_numbers_of_the_paper_can_be_read_and_have_their_sentences():
    paper = read_printed(PAPER)
    assert len(paper) == 22
    for row in paper.itertuples():
        for value in (row.starting_point, row.peak):
            assert value in row.sentence
