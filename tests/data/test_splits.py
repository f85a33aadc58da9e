"""Splits: those of splits.csv, those that are drawn, and who must never be trained on."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cmrseg.data.catalog import COLUMNS, Catalog, assign_splits, read_catalog
from cmrseg.data.splits import apply_splits, draw_splits, leak_notes, patients_of
from cmrseg.problems import DataError


def images(root, *subjects):
    for subject in subjects:
        Image.fromarray(np.ones((4, 4), np.uint8)).save(root / f"{subject}.png")
    return root


def splits_csv(root, **splits):
    pd.DataFrame({"subject": list(splits), "split": list(splits.values())}).to_csv(
        root / "splits.csv", index=False
    )


def table_of(**splits):
    """A catalog with one image per subject, in these splits."""
    rows = [(s, 0, "", 0, f"{s}.png", "m.png", 1.0, 1.0, 8.0, split, "acdc") for s, split in splits.items()]
    return Catalog(pd.DataFrame(rows, columns=list(COLUMNS)))


def subjects_of(catalog):
    """Subjects by split."""
    return {k: set(v) for k, v in catalog.table.groupby("split")["subject"]}


def test_splits_csv_is_honoured_and_may_have_other_names(tmp_path):
    images(tmp_path, "one", "two")
    splits_csv(tmp_path, one="train", two="scanner2")
    assert subjects_of(read_catalog(tmp_path)) == {"train": {"one"}, "scanner2": {"two"}}


def test_subjects_missing_in_splits_csv_are_told(tmp_path):
    images(tmp_path, "one", "two")
    splits_csv(tmp_path, one="train")
    catalog = read_catalog(tmp_path)
    assert subjects_of(catalog) == {"train": {"one"}, "": {"two"}}
    assert any("1 subject(s) are not in splits.csv" in n and "two" in n for n in catalog.notes)


def test_subjects_and_splits_that_nobody_knows_are_told(tmp_path):
    images(tmp_path, "one", "two")
    splits_csv(tmp_path, one="train", two="trian", three="val")
    notes = read_catalog(tmp_path).notes
    assert any("1 subject(s) of splits.csv are not in the data: three" in n for n in notes)
    assert any("1 split(s) of splits.csv are none of train, val, test" in n and "trian" in n for n in notes)


def test_splits_csv_of_other_columns_is_refused(tmp_path):
    images(tmp_path, "one")
    pd.DataFrame({"id": ["one"]}).to_csv(tmp_path / "splits.csv", index=False)
    with pytest.raises(DataError, match=r"splits\.csv needs the columns subject, split"):
        read_catalog(tmp_path)


def test_an_empty_splits_csv_is_told(tmp_path):
    images(tmp_path, "one")
    (tmp_path / "splits.csv").touch()
    with pytest.raises(DataError, match=r"splits\.csv cannot be read"):
        read_catalog(tmp_path)


def test_one_split_can_be_read(tmp_path):
    images(tmp_path, "one", "two")
    splits_csv(tmp_path, one="train", two="val")
    assert set(read_catalog(tmp_path, splits=["val"]).table["subject"]) == {"two"}


def test_a_split_that_is_not_there_names_those_that_are():
    with pytest.raises(DataError, match="no images in split test; the data has: train, val"):
        table_of(a="train", b="val").select(["test"])


@pytest.mark.parametrize("n", [2, 3, 5, 6, 7, 20, 100])
def test_no_subject_is_lost_or_on_two_sides(n):
    names = {f"s{i}" for i in range(n)}
    parts = subjects_of(assign_splits(table_of(**dict.fromkeys(names, "")), seed=3))
    assert set().union(*parts.values()) == names
    assert sum(map(len, parts.values())) == n
    assert {"train", "val"} <= set(parts)


def test_a_split_is_the_same_for_the_same_seed_whatever_the_order_of_the_files():
    names = [f"s{i}" for i in range(30)]
    first = subjects_of(assign_splits(table_of(**dict.fromkeys(names, "")), seed=1))
    assert subjects_of(assign_splits(table_of(**dict.fromkeys(names[::-1], "")), seed=1)) == first
    assert subjects_of(assign_splits(table_of(**dict.fromkeys(names, "")), seed=2)) != first


def test_the_seed_is_told():
    assert "seed 5" in assign_splits(table_of(a="", b=""), seed=5).notes[-1]


def test_shares_are_fifteen_percent():
    parts = subjects_of(assign_splits(table_of(**{f"s{i}": "" for i in range(40)}), seed=0))
    assert {k: len(v) for k, v in parts.items()} == {"train": 28, "val": 6, "test": 6}


def test_splits_that_are_there_are_kept():
    catalog = table_of(a="train", b="val", c="other", d="")
    assert assign_splits(catalog, seed=0) is catalog


def test_a_missing_validation_split_is_taken_from_training_only():
    parts = subjects_of(assign_splits(table_of(a="train", b="train", c="train", d="test"), seed=0))
    assert parts["test"] == {"d"}
    assert len(parts["val"]) == 1


def test_one_subject_cannot_train_and_validate():
    with pytest.raises(DataError, match=r"1 subject\(s\) with masks"):
        assign_splits(table_of(a=""), seed=0)


def test_nothing_to_train_with_is_told():
    with pytest.raises(DataError, match=r"0 subject\(s\) with masks"):
        assign_splits(table_of(), seed=0)


def test_one_subject_is_enough_beside_a_validation_split():
    assert subjects_of(assign_splits(table_of(a="", b="val"), seed=0)) == {"train": {"a"}, "val": {"b"}}


def test_a_subject_on_two_sides_is_told():
    table = pd.concat([table_of(a="train", b="train").table, table_of(a="val").table])
    assert leak_notes(table) == ["1 subject(s) are in more than one split: a"]


def test_subjects_without_a_split_are_not_trained_on_beside_a_training_split():
    parts = subjects_of(assign_splits(table_of(a="train", b="train", c="train", d=""), seed=0))
    assert parts[""] == {"d"}
    assert {k: len(v) for k, v in parts.items()} == {"": 1, "train": 2, "val": 1}


def test_subjects_without_a_split_are_not_trained_on_beside_a_training_split_of_another_name():
    with pytest.raises(DataError, match="in split train; the data has: training; name the splits"):
        assign_splits(table_of(a="training", b="training", d=""), seed=0)


def test_splits_of_other_names_are_told():
    with pytest.raises(DataError, match="in split train; the data has: site1, site2; name the splits"):
        assign_splits(table_of(a="site1", b="site2"), seed=0)


def test_other_images_of_a_training_subject_keep_their_split():
    table = pd.concat([table_of(a="train", b="train", c="train").table, table_of(a="test").table])
    drawn = assign_splits(Catalog(table, root=Path()), seed=0).table
    assert drawn["split"].iloc[-1] == "test"


def test_a_subject_in_two_splits_of_splits_csv_is_named(tmp_path):
    (tmp_path / "splits.csv").write_text("subject,split\na,train\nb,val\na,val\nb,val\n")
    with pytest.raises(DataError, match=r"splits\.csv names a in more than one split"):
        apply_splits(table_of(a="", b="").table, tmp_path)


def test_blanks_around_the_name_of_a_split_do_not_matter():
    assert set(table_of(a="val", b="test").select(["val", " test"]).table["subject"]) == {"a", "b"}


def test_data_without_splits_tell_where_a_training_run_wrote_them():
    with pytest.raises(DataError, match=r"the data has: none; .* OUT/splits\.csv: copy it beside the data"):
        table_of(a="").select(["val"])


def test_studies_of_one_patient_stay_together(tmp_path):
    names = [f"S{n}{part}" for n in range(8) for part in "ab"]
    table = pd.DataFrame({"subject": names, "split": ""})
    told = pd.DataFrame({"study": names, "subject": [name[:-1] for name in names]})
    told.to_csv(tmp_path / "studies.tsv", sep="\t", index=False)
    patients = patients_of(table, tmp_path)
    drawn, _ = draw_splits(table, seed=3, patients=patients)
    assert drawn.groupby(patients)["split"].nunique().max() == 1
    assert set(drawn["split"]) == {"train", "val", "test"}
    assert leak_notes(table.assign(split=["train", "val"] * 8), patients)[0].startswith("8 subject(s)")


def test_without_studies_every_subject_is_a_patient(tmp_path):
    table = pd.DataFrame({"subject": ["a", "b"], "split": ""})
    assert patients_of(table, tmp_path).tolist() == ["a", "b"]


def split_of(structures, seed):
    """Splits of patients of whom is told what was contoured."""
    table, _ = draw_splits(table_of(**dict.fromkeys(structures, "")).table, seed=seed, structures=structures)
    return dict(zip(table["subject"], table["split"], strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_a_rare_structure_is_trained_on(seed):
    structures = {f"s{i}": {"LV"} for i in range(9)} | {"right": {"LV", "RV"}}
    splits = split_of(structures, seed)
    plain = split_of({patient: {"LV"} for patient in structures}, seed)
    assert splits["right"] == "train"
    assert sorted(splits.values()) == sorted(plain.values())
    if plain["right"] == "train":
        assert splits == plain


@pytest.mark.parametrize("seed", range(12))
def test_no_structure_is_lost_for_another(seed):
    structures = {f"s{i}": {"LV"} for i in range(4)} | {"right": {"RV"}, "wall": {"MYO"}}
    splits = split_of(structures, seed)
    trained = set().union(*(structures[s] for s, split in splits.items() if split == "train"))
    assert trained == {"LV", "MYO", "RV"}
    assert "val" in splits.values()
