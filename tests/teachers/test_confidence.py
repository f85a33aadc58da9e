"""Confidence in teacher labels: by hand, and the published table to the last digit."""

import pandas as pd
import pytest

from cmrseg.data.image_counts import read_image_counts
from cmrseg.data.predicted_volumes import read_predicted_volumes
from cmrseg.problems import DataError
from cmrseg.teachers.confidence import (
    CONFIDENCE_COLUMNS,
    checked_thresholds,
    confidence,
    representation,
)


@pytest.fixture
def write(tmp_path):
    """Writes predicted volumes (EDV, ESV, EF by study) and gives their path."""

    def volumes(rows, name="summary.csv"):
        lines = [f"{study},{edv},{esv},{ef}" for study, edv, esv, ef in rows]
        path = tmp_path / name
        path.write_text("\n".join(["study,EDV_ml,ESV_ml,EF_percent", *lines]) + "\n")
        return path

    return volumes


@pytest.fixture
def truth(tmp_path):
    """EDV 100 ml and ESV 40 ml for examinations 1 to 4."""
    path = tmp_path / "train.csv"
    path.write_text("Id,Systole,Diastole\n" + "".join(f"{i},40,100\n" for i in (1, 2, 3, 4)))
    return path


FOUR = [(1, 100, 40, 60), (2, 110, 42, 62), (3, 95, 46, 52), (4, 120, 49, 59)]


def test_confidence_is_the_larger_relative_deviation(write, truth):
    table = confidence(write(FOUR), truth).table
    assert tuple(table.columns) == CONFIDENCE_COLUMNS
    assert table["sys_diff"].tolist() == pytest.approx([0, 2, 6, 9])
    assert table["sys_perc"].tolist() == pytest.approx([0, 0.05, 0.15, 0.225])
    assert table["dia_perc"].tolist() == pytest.approx([0, 0.1, -0.05, 0.2])
    assert table["confidence"].tolist() == pytest.approx([0, 0.1, 0.15, 0.225])
    assert table["set"].unique().tolist() == ["train"]


def test_sets_hold_the_examinations_within_their_threshold(write, truth):
    found = confidence(write(FOUR), truth)
    assert found.set_table.to_numpy().tolist() == [["p5", 5, 1], ["p10", 10, 2], ["p15", 15, 3]]
    assert found.member_table.to_numpy().tolist() == [
        ["p5", "1"], ["p10", "1"], ["p10", "2"], ["p15", "1"], ["p15", "2"], ["p15", "3"],
    ]  # fmt: skip
    assert found.problems == []


def test_the_rotated_version_is_counted_instead_of_the_original(write, truth):
    rows = [*FOUR, ("1_rot90", 130, 40, 69)]
    found = confidence(write(rows), truth)
    assert found.set_table["exams"].tolist() == [0, 1, 2]
    assert len(found.table) == 5
    assert found.notes == [
        "1 original(s) are replaced by their rotated version (_rot90) in the sets",
        "no examination is in set p5",
    ]


def test_right_ef_from_wrong_volumes_is_found(write, truth):
    rows = [(1, 100, 40, 60), (2, 150, 60, 60), (3, 150, 67.51, 54.99), (4, 114, 60, 47.4)]
    table = confidence(write(rows), truth).cancellation
    assert table["Id"].tolist() == ["2"]
    assert table["ef_error"].tolist() == pytest.approx([0])


def test_both_forms_of_volumes_say_the_same(write, truth, tmp_path):
    ukbb = tmp_path / "ukbb.csv"
    lines = [f"{study},{edv},{esv},{ef},9" for study, edv, esv, ef in FOUR]
    ukbb.write_text("\n".join([",LVEDV (mL),LVESV (mL),LVEF (%),LVM (g)", *lines]))
    one, other = (confidence(path, truth).table for path in (write(FOUR), ukbb))
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("head", ["study,EDV_ml,ESV_ml", ",LVEDV (mL),LVESV (mL)"])
def test_ef_follows_from_the_volumes_where_the_file_has_none(tmp_path, head):
    path = tmp_path / "volumes.csv"
    path.write_text(f"{head}\n007,100,40\n008,0,0\n")
    table, problems = read_predicted_volumes(path)
    assert table["Id"].tolist() == ["007", "008"]
    assert table["EF"].tolist() == [pytest.approx(60), pytest.approx(float("nan"), nan_ok=True)]
    assert problems == []


def test_a_volume_of_zero_stays_in_the_table_and_in_no_set(write, truth):
    found = confidence(write([*FOUR[:3], (4, 0, 0, "")]), truth)
    assert found.table["confidence"].iloc[3] == 1
    assert found.table["predicted_LVEF"].isna().tolist() == [False, False, False, True]
    assert found.notes == ["1 examination(s) have a predicted volume of 0 ml, a deviation of 100 %: 4"]


def test_everything_left_out_is_listed_with_its_reason(write, truth):
    rows = [(1, 100, 40, 60), (2, -1, 40, 60), (3, "", 40, 60), (9, 100, 40, 60), (7, 1, 1, 0), (7, 2, 1, 50)]
    found = confidence(write(rows), truth)
    assert found.table["Id"].tolist() == ["1"]
    assert [(p.study, p.problem) for p in found.problems] == [
        ("2", "negative predicted volume"),
        ("3", "no predicted volumes"),
        ("7", "Id occurs more than once"),
        ("7", "Id occurs more than once"),
        ("9", "no true volumes"),
        ("4", "no predicted volumes"),
    ]


def test_rows_without_an_id_and_ef_that_is_no_number_are_listed(write, truth):
    rows = [*FOUR, ("", 100, 40, 60), (5, 100, 40, "high")]
    problems = confidence(write(rows), truth).problems
    assert [(p.study, p.problem) for p in problems] == [("", "no Id"), ("5", "EF is no number")]


def test_a_true_esv_of_zero_has_no_relative_deviation(write, tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("Id,Systole,Diastole\n1,0,100\n2,40,100\n")
    found = confidence(write(FOUR[:2]), path)
    assert [(p.study, p.problem) for p in found.problems] == [("1", "true ESV is 0")]
    assert found.table["Id"].tolist() == ["2"]


def test_truth_that_cannot_be_used_is_listed_and_the_others_go_on(write, tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("Id,Systole,Diastole\n1,40,100\n2,,100\n3,120,100\n4,-1,0\n5,40,100\n5,41,100\n")
    found = confidence(write(FOUR), path)
    assert found.table["Id"].tolist() == ["1"]
    assert [(p.study, p.problem) for p in found.problems] == [
        ("2", "no true volumes"),
        ("3", "true ESV is larger than EDV"),
        ("4", "true volume not above 0"),
        ("5", "true volumes occur more than once"),
        ("5", "true volumes occur more than once"),
    ]


def test_ids_in_another_spelling_are_found(write, truth):
    found = confidence(write([("001", 100, 40, 60), ("2.0", 100, 40, 60), (3, 100, 40, 60)]), truth)
    assert found.table["Id"].tolist() == ["001", "2.0", "3"]
    assert [(p.study, p.problem) for p in found.problems] == [("4", "no predicted volumes")]


def test_an_examination_may_be_called_na_and_an_ef_may_be_na(write, tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("Id,Systole,Diastole\nNA,40,100\n")
    found = confidence(write([("NA", 100, 40, "NA")]), path)
    assert found.table["Id"].tolist() == ["NA"]
    assert found.table["predicted_LVEF"].isna().all()
    assert found.problems == []


def test_other_tables_in_the_truth_folder_are_told(write, tmp_path):
    folder = tmp_path / "truth"
    folder.mkdir()
    (folder / "train.csv").write_text("Id,Systole,Diastole\n1,40,100\n")
    (folder / "splits.csv").write_text("subject,split\n1,train\n")
    found = confidence(write(FOUR[:1]), folder)
    assert found.notes == ["skipped in the truth folder, without true volumes: splits.csv"]


def test_no_common_id_is_refused(write, truth):
    with pytest.raises(
        DataError,
        match=r"train.csv knows none of the examinations a, b; its Ids are 1, 2, 3, 4; check the Ids",
    ):
        confidence(write([("a", 1, 1, 0), ("b", 1, 1, 0)]), truth)


def test_a_table_without_a_usable_row_is_refused(write, truth):
    with pytest.raises(DataError, match="has no usable row: 1: negative"):
        confidence(write([(1, -1, 1, 0)]), truth)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("study,EDV_ml,EF_percent", "lacks the column ESV_ml"),
        (",LVEDV (mL),LVEF (%)", r"lacks the column LVESV \(mL\)"),
        ("LVEDV (mL),LVESV (mL),LVEF (%)", "the first column must hold the Ids"),
        ("a,b,c", "lacks the column study, EDV_ml, ESV_ml"),
    ],
)
def test_another_table_is_refused(tmp_path, truth, head, message):
    path = tmp_path / "volumes.csv"
    path.write_text(f"{head}\n1,100,40\n")
    with pytest.raises(DataError, match=message):
        confidence(path, truth)


@pytest.mark.parametrize("given", [[], [5, 5], [10, 5], [0, 5], ["x"], ["nan"], [5, "inf"], [5, 5.0000001]])
def test_thresholds_must_increase(given):
    with pytest.raises(ValueError, match="thresholds must be increasing numbers above 0"):
        checked_thresholds(given)


def test_representation_compares_a_set_with_all():
    everything = pd.DataFrame(
        {
            "true_LVEF": [30.0, 60, 60, 80],
            "true_LVEDV": [300.0, 150, 150, 90],
            "true_LVESV": [200.0, 60, 60, 20],
        }
    )
    table = representation(everything, {"p5": everything.iloc[1:3], "p1": everything.iloc[:0]})
    assert table["exams"].tolist() == [4, 2, 0]
    assert table["ks_EF"].tolist()[:2] == pytest.approx([0, 0.25])
    assert table["EF_below_40_percent"].tolist()[:2] == [25, 0]
    # Two of four at random miss the one extreme in half of the draws.
    assert table["p_EF_below_40"].tolist() == pytest.approx([1, 0.5, 1])


def test_images_are_counted_where_a_table_tells_them(write, truth, tmp_path):
    images = tmp_path / "studies.tsv"
    images.write_text("study\tslices\tphases\n1\t10\t30\n2\t8\t25\n")
    volumes = write([(1, 100, 40, 60), (2, 100, 40, 60), (3, 100, 40, 60)])
    found = confidence(volumes, truth, thresholds=[50])
    assert found.set_table.columns.tolist() == ["set", "threshold_percent", "exams", "images"]
    assert found.set_table["images"].tolist() == [10 * 30 + 8 * 25]
    assert found.notes[-1] == (
        "1 examination(s) of the sets are not in studies.tsv; their images are not counted: 3"
    )
    images.rename(tmp_path / "elsewhere.tsv")
    assert "images" not in confidence(volumes, truth, thresholds=[50]).set_table
    found = confidence(volumes, truth, thresholds=[50], images=tmp_path / "elsewhere.tsv")
    assert found.set_table["images"].tolist() == [500]


@pytest.fixture(scope="module")
def published(test_data):
    """The published tables, and what this code makes of them."""
    folder = test_data.parent / "reference" / "cmr-seg-tl" / "kaggle"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}")
    return folder, confidence(folder / "ukbb_ventricular_volumes.csv", folder / "truth")


def test_the_published_table_comes_out_in_every_row_and_column(published):
    folder, found = published
    expected = pd.read_csv(folder / "confidence_by_patient.tsv", sep="\t", dtype={"Id": str})
    assert found.table["predicted_LVEF"].isna().sum() == 6
    pd.testing.assert_frame_equal(found.table, expected, check_dtype=False, rtol=0, atol=1e-9)
    assert found.problems == []


def test_the_published_sets_come_out(published):
    _, found = published
    assert len(found.counted) == 1149
    assert found.set_table["exams"].tolist() == [175, 520, 763]
    # The published training script validates on the official validation examinations of the set.
    assert [(part["set"] == "validate").sum() for part in found.sets.values()] == [27, 92, 134]


@pytest.mark.slow  # reads 0.4 million rows
def test_the_published_numbers_of_images_come_out(published):
    folder, found = published
    counts = read_image_counts(folder / "resnet34_5percent_size256_normalTfms_ceLoss.tsv.xz")
    images = [counts.reindex(part["Id"]).sum() for part in found.sets.values()]
    assert images == [54540, 162480, 238350]  # II.A.2; 239350 in the discussion is a slip
