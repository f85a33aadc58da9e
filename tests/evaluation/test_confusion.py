"""Dice from confusion counts: by hand, and those of the paper."""

import pytest

from cmrseg.evaluation.confusion import IMAGE_METRIC_COLUMNS, SUBJECT_COLUMNS, evaluate_confusion
from cmrseg.problems import DataError

HEAD = "image,set,methodA,methodB,bg_bg,bg_lv,lv_bg,lv_lv"
A = "1_slice000_frame000,test,expert,net,90,2,2,6"  # Dice 12 / 16
B = "1_slice001_frame000,test,expert,net,100,0,0,0"  # absent from both
C = "2_slice000_frame003,test,expert,net,96,4,0,0"  # absent from the truth
D = "3_slice000_frame000,train,expert,net,90,0,0,10"


def write(path, *rows, head=HEAD):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def mean(found, group, structure, metric="dice_image", method="net"):
    s = found.summary
    chosen = (s["group"] == group) & (s["structure"] == structure) & (s["metric"] == metric)
    return s[chosen & (s["method"] == method)]["mean"].item()


def test_dice_is_averaged_over_images_with_absent_in_both_as_1(tmp_path):
    found = evaluate_confusion([write(tmp_path / "t.csv", A, B, C)])
    assert tuple(found.metrics.columns) == IMAGE_METRIC_COLUMNS
    assert found.metrics["value"].tolist() == pytest.approx([0.75, 1, 0])
    assert mean(found, "test", "LV") == pytest.approx(1.75 / 3)


def test_pooled_dice_is_that_of_all_pixels(tmp_path):
    found = evaluate_confusion([write(tmp_path / "t.csv", A, B, C)])
    assert mean(found, "test", "LV", "dice_pooled") == pytest.approx(12 / (16 + 4))


def test_every_set_is_a_group(tmp_path):
    found = evaluate_confusion([write(tmp_path / "t.csv", A, D)])
    assert found.summary["group"].unique().tolist() == ["test", "train"]
    assert mean(found, "train", "LV") == 1


def test_images_tell_subject_frame_and_slice(tmp_path):
    (row,) = evaluate_confusion([write(tmp_path / "t.csv", C)]).metrics.to_dict("records")
    assert (row["subject"], row["frame"], row["slice"], row["set"]) == ("2", 3, 0, "test")


def test_subjects_have_their_mean_and_their_pixels(tmp_path):
    subjects = evaluate_confusion([write(tmp_path / "t.csv", A, B, C)]).subjects
    assert tuple(subjects.columns) == SUBJECT_COLUMNS
    assert subjects.iloc[0].tolist() == ["net", "test", "1", "LV", 2, 0.875, 0.75, 8, 8]
    assert subjects.iloc[1].tolist() == ["net", "test", "2", "LV", 1, 0, 0, 0, 4]


def test_any_structures_are_scored_in_any_order_of_columns(tmp_path):
    names = ("my", "rv", "atrium", "bg")
    pairs = [f"{a}_{b}" for a in names for b in names]
    counts = [str(10 if a == b else int((a, b) == ("my", "rv")) * 5) for a in names for b in names]
    row = ",".join(["1_slice000_frame000", *counts])
    found = evaluate_confusion([write(tmp_path / "net.csv", row, head=",".join(["image", *pairs]))])
    assert dict(zip(found.metrics["structure"], found.metrics["value"], strict=True)) == {
        "MYO": pytest.approx(20 / 25),
        "RV": pytest.approx(20 / 25),
        "atrium": 1,
    }
    assert found.subjects.set_index("structure")["true_pixels"].to_dict() == {
        "MYO": 15,
        "RV": 10,
        "atrium": 10,
    }
    assert found.summary[["group", "method"]].drop_duplicates().to_numpy().tolist() == [["all", "net"]]


def test_methods_of_one_name_are_told_apart_by_their_files(tmp_path):
    found = evaluate_confusion([write(tmp_path / "x.csv", A), write(tmp_path / "y.csv", D)])
    assert found.summary["method"].unique().tolist() == ["x: net", "y: net"]


def test_images_that_are_not_understood_are_listed(tmp_path):
    found = evaluate_confusion([write(tmp_path / "t.csv", A, "thumb,test,expert,net,1,1,1,1")])
    assert found.metrics["subject"].tolist() == ["1"]
    assert [p.study for p in found.problems] == ["thumb"]


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        ("image,bg_bg,bg_lv,lv_lv", "1_slice000_frame000,1,2,3", "lacks the column lv_bg"),
        ("image,a,b", "1_slice000_frame000,1,2", "no confusion counts"),
        ("file,bg_bg,bg_lv,lv_bg,lv_lv", "1_slice000_frame000,1,2,3,4", "lacks the column image"),
        ("image,bg_bg,bg_lv,lv_bg,lv_lv", "1_slice000_frame000,1,x,3,4", "bg_lv must hold whole numbers"),
        ("image,bg_bg,bg_lv,lv_bg,lv_lv", "1_slice000_frame000,1,0.5,3,4", "bg_lv must hold whole numbers"),
        ("image,bg_bg", "1_slice000_frame000,1", "no confusion counts"),
        ("image,bg_bg,bg_lv,lv_bg,lv_lv", "1_slice000_frame000,0,0,0,0", "all counts are 0"),
        ("image,bg_bg,bg_lv,lv_bg,lv_lv", "thumb,1,2,3,4", "no image name is understood"),
    ],
)
def test_bad_counts_are_refused(tmp_path, head, row, message):
    with pytest.raises(DataError, match=message):
        evaluate_confusion([write(tmp_path / "t.csv", row, head=head)])


@pytest.mark.parametrize(
    "head",
    [
        "bg_lv,lv_bg,lv_lv",
        "bg_lv,bg_my,lv_bg,lv_lv,lv_my,my_bg,my_lv,my_my",
        "lv_lv,lv_my,my_lv,my_my",
    ],
)
def test_counts_without_the_background_are_refused(tmp_path, head):
    row = ",".join(["1_slice000_frame000", *"1" * len(head.split(","))])
    message = (
        r"t.csv lacks the counts of the background such as bg_bg; without bg_lv and lv_bg no Dice is right"
    )
    with pytest.raises(DataError, match=message):
        evaluate_confusion([write(tmp_path / "t.csv", row, head=f"image,{head}")])


def test_two_backgrounds_are_refused(tmp_path):
    names = ("bg", "0", "lv")
    head = ",".join(f"{a}_{b}" for a in names for b in names)
    row = "1_slice000_frame000" + ",1" * 9
    with pytest.raises(DataError, match="more than one background: bg, 0"):
        evaluate_confusion([write(tmp_path / "t.csv", row, head=f"image,{head}")])


def test_several_truths_of_one_table_are_methods_of_their_own(tmp_path):
    other = "1_slice000_frame000,test,reader,net,90,0,0,10"
    found = evaluate_confusion([write(tmp_path / "t.csv", A, other)])
    assert mean(found, "test", "LV", method="expert vs net") == pytest.approx(0.75)
    assert mean(found, "test", "LV", method="reader vs net") == 1
    assert found.subjects["method"].tolist() == ["expert vs net", "reader vs net"]


def test_a_missing_set_or_method_is_not_called_na(tmp_path):
    found = evaluate_confusion([write(tmp_path / "t.csv", "1_slice000_frame000,NA,expert,NA,90,2,2,6")])
    assert found.summary[["group", "method"]].iloc[0].tolist() == ["all", "t"]


def test_an_image_that_occurs_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="names 1_slice000_frame000 more than once"):
        evaluate_confusion([write(tmp_path / "t.csv", A, A)])


def test_the_published_counts_give_the_published_dice(published):
    found = evaluate_confusion(sorted((published / "7T").glob("confusion_*.tsv")))
    got = {
        method: tuple(round(mean(found, "test", s, method=method), 3) for s in ("LV", "MYO"))
        for method in found.summary["method"].unique()
    }
    assert got == {
        "baseModel": (0.835, 0.670),
        "scaled_masks_TR": (0.939, 0.813),
        "doubleTransferLearn": (0.900, 0.791),
    }
    assert found.problems == []
