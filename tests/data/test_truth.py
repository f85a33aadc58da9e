"""True volumes in the forms that people have."""

import pandas as pd
import pytest

from cmrseg.data.truth import (
    TRUTH_COLUMNS,
    known_names,
    read_true_volumes,
    rotated_originals,
    true_volumes_for,
    usable_true_volumes,
)
from cmrseg.problems import DataError

TRAIN = "Id,Systole,Diastole\n1,40,100\n007,30,120\n"
SOLUTION = "Id,Volume,Usage\n1000_Diastole,200,Private\n1000_Systole,50,Private\n"
SUMMARY = "study,EDV_ml,ESV_ml,EF_percent\npatient1,100,50,50\n"


def read(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    paths = [folder / f"{name}.csv" for name in files]
    return read_true_volumes(paths[0] if len(paths) == 1 else folder)


def test_kaggles_training_table_is_a_set_of_its_name(tmp_path):
    truth = read(tmp_path, train=TRAIN)
    assert tuple(truth.columns) == TRUTH_COLUMNS
    assert truth.iloc[0].tolist() == ["1", "train", 40, 100, pytest.approx(60)]
    assert truth["Id"].tolist() == ["1", "007"]


def test_kaggles_solution_is_the_test_set(tmp_path):
    truth = read(tmp_path, solution=SOLUTION)
    assert truth.to_numpy().tolist() == [["1000", "test", 50, 200, 75]]


def test_a_summary_of_ours_is_a_truth(tmp_path):
    assert read(tmp_path, experts=SUMMARY).to_numpy().tolist() == [["patient1", "experts", 50, 100, 50]]


def test_a_column_tells_the_sets(tmp_path):
    text = "study,EDV_ml,ESV_ml,set\na,100,50,train\nb,100,50,validate\n"
    assert read(tmp_path, experts=text)["set"].tolist() == ["train", "validate"]


def test_a_folder_holds_several_tables(tmp_path):
    (tmp_path / "README.md").write_text("no table")
    truth = read(tmp_path, train=TRAIN, solution=SOLUTION, experts=SUMMARY)
    assert dict(zip(truth["Id"], truth["set"], strict=True)) == {
        "1": "train", "007": "train", "1000": "test", "patient1": "experts",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Id,Systole\n1,2\n", "lacks the column Diastole"),
        ("a,b\n1,2\n", "no true volumes that are understood"),
        ("Id,Systole,Diastole\n1,2,3\n1,2,3\n", "names 1 more than once"),
        ("Id,Systole,Diastole\n1,x,3\n", r"Systole must hold numbers from 0 on, it does not for Id 1 \(x\)"),
        ("Id,Systole,Diastole\n4,0,0\n", r"Diastole must hold numbers above 0, it does not for Id 4 \(0\)"),
        ("Id,Systole,Diastole\n4,9,8\n", "Systole is larger than Diastole for Id 4"),
        ("Id,Systole,Diastole\n,9,10\n", "1 row.s. without Id"),
        ("Id,Volume\n5_Diastole,3\n", "Systole must hold numbers from 0 on, it does not for Id 5"),
        ("Id,Volume\n5_Mid,3\n", "5_Mid: Id does not end in _Diastole or _Systole"),
        ("Id,Volume\n5_Systole,3\n5_Systole,4\n", "5: true volumes occur more than once"),
    ],
)
def test_a_bad_truth_is_refused_and_the_examination_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, t=text)


def test_an_id_in_two_tables_is_refused(tmp_path):
    with pytest.raises(DataError, match="names 1, 007 more than once"):
        read(tmp_path, train=TRAIN, validate=TRAIN)


def test_a_folder_without_a_table_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="holds no table"):
        read_true_volumes(tmp_path)


def test_other_tables_of_a_folder_are_skipped_with_a_note(tmp_path):
    (tmp_path / "x.csv").mkdir()
    (tmp_path / "train.csv").write_text(TRAIN)
    (tmp_path / "sample_submission_validate.csv").write_text("Id,P0,P1\n501_Diastole,0,1\n")
    (tmp_path / "splits.csv").write_text("subject,split\n1,train\n")
    assert read_true_volumes(tmp_path)["Id"].tolist() == ["1", "007"]
    found = usable_true_volumes(tmp_path)
    assert found.table["Id"].tolist() == ["1", "007"]
    assert found.problems == []
    assert found.notes == [
        "skipped in the truth folder, without true volumes: sample_submission_validate.csv, splits.csv"
    ]


@pytest.mark.parametrize("read_truth", [read_true_volumes, usable_true_volumes])
def test_a_folder_of_other_tables_only_is_refused(tmp_path, read_truth):
    (tmp_path / "splits.csv").write_text("subject,split\n1,train\n")
    with pytest.raises(DataError, match=r"no table of truth folder .* understood: .*; it has: splits.csv"):
        read_truth(tmp_path)


def test_split_and_rotated_examinations_have_the_truth_of_the_whole(tmp_path):
    truth = read(tmp_path, train="Id,Systole,Diastole\n123,40,100\n1001,30,120\npatient_a,1,2\n")
    found = true_volumes_for(["1001_rot90", "123_a", "123_b_rot90", "patient_a", "9"], truth)
    assert found["Id"].tolist() == ["1001_rot90", "123_a", "123_b_rot90", "patient_a", "9"]
    assert found["true_Id"].tolist()[:4] == ["1001", "123", "123", "patient_a"]
    assert found["EDV_ml"].tolist()[:4] == [120, 100, 100, 2]
    assert found.iloc[4][1:].isna().all()


def test_ids_are_found_in_another_spelling():
    assert known_names(["001", "1", "001_a", "1.0_rot90", "x"], ["1.0", "2"]) == [*["1.0"] * 4, None]
    assert known_names(["0", "000", "10", "1.5", "0x1"], ["00", "10.0"]) == ["00", "00", "10.0", None, None]


def test_a_spelling_that_tells_two_examinations_apart_counts():
    assert known_names(["1", "001", "01"], ["1", "001"]) == ["1", "001", None]


def test_an_examination_may_be_called_na(tmp_path):
    assert read(tmp_path, train="Id,Systole,Diastole\nNA,40,100\n")["Id"].tolist() == ["NA"]


def test_a_missing_set_is_empty(tmp_path):
    truth = read(tmp_path, train="Id,Systole,Diastole,set\n1,40,100,NA\n2,40,100,\n3,40,100,x\n")
    assert truth["set"].tolist() == ["", "", "x"]


def test_rotated_originals_are_there_in_both_versions():
    assert rotated_originals(["1", "1_rot90", "2_rot90", "3"]) == {"1"}


def test_the_published_truth_has_1140_examinations(test_data):
    folder = test_data.parent / "reference" / "cmr-seg-tl" / "kaggle" / "truth"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}")
    truth = read_true_volumes(folder)
    assert truth["set"].value_counts().to_dict() == {"train": 500, "test": 440, "validate": 200}
    assert isinstance(truth, pd.DataFrame)


def test_unusable_truth_can_be_sorted_out(tmp_path):
    (tmp_path / "train.csv").write_text("Id,Systole,Diastole\n1,40,100\n2,x,100\n,40,100\n")
    found = usable_true_volumes(tmp_path)
    assert found.table["Id"].tolist() == ["1"]
    assert [(p.study, p.problem, p.image) for p in found.problems] == [
        ("2", "no true volumes", "train.csv"),
        ("", "no Id", "train.csv"),
    ]


def test_unusable_rows_of_the_solution_can_be_sorted_out(tmp_path):
    rows = ["5_Mid,3", ",3", "6_Diastole,9", "7_Diastole,9", "7_Diastole,8", "7_Systole,1"]
    (tmp_path / "solution.csv").write_text(SOLUTION + "\n".join(f"{row},Private" for row in rows))
    found = usable_true_volumes(tmp_path)
    assert found.table["Id"].tolist() == ["1000"]
    assert [(p.study, p.problem) for p in found.problems] == [
        ("5_Mid", "Id does not end in _Diastole or _Systole"),
        ("", "Id does not end in _Diastole or _Systole"),
        ("7", "true volumes occur more than once"),
        ("6", "no true volumes"),
    ]


def test_a_solution_without_a_usable_row_is_refused(tmp_path):
    (tmp_path / "solution.csv").write_text("Id,Volume\n5_Mid,3\n")
    with pytest.raises(DataError, match="holds no usable true volumes: 5_Mid: Id does not end"):
        usable_true_volumes(tmp_path / "solution.csv")


def test_truth_without_a_usable_row_is_refused(tmp_path):
    (tmp_path / "train.csv").write_text("Id,Systole,Diastole\n2,x,100\n")
    with pytest.raises(DataError, match="holds no usable true volumes: 2: no true volumes"):
        usable_true_volumes(tmp_path / "train.csv")
