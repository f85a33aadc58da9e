"""Tables that are read whole or refused in one sentence."""

import gzip
import lzma
from pathlib import Path

import pandas as pd
import pytest

from cmrseg.data.tables import (
    as_numbers,
    filled,
    image_places,
    is_table,
    method_names,
    read_published,
    table_stem,
)
from cmrseg.problems import DataError

TEXT = "file\tlv_pixels\n007\t5\n"


@pytest.mark.parametrize(
    ("name", "pack"),
    [("t.tsv", bytes), ("t.tsv.xz", lzma.compress), ("t.tsv.gz", gzip.compress), ("T.TSV.XZ", lzma.compress)],
)
def test_a_packed_table_reads_as_a_plain_one(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(TEXT.encode()))
    table = read_published(tmp_path / name, text=["file"])
    assert table.to_dict("records") == [{"file": "007", "lv_pixels": 5}]


@pytest.mark.parametrize(("suffix", "pack"), [("xz", lzma.compress), ("gz", gzip.compress)])
def test_a_truncated_table_is_refused(tmp_path, suffix, pack):
    packed = pack((TEXT * 1000).encode())
    path = tmp_path / f"t.tsv.{suffix}"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="truncated or damaged"):
        read_published(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "cannot be read as a table"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read as a table"),
        ("t.csv", b"a\n\xff\xfe\n", "cannot be read as a table"),
        ("t.csv.gz", b"plain", "damaged"),
        ("t.csv.xz", b"plain", "damaged"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_published(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "Id,Systole,Diastole\n1,60,120,9\n2,50,110,5\n"),  # decimal comma
        ("t.csv", "Id,Systole,Diastole\n1,60,120,9\n2,50,110\n"),
        ("t.tsv", "Id\tSystole\tDiastole\n1\t60\t120\t9\n"),
        ("t.csv", "Id;Systole;Diastole\n1;60;120;9\n"),
    ],
)
def test_rows_longer_than_the_header_are_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=r"more values in a row than names in its header \(decimal commas"):
        read_published(tmp_path / name)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("head", ["Id,Systole,Diastole", "Id,Systole,Diastole,"])
def test_commas_at_the_end_of_the_rows_are_no_values(tmp_path, head):
    (tmp_path / "t.csv").write_text(f"{head}\n1,60,120,\n2,50,110,\n")
    table = read_published(tmp_path / "t.csv", text=["Id"])
    assert table[["Id", "Systole", "Diastole"]].to_numpy().tolist() == [["1", 60, 120], ["2", 50, 110]]


@pytest.mark.parametrize(("name", "pack"), [("t.csv", bytes), ("t.csv.xz", lzma.compress)])
def test_semicolons_come_with_decimal_commas(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack("\ufeff\r\nId;Systole;Diastole\r\n1,0;60,5;120\r\n".encode()))
    assert read_published(tmp_path / name, text=["Id"]).to_numpy().tolist() == [["1,0", 60.5, 120]]


@pytest.mark.parametrize(
    ("name", "separator"),
    [("x.tsv.csv", ","), ("x.tsv.csv.gz", ","), ("x.csv.tsv", "\t"), ("x.tsvs.csv", ",")],
)
def test_the_last_suffix_tells_the_separator(tmp_path, name, separator):
    text = separator.join("ab") + "\n" + separator.join("12") + "\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert read_published(tmp_path / name).to_dict("records") == [{"a": 1, "b": 2}]


def test_an_id_may_be_na_and_a_number_may_not(tmp_path):
    (tmp_path / "t.csv").write_text("Id,n,word\nNA,NA,NA\n,2,x\n")
    table = read_published(tmp_path / "t.csv", text=["Id"])
    assert table["Id"].tolist()[0] == "NA"
    assert table.isna().to_numpy().tolist() == [[False, True, True], [True, False, False]]


def test_tables_are_files_of_their_suffixes(tmp_path):
    (tmp_path / "x.csv").mkdir()
    names = ["a.csv", "b.TSV.gz", "c.csv.bak", ".d.csv", "e.gz"]
    for name in names:
        (tmp_path / name).touch()
    assert [name for name in [*names, "x.csv"] if is_table(tmp_path / name)] == ["a.csv", "b.TSV.gz"]


def test_a_missing_table_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_published(tmp_path / "t.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_published(tmp_path)


@pytest.mark.parametrize("bad", ["x", "-1", "", "inf"])
def test_a_value_that_is_no_count_is_named_with_its_row(bad):
    table = pd.DataFrame({"Id": ["1", "2"], "n": ["3", bad]})
    with pytest.raises(DataError, match="n must hold numbers from 0 on, it does not for Id 2"):
        as_numbers(table, ["n"], Path("t.csv"), key="Id")


def test_a_count_is_a_whole_number():
    table = pd.DataFrame({"Id": ["1", "2"], "n": ["1430.0", "0.5"]})
    assert as_numbers(table, ["n"], Path("t.csv"), key="Id")["n"].tolist() == [1430, 0.5]
    with pytest.raises(DataError, match=r"n must hold whole numbers from 0 on, it does not for Id 2 \(0.5\)"):
        as_numbers(table, ["n"], Path("t.csv"), key="Id", whole=True)


def test_what_is_missing_in_a_text_can_be_filled():
    assert filled(pd.Series(["a", "NA", None, ""]), "all").tolist() == ["a", "all", "all", "all"]


@pytest.mark.parametrize("number", ["99999999999999999999999", "٣"])
def test_numbers_that_no_image_has_are_not_understood(number):
    names = pd.Series(
        [f"1-frame{number}-slice000.png", f"1_slice{number}_frame001.png", "1-frame1-slice2.png"]
    )
    assert image_places(names)["Id"].isna().tolist() == [True, True, False]


def test_names_of_images_tell_subject_frame_and_slice():
    names = [
        "nifti/images/245/245-frame003-slice004.png",
        "1001_rot90-frame011-slice000.png",
        "17_slice000_frame001-mask.png",
        "26_slice002_frame017",
        "a\\123_a-frame1-slice2.png",
        "slice.png",
    ]
    places = image_places(pd.Series(names))
    assert places["Id"].tolist()[:5] == ["245", "1001_rot90", "17", "26", "123_a"]
    assert places["frame"].tolist()[:5] == [3, 11, 1, 17, 1]
    assert places["slice"].tolist()[:5] == [4, 0, 0, 2, 2]
    assert places.iloc[5].isna().all()


def test_methods_are_called_as_their_files_and_folders_where_need_be():
    assert list(method_names([Path("x/r34.tsv.xz"), Path("x/r50.v2.csv")])) == ["r34", "r50.v2"]
    assert list(method_names([Path("x/p.tsv"), Path("y/p.tsv")])) == ["x/p", "y/p"]
    with pytest.raises(DataError, match="tables of one name"):
        method_names([Path("x/p.tsv"), Path("x/p.tsv")])


def test_the_stem_of_a_table_has_no_packing():
    assert table_stem(Path("a/b.v1.TSV.gz")) == "b.v1"
    assert table_stem(Path("a/b.tsv.csv")) == "b.tsv"


def test_a_number_with_thousands_of_digits_is_none(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"Id,n\na,1\nb,{'9' * 5000}\n")
    with pytest.raises(DataError, match=r"n must hold numbers from 0 on, it does not for Id b"):
        as_numbers(read_published(path), ["n"], path, key="Id")
