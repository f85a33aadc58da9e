"""Every number that the paper prints and its authors' tables give, beside ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from cmrseg.data.subsets import read_subsets, subset_sizes
from cmrseg.evaluation.confusion import evaluate_confusion
from cmrseg.evaluation.ef import evaluate_ef
from cmrseg.evaluation.readers import ReaderOptions, evaluate_readers, read_counts
from cmrseg.evaluation.readers_report import within_table
from cmrseg.experiments.curves import read_training_log, run_table
from cmrseg.teachers.confidence import confidence

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "published_numbers.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("published_numbers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def numbers(tmp_path):
    """A function of rows: the table of printed numbers."""

    def write(*rows):
        lines = [["number", "where", "paper", "table", "rows", "column", "note"], *rows]
        path = tmp_path / "numbers.tsv"
        path.write_text("\n".join("\t".join(line) for line in lines) + "\n")
        return path

    return write


def table(name):
    return pd.DataFrame({"model": ["a", "b", "b"], "set": ["x", "x", "y"], "error": [3.6355, -2.0, None]})


def test_a_number_agrees_when_ours_rounds_to_it(script, numbers):
    path = numbers(
        ("mean", "II", "3.64", "t.csv", "model=a", "error", ""),
        ("mean", "II", "3.63", "t.csv", "model=a", "error", "a slip"),
        ("set", "II", "y", "t.csv", "model=b;set=y", "set", ""),
    )
    found = script.compare(table, path)
    assert found["agrees"].tolist() == [True, False, True]
    assert found["ours"].tolist() == ["3.6355", "3.6355", "y"]


def test_known_values_are_counted_and_averaged_without_their_sign(script, numbers):
    path = numbers(
        ("n", "II", "1", "t.csv", "model=b", "count of error", ""),
        ("mean", "II", "2.0", "t.csv", "model=b", "mean of error", ""),
    )
    assert script.compare(table, path)["agrees"].all()


def test_a_place_of_several_rows_is_refused(script, numbers):
    with pytest.raises(ValueError, match="2 rows where model=b"):
        script.compare(table, numbers(("n", "II", "1", "t.csv", "model=b", "error", "")))


def test_the_script_ends_with_1_where_a_number_does_not_come_out(
    script, numbers, tmp_path, monkeypatch, capsys
):
    table("").to_csv(tmp_path / "t.csv", index=False)
    path = numbers(("mean", "Table II", "3.63", "t.csv", "model=a", "error", ""))
    monkeypatch.setattr(script.compare, "__defaults__", (path,))
    assert script.main(tmp_path) == 1
    assert "0 of 1 numbers come out, 1 unexpectedly do not" in capsys.readouterr().out


@pytest.fixture(scope="module")
def published(test_data):
    """The tables of the authors, made into ours."""
    folder = test_data.parent / "reference" / "cmr-seg-tl"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}")
    kaggle, seven = folder / "kaggle", folder / "7T"
    teacher, counts = kaggle / "ukbb_ventricular_volumes.csv", sorted(kaggle.glob("*.tsv.xz"))
    ef = evaluate_ef([*counts, teacher], kaggle / "truth")
    model = seven / "confusion_WS_doubleTransferLearn.tsv"
    options = ReaderOptions(spacing=(1.25, 1.25, 6.0))
    readers = evaluate_readers(read_counts(seven / "confusion_WS_TR.tsv", None, [model], options))
    subsets = seven / "image_subsets.tsv"
    return {
        "confidence/sets.csv": confidence(teacher, kaggle / "truth", images=counts[0]).set_table,
        "ef/summary.csv": ef.summary,
        "ef/ef.csv": ef.examinations,
        "confusion/summary.csv": evaluate_confusion(sorted(seven.glob("confusion_*.tsv"))).summary,
        "readers/within.csv": within_table(readers),
        "readers/agreement.csv": readers.agreement,
        "frames/subset_sizes.csv": subset_sizes(read_subsets(subsets)),
        "curves/runs.csv": run_table(read_training_log(seven / "train_log_combined.csv", subsets)),
    }


@pytest.mark.slow  # reads 1.7 million rows
def test_all_numbers_come_out_but_three_that_are_told(script, published):
    found = script.compare(published.get)
    assert found.loc[~found["agrees"], "number"].tolist() == [
        "images in p15, printed again",
        "peak of TL2 v3 LV",
        "peak of TL2 v3 MYO",
    ]
    assert (found["note"] != "").tolist() == (~found["agrees"]).tolist()
