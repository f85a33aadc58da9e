"""The files of `cmrseg study curves`, and the tables that people see."""

import pandas as pd
import pytest

from cmrseg.experiments.curves import RUN_COLUMNS
from cmrseg.experiments.curves_report import disagreements, screen_table
from cmrseg.workflows.experiments import curves

LOG = "epoch,diceLV,diceMY,model,images_seen,start,subset,seed\n"
PAPER = "start\tsubset\tstructure\tstarting_point\tpeak\tplateau\tsentence\n"


@pytest.fixture
def log(tmp_path):
    """A log of R on the full set with two seeds."""
    rows = [
        f"{e},{0.5 + s / 10 + e / 20},0.4,x,{(e + 1) * 10},R,full,{s}\n" for s in (0, 1) for e in range(3)
    ]
    (tmp_path / "log.csv").write_text(LOG + "".join(rows))
    return tmp_path / "log.csv"


@pytest.mark.slow  # draws two figures
def test_all_files_are_written(log, tmp_path):
    paper = tmp_path / "paper.tsv"
    paper.write_text(PAPER + "R\tfull\tLV\t0.55\t0.99\t\t<b>III.B</b>\n")
    out = tmp_path / "out"
    curves([log], out, paper=paper)
    assert len(pd.read_csv(out / "runs.csv")) == 4
    assert pd.read_csv(out / "seeds.csv")["seeds"].tolist() == [2, 2]
    assert {"smooth_LV", "dice_LV", "images_seen"} <= set(pd.read_csv(out / "curves.csv"))
    assert pd.read_csv(out / "beside.csv")["agrees"].tolist() == [True, False, False]
    for name in ("fig6.png", "fig6_raw.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    assert "not R full LV (paper 0.99, log 0.650)" in page
    assert "Mean and range over the seeds" in page


@pytest.mark.slow  # draws four figures
def test_an_earlier_comparison_with_a_paper_does_not_stay(log, tmp_path):
    paper = tmp_path / "paper.tsv"
    paper.write_text(PAPER + "R\tfull\tLV\t0.55\t0.99\t\tIII.B\n")
    curves([log], tmp_path / "out", paper=paper)
    curves([log], tmp_path / "out")
    assert not (tmp_path / "out" / "beside.csv").exists()


def runs(seeds):
    rows = [
        {"start": "R", "subset": "full", "seed": s, "structure": "LV", "images": 4, "epochs": 2,
         "starting_point": 0.5 + s / 10, "peak": 0.8 + s / 10, "smoothed_peak": 0.8, "plateau": 40_608}
        for s in range(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=list(RUN_COLUMNS))


def test_one_seed_is_shown_as_numbers():
    assert screen_table(runs(1)).iloc[0].tolist() == ["R", "full", "LV", 0.5, 0.8, 41]


def test_several_seeds_are_shown_as_mean_and_range():
    shown = screen_table(runs(3)).iloc[0].tolist()
    assert shown[3:] == ["0.60 (0.50-0.70)", "0.90 (0.80-1.00)", 41]


def test_agreement_is_counted_and_every_other_number_told():
    table = pd.DataFrame({
        "start": "R", "subset": "full", "structure": ["LV", "MYO", "LV"],
        "quantity": ["peak", "peak", "plateau"], "paper": ["0.89", "0.77", "100000"],
        "log": [0.894, 0.78, 45_684.0], "difference": 0.0, "agrees": [True, False, False],
    })  # fmt: skip
    assert disagreements(table) == [
        "peak: 1 of 2 agree; not R full MYO (paper 0.77, log 0.780).",
        "plateau: 0 of 1 agree; not R full LV (paper 100000, log 45684).",
    ]
