"""Ejection fractions from pixel counts: by hand, and those of the paper."""

import math

import pytest

from cmrseg.evaluation.ef import EF_COLUMNS, ML_COLUMNS, evaluate_ef
from cmrseg.evaluation.summary import SUMMARY_COLUMNS
from cmrseg.problems import DataError


def statistics(found, metric="ef_abs_error"):
    """Mean, sd, median, IQR and n of every method."""
    rows = found.summary[found.summary["metric"] == metric]
    return {r.group: (r.mean, r.sd, r.median, r.iqr, r.n) for r in rows.itertuples()}


def test_errors_are_predicted_minus_true(write_counts, truth):
    found = evaluate_ef([write_counts("m", {"1": [100, 50], "2": [100, 20]})], truth)
    assert tuple(found.examinations.columns) == EF_COLUMNS
    assert found.examinations["ef_error"].tolist() == pytest.approx([-10, 20])
    assert found.examinations["ef_abs_error"].tolist() == pytest.approx([10, 20])
    assert found.problems == []


def test_summary_has_the_statistics_of_table_two(write_counts, truth):
    curves = {str(i): [100, 40 + error] for i, error in enumerate((1, 2, 3, 10), start=1)}
    found = evaluate_ef([write_counts("m", curves)], truth)
    assert tuple(found.summary.columns) == SUMMARY_COLUMNS
    mean, sd, median, iqr, n = statistics(found)["m"]
    assert (mean, median, n) == (pytest.approx(4), pytest.approx(2.5), 4)
    assert sd == pytest.approx(math.sqrt((9 + 4 + 1 + 36) / 3))
    assert iqr == pytest.approx(4.75 - 1.75)
    assert statistics(found, "ef_error")["m"][0] == pytest.approx(-4)


def test_an_examination_without_lv_is_an_error_of_100_points(write_counts, truth):
    found = evaluate_ef([write_counts("m", {"1": [100, 40], "2": [0, 0]})], truth)
    assert found.examinations["ef_abs_error"].tolist() == pytest.approx([0, 100])
    assert statistics(found, "ef_error")["m"][-1] == 1
    assert found.without_lv == {"m": 1}
    assert any(note.startswith("m: 1 examination(s) without any predicted LV") for note in found.notes)


def test_the_rotated_version_replaces_its_original(write_counts, truth):
    curves = {"1": [100, 10], "1_rot90": [100, 40], "2": [100, 40]}
    found = evaluate_ef([write_counts("m", curves)], truth)
    assert found.examinations["Id"].tolist() == ["1_rot90", "2"]


def test_rotated_evaluates_the_originals_that_were_rotated(write_counts, truth):
    full = write_counts("m", {"1": [100, 10], "1_rot90": [100, 40], "2": [100, 40]})
    upright = write_counts("n", {"1": [100, 30], "2": [100, 40]})
    found = evaluate_ef([full, upright], truth, rotated=True)
    assert found.examinations[["method", "Id"]].to_numpy().tolist() == [["m", "1"], ["n", "1"]]


def test_rotated_needs_a_rotated_version(write_counts, truth):
    with pytest.raises(DataError, match="_rot90"):
        evaluate_ef([write_counts("m", {"1": [100, 10]})], truth, rotated=True)


def test_parts_of_an_examination_have_its_truth(write_counts, truth):
    found = evaluate_ef([write_counts("m", {"123_a": [100, 40], "123_b": [100, 50]})], truth)
    assert found.examinations["ef_error"].tolist() == pytest.approx([0, -10])


@pytest.mark.parametrize(("sort", "order"), [("mean", ["a", "b"]), ("median", ["b", "a"])])
def test_methods_are_sorted_by_their_error(write_counts, truth, sort, order):
    a = write_counts("a", {"1": [100, 43], "2": [100, 43], "3": [100, 43]})
    b = write_counts("b", {"1": [100, 41], "2": [100, 41], "3": [100, 80]})
    assert list(evaluate_ef([b, a], truth, sort=sort).methods) == order


def test_an_unknown_order_is_refused(write_counts, truth):
    with pytest.raises(ValueError, match="mean or median, got 'sd'"):
        evaluate_ef([write_counts("a", {"1": [100, 43]})], truth, sort="sd")


@pytest.fixture
def volumes(tmp_path):
    """Volumes as ukbb_cardiac writes them: one right, one 10 points off, one without any LV."""
    path = tmp_path / "ukbb.csv"
    path.write_text(",LVEDV (mL),LVESV (mL),LVEF (%)\n1,110,44,60\n2,100,50,50\n3,0,0,\n")
    return path


def test_volumes_are_a_method_beside_pixel_counts(write_counts, volumes, truth):
    found = evaluate_ef([volumes, write_counts("m", {"1": [100, 40], "2": [100, 50]})], truth)
    assert statistics(found)["ukbb"][::4] == (pytest.approx(110 / 3), 3)
    assert statistics(found)["m"][::4] == (pytest.approx(5), 2)
    assert statistics(found, "edv_error") == {
        "ukbb": (pytest.approx(-30), *statistics(found, "edv_error")["ukbb"][1:])
    }
    assert found.examinations["ED_frame"].tolist()[-1] == 0


def test_failures_of_a_teacher_are_told_with_the_error_of_the_others(volumes, truth):
    (note,) = (n for n in evaluate_ef([volumes], truth).notes if "without any predicted LV" in n)
    assert note.endswith("100 points; the other 2 have a mean error of 5.00 points")


def test_unknown_examinations_are_listed_and_the_others_go_on(write_counts, truth):
    found = evaluate_ef([write_counts("m", {"1": [100, 40], "99": [100, 40]})], truth)
    assert found.examinations["Id"].tolist() == ["1"]
    assert [(p.study, p.problem) for p in found.problems] == [("99", "no true volumes")]


def test_bad_rows_of_the_truth_are_listed_and_the_others_go_on(write_counts, truth):
    truth.write_text("Id,Systole,Diastole\n1,40,100\n2,,100\n3,120,100\n4,x,1\n4,1,2\n")
    found = evaluate_ef([write_counts("m", {str(i): [100, 40] for i in (1, 2, 3)})], truth)
    assert found.examinations["Id"].tolist() == ["1"]
    assert [(p.study, p.problem) for p in found.problems] == [
        ("2", "no true volumes"),
        ("3", "true ESV is larger than EDV"),
        ("4", "true volumes occur more than once"),
        ("4", "true volumes occur more than once"),
    ]


def test_other_tables_in_the_truth_folder_are_told(tmp_path, write_counts):
    folder = tmp_path / "truth"
    folder.mkdir()
    (folder / "train.csv").write_text("Id,Systole,Diastole\n1,40,100\n")
    (folder / "splits.csv").write_text("subject,split\n1,train\n")
    found = evaluate_ef([write_counts("m", {"1": [100, 40]})], folder)
    assert found.notes == ["skipped in the truth folder, without true volumes: splits.csv"]


def test_ids_in_another_spelling_are_found(tmp_path, write_counts, truth):
    truth.write_text("Id,Systole,Diastole\n1.0,40,100\n2.0,40,100\n")
    dimensions = tmp_path / "dimensions.tsv"
    dimensions.write_text("pid\tpixelSpacingX\tpixelSpacingY\tsliceSpacing\n1\t1\t1\t10\n002\t1\t1\t10\n")
    counts = write_counts("m", {"001": [100, 40], "002_rot90": [100, 40]})
    found = evaluate_ef([counts], truth, dimensions=dimensions)
    assert found.examinations["Id"].tolist() == ["001", "002_rot90"]
    assert found.examinations["EDV_ml"].tolist() == pytest.approx([1, 1])
    assert (found.problems, found.notes) == ([], [])


def test_examinations_that_match_nothing_are_refused(write_counts, truth):
    with pytest.raises(DataError, match="knows none of the examinations 98, 99; its Ids are 1, 2, 3,"):
        evaluate_ef([write_counts("m", {"98": [100, 40], "99": [100, 40]})], truth)


def test_examinations_without_counts_are_told(write_counts, truth):
    found = evaluate_ef([write_counts("m", {"1": [100, 40], "2": [100, 40]})], truth)
    assert found.notes == ["m: 3 examination(s) of the truth have no counts: 3, 4, 123"]


def test_methods_on_different_examinations_are_told(write_counts, truth):
    tables = [write_counts("m", {"1": [100, 40]}), write_counts("n", {"2": [100, 40]})]
    assert any("different examinations" in note for note in evaluate_ef(tables, truth).notes)


def test_spacings_give_volumes_in_ml(tmp_path, write_counts, truth):
    dimensions = tmp_path / "dimensions.tsv"
    dimensions.write_text("pid\tpixelSpacingX\tpixelSpacingY\tsliceSpacing\n1\t2\t1.5\t10\n")
    counts = write_counts("m", {"1": [4000, 1000], "1_rot90": [4000, 1000], "2": [100, 40]})
    found = evaluate_ef([counts], truth, dimensions=dimensions)
    assert tuple(found.examinations.columns) == (*EF_COLUMNS, *ML_COLUMNS)
    first = found.examinations.iloc[0]
    assert (first["EDV_ml"], first["ESV_ml"], first["edv_error"]) == pytest.approx((120, 30, 20))
    assert statistics(found, "esv_error")["m"][-1] == 1
    assert any("have no spacing" in note and note.endswith(": 2") for note in found.notes)


def test_a_spacing_of_zero_is_refused(tmp_path, write_counts, truth):
    dimensions = tmp_path / "dimensions.tsv"
    dimensions.write_text("pid\tpixelSpacingX\tpixelSpacingY\tsliceSpacing\n1\t0\t1.5\t10\n")
    with pytest.raises(DataError, match="pixelSpacingX must hold numbers above 0, it does not for pid 1"):
        evaluate_ef([write_counts("m", {"1": [100, 40]})], truth, dimensions=dimensions)


@pytest.mark.slow  # reads 1.3 million rows
@pytest.mark.parametrize("rotated", [False, True])
def test_the_published_counts_give_the_published_table(published, rotated):
    folder = published / "kaggle"
    methods = [*sorted(folder.glob("*.tsv.xz")), folder / "ukbb_ventricular_volumes.csv"]
    found = evaluate_ef(methods, folder / "truth", rotated=rotated)
    got = {name.split("_")[0]: [round(v, 2) for v in row] for name, row in statistics(found).items()}
    if rotated:
        means = {name: (row[0], row[-1]) for name, row in got.items()}
        assert means == {
            "resnet34": (10.17, 247),
            "resnet50": (8.73, 247),
            "vgg16": (6.86, 247),
            "ukbb": (14.67, 247),
        }
        return
    assert got == {
        "resnet34": [3.64, 3.38, 2.87, 3.72, 1149],
        "resnet50": [3.71, 3.73, 2.79, 3.70, 1149],
        "vgg16": [4.06, 4.94, 3.02, 3.87, 1149],
        "ukbb": [5.42, 8.83, 3.72, 4.34, 1149],
    }
    assert sorted(found.without_lv.values()) == [0, 0, 1, 6]
    assert any("the other 1143 have a mean error of 4.93 points" in note for note in found.notes)
    assert found.problems == []


def test_swapped_arguments_are_recognised(write_counts, truth):
    with pytest.raises(DataError, match="swapped, tables of counts come first and true volumes last"):
        evaluate_ef([truth], write_counts("m", {"1": [100, 50]}))
