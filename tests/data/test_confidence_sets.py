"""Confidence sets: who is in them, and how they become training and validation images."""

import pandas as pd
import pytest

from cmrseg.data.catalog import Catalog
from cmrseg.data.confidence_sets import (
    ConfidenceSet,
    confidence_sha256,
    counted,
    members,
    read_confidence_set,
    select_confident,
    set_name,
    set_threshold,
)
from cmrseg.problems import DataError


def table(confidence, sets=None):
    return pd.DataFrame(
        {
            "Id": list(confidence),
            "set": sets or ["train"] * len(confidence),
            "confidence": confidence.values(),
        }
    )


@pytest.fixture
def folder(tmp_path):
    """Three examinations, one of them within 5 %."""
    rows = table({"01": 0.05, "1002": 0.08, "1003": 0.2}, ["train", "validate", "test"])
    rows.to_csv(tmp_path / "confidence.tsv", sep="\t", index=False)
    return tmp_path


def catalog(root, splits):
    rows = [{"subject": s, "split": split} for s, split in splits.items()]
    return Catalog(pd.DataFrame(rows), root=root)


def splits_of(chosen):
    return dict(zip(chosen.table["subject"], chosen.table["split"], strict=True))


@pytest.mark.parametrize(("name", "percent"), [("p5", 5), ("p15", 15), ("p7.5", 7.5)])
def test_the_name_says_the_threshold(name, percent):
    assert set_threshold(name) == percent
    assert set_name(percent) == name


@pytest.mark.parametrize("name", ["acdc", "p", "pp5", "p5x", "5"])
def test_other_names_are_no_sets(name):
    assert set_threshold(name) is None


def test_the_threshold_itself_is_inside():
    assert members(table({"1": 0.05, "2": 0.0500001}), 5)["Id"].tolist() == ["1"]


def test_a_turned_version_replaces_its_original_even_where_it_is_worse():
    rows = table({"1": 0.01, "1_rot90": 0.5, "2": 0.01, "3_rot90": 0.01})
    assert counted(rows)["Id"].tolist() == ["1_rot90", "2", "3_rot90"]
    assert members(rows, 5)["Id"].tolist() == ["2", "3_rot90"]


def test_a_set_is_read_with_its_official_parts_and_ids_as_text(folder):
    assert read_confidence_set(folder, "p10").official.to_dict() == {"01": "train", "1002": "validate"}
    assert read_confidence_set(folder / "confidence.tsv", "p5").official.to_dict() == {"01": "train"}


def test_another_name_is_refused_with_the_sets_there_are(folder):
    with pytest.raises(DataError, match=r"'acdc' of the recipe is no confidence set; .* has: p5, p10, p15"):
        read_confidence_set(folder, "acdc")
    (folder / "sets.csv").write_text("set,threshold_percent,exams\np3,3,0\np20,20,3\n")
    with pytest.raises(DataError, match="has: p3, p20"):
        read_confidence_set(folder, "acdc")


def test_an_empty_set_is_refused(folder):
    with pytest.raises(DataError, match=r"p2 of .* is empty: the best examination deviates by 5\.0 %"):
        read_confidence_set(folder, "p2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Id\tset\n1\ttrain\n", "lacks the column confidence"),
        ("Id\tset\tconfidence\n1\ttrain\tbad\n", "confidence must hold numbers"),
        ("Id\tset\tconfidence\n1\ttrain\t0\n1\ttrain\t0\n", "names 1 more than once"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, text, message):
    (tmp_path / "confidence.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_confidence_set(tmp_path, "p5")


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_confidence_set(tmp_path, "p5")
    with pytest.raises(DataError, match="`cmrseg confidence` writes it"):
        confidence_sha256(tmp_path)


def test_train_and_test_examinations_train_and_validate_ones_validate(tmp_path):
    chosen = ConfidenceSet("p5", pd.Series({"1": "train", "2": "test", "3": "validate", "4": "train"}))
    found = select_confident(catalog(tmp_path, dict.fromkeys("12359", "")), chosen)
    assert splits_of(found) == {"1": "train", "2": "train", "3": "val"}
    assert found.notes == [
        "confidence set p5: 2 train, 1 val",
        "2 subject(s) of the data are not in set p5: 5, 9",
        "1 examination(s) of set p5 are not in the data: 4",
    ]


def test_splits_csv_beside_the_data_wins(tmp_path):
    (tmp_path / "splits.csv").write_text("subject,split\n1,val\n")
    chosen = ConfidenceSet("p5", pd.Series({"1": "train"}))
    assert splits_of(select_confident(catalog(tmp_path, {"1": "val"}), chosen)) == {"1": "val"}


def test_other_parts_keep_the_split_of_the_data(tmp_path):
    chosen = ConfidenceSet("p5", pd.Series({"1": "summary", "2": ""}))
    found = select_confident(catalog(tmp_path, {"1": "val", "2": "train"}), chosen)
    assert splits_of(found) == {"1": "val", "2": "train"}


def test_data_without_any_of_the_set_is_refused(tmp_path):
    chosen = ConfidenceSet("p5", pd.Series({"7": "train"}))
    with pytest.raises(DataError, match=r"none of the 1 .* which has a; the set has 7"):
        select_confident(catalog(tmp_path, {"a": ""}), chosen)
