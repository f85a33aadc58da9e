"""Tables: foreign text is no formula to a spreadsheet, comes back as it was, and unpacks to no end."""

import gzip
import lzma

import pandas as pd
import pytest

from cmrseg.io import tables
from cmrseg.io.atomic import write_table
from cmrseg.io.tables import read_problems, read_table
from cmrseg.problems import DataError, Problem, problem_table

FORMULAS = [
    "=HYPERLINK(1)",
    "@SUM(1)",
    "+cmd|'/C calc'!A0",
    "-2+3",
    "\t=1",
    "\n=1",
    "＝1",
    "-",
    "'=1",
    "''@x",
]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_no_cell_of_foreign_text_begins_like_a_formula_and_all_come_back(tmp_path, name):
    table = pd.DataFrame({"subject": FORMULAS, "=column": FORMULAS, "value": -1.5})
    path = write_table(table, tmp_path / name)
    raw = pd.read_csv(path, dtype=str, sep="\t" if name == "t.tsv" else ",")
    cells = [*raw.columns, *raw["subject"], *raw["'=column"]]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r＝"]
    assert set(raw["value"]) == {"-1.5"}
    pd.testing.assert_frame_equal(read_table(path, {"subject": str}), table)


@pytest.mark.parametrize("subject", ["-12", "+7", "1e5", "12", "normal", "o'brien", "'quoted'", "-inf"])
def test_names_that_no_spreadsheet_runs_stay_as_they_are(tmp_path, subject):
    path = write_table(pd.DataFrame({"subject": [subject]}), tmp_path / "t.csv")
    assert path.read_text() == f"subject\n{subject}\n"
    assert read_table(path, str)["subject"].tolist() == [subject]


def test_missing_values_stay_missing(tmp_path):
    table = pd.DataFrame({"a": ["=x", None], "b": pd.array([1, None], "Int64")})
    assert write_table(table, tmp_path / "t.csv").read_text() == "a,b\n'=x,1\n,\n"


def test_problems_come_back_as_they_were(tmp_path):
    problems = [Problem("=1", "@x", "left out"), Problem("a", "b", "c", "-d", "+e\nf")]
    assert read_problems(write_table(problem_table(problems), tmp_path / "p.tsv")) == problems


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_a_packed_table_that_has_no_end_is_refused_while_it_is_read(tmp_path, monkeypatch, suffix, pack):
    path = tmp_path / f"t.csv{suffix}"
    path.write_bytes(pack(b"a,b\n" + b"1,2\n" * 10_000))
    assert len(read_table(path)) == 10_000
    monkeypatch.setattr(tables, "MOST_BYTES", 20_000)
    with pytest.raises(DataError, match=rf"t\.csv{suffix} has more than"):
        read_table(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'a\n"', b"a,b\n1,2,3,4\n1,2\n1,2,3,4,5,6\n"])
def test_what_is_no_table_is_one_sentence(tmp_path, content):
    path = tmp_path / "catalog.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"catalog\.csv cannot be read as a table"):
        read_table(path)


def test_a_missing_table_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        read_table(tmp_path / "none.csv")


def test_a_name_that_would_break_the_lines_of_a_table_does_not(tmp_path):
    path = write_table(pd.DataFrame({"subject": ["\r=1", "a\0b", "c"]}), tmp_path / "t.csv")
    assert read_table(path, str)["subject"].tolist() == [" =1", "a b", "c"]
