"""The files that an evaluation of ejection fractions leaves behind."""

import pandas as pd
import pytest

from cmrseg.evaluation.ef_report import table_two
from cmrseg.workflows import evaluate


@pytest.fixture
def tables(tmp_path):
    """Two methods on examinations 1 and 2, and one that the truth does not know."""
    (tmp_path / "train.csv").write_text("Id,Systole,Diastole\n1,40,100\n2,40,100\n")
    for name, error in (("r34_p5", 2), ("r50_p5", 1)):
        rows = [
            f"{i}-frame{f:03d}-slice000.png,{p}" for i in (1, 2, 9) for f, p in enumerate((100, 40 + error))
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(["file,lv_pixels", *rows]))
    return [tmp_path / "r34_p5.csv", tmp_path / "r50_p5.csv"], tmp_path / "train.csv", tmp_path / "out"


@pytest.mark.slow  # draws three figures
def test_all_files_are_written(tables):
    evaluate.ef(*tables)
    out = tables[-1]
    assert len(pd.read_csv(out / "ef.csv")) == 4
    assert pd.read_csv(out / "summary.csv")["group"].unique().tolist() == ["r50_p5", "r34_p5"]
    assert pd.read_csv(out / "problems.tsv", sep="\t")["study"].tolist() == [9, 9]
    names = {path.name for path in (out / "figures").iterdir()}
    assert names == {"ef_error.png", "bland_altman_EF_1.png", "bland_altman_EF_2.png"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Best of 2 method(s): r50_p5, absolute EF error 1.00 ± 0.00 points (n = 2)." in page


def test_table_two_counts_examinations_without_lv(tables):
    found = evaluate.ef(tables[0][:1], *tables[1:])
    assert table_two(found).columns.tolist() == ["method", "mean", "sd", "median", "iqr", "n", "no LV"]
    assert table_two(found)["no LV"].tolist() == [0]


@pytest.mark.slow  # draws five figures
def test_plots_of_an_earlier_run_with_more_methods_are_removed(tables):
    counts, truth, out = tables
    evaluate.ef(counts, truth, out)
    (out / "figures" / "mine.png").touch()
    evaluate.ef(counts[:1], truth, out)
    names = {path.name for path in (out / "figures").iterdir()}
    assert names == {"ef_error.png", "bland_altman_EF_1.png", "mine.png"}


def test_problems_of_an_earlier_run_are_removed(tables):
    counts, truth, out = tables
    evaluate.ef(counts[:1], truth, out)
    lines = counts[0].read_text().splitlines()
    counts[0].write_text("\n".join(line for line in lines if not line.startswith("9-")))
    evaluate.ef(counts[:1], truth, out)
    assert not (out / "problems.tsv").exists()
