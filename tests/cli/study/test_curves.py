"""`cmrseg study curves`: what it shows, and its complaints."""

from pathlib import Path

import pytest

from tests.cli.conftest import assert_one_sentence

PAPER = Path(__file__).parents[3] / "benchmarks" / "ankenbrand2021_fig6.tsv"
HEADER = "epoch,train_loss,valid_loss,acc_seg,diceComb,diceLV,diceMY,time,model\n"
ROW = "0,0.1,0.1,0.9,0.7,0.574,0.248,06:11,plainLearn\n"
SUBSETS = "file\tId\tframe\tslice\tv1\n1_slice000_frame000.png\t1\t0\t0\tTRUE\n"


@pytest.fixture
def curves(cmrseg, tmp_path):
    """The command on the text of a log and a table with one image."""
    (tmp_path / "subsets.tsv").write_text(SUBSETS)

    def run(text, *options):
        (tmp_path / "log.csv").write_text(text)
        given = ["--subsets", tmp_path / "subsets.tsv", "--out", tmp_path / "out"]
        return cmrseg("study", "curves", tmp_path / "log.csv", *given, *options)

    return run


@pytest.mark.slow  # draws two figures
def test_the_screen_shows_table_paper_and_report_in_80_columns(curves):
    code, said, _ = curves(HEADER + ROW, "--beside", PAPER)
    assert code == 0
    cells = [line.strip("│").split("│") for line in said.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in cells[0]] == ["R", "full", "LV", "0.574", "0.574", "0"]
    assert "beside the paper, starting point: 2 of 2 agree." in said
    assert "report.html" in said
    assert max(len(line) for line in said.splitlines() if line[:1] in "┏┃┡│└") <= 80


@pytest.mark.slow  # draws two figures
def test_the_published_log_is_drawn(cmrseg, test_data, tmp_path):
    folder = test_data.parent / "reference" / "cmr-seg-tl" / "7T"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}")
    given = [folder / "train_log_combined.csv", "--subsets", folder / "image_subsets.tsv", "--out", tmp_path]
    code, said, _ = cmrseg("study", "curves", *given, "--beside", PAPER)
    assert code == 0
    assert "starting point: 6 of 6 agree" in said
    assert "peak: 17 of 22 agree" in said
    assert "loess peak: 20 of 22 agree; not TL2 v3 LV (paper 0.91, log 0.901), TL2 v3 MYO" in " ".join(
        said.split()
    )
    assert "22 of 22 printed peaks are that of the log or of its loess curve" in " ".join(said.split())
    assert (tmp_path / "fig6_loess.png").is_file()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["log.csv"]),
        (HEADER, ["holds no rows"]),
        (HEADER.replace("diceLV", "dice"), ["holds no rows"]),
        (HEADER.replace("diceLV", "dice") + ROW, ["lacks the column diceLV"]),
        (HEADER + ROW.replace("plainLearn", "plain"), ["unknown model 'plain'", "plainLearn"]),
        (HEADER + ROW.replace("0.574", "much"), ["diceLV", "row 2 (much)"]),
        (HEADER + ROW.replace("0,", "zero,", 1), ["epoch", "row 2 (zero)"]),
        (HEADER + ROW.replace("plainLearn", "plainLearn_v7"), ["subsets.tsv lacks the subset 'v7'"]),
        (HEADER + ROW + "1,0.1,0.1,0.9", ["row 3", "unknown model ''"]),  # cut off in the middle of a row
    ],
)
def test_a_bad_log_is_one_sentence(curves, text, parts):
    assert_one_sentence(curves(text), *parts)


def test_missing_files_are_one_sentence(cmrseg, curves, tmp_path):
    assert_one_sentence(cmrseg("study", "curves", tmp_path / "no.csv", "--out", tmp_path), "does not exist")
    assert_one_sentence(curves(HEADER + ROW, "--beside", tmp_path / "no.tsv"), "no.tsv", "does not exist")
    (tmp_path / "bad.tsv").write_text("start\tsubset\nR\tfull\n")
    assert_one_sentence(curves(HEADER + ROW, "--beside", tmp_path / "bad.tsv"), "lacks the column structure")
