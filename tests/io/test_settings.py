"""Settings that people write: whatever is wrong with one is one sentence that names the file."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from cmrseg.io.settings import MOST_BYTES, read_json, read_toml, record, told_of
from cmrseg.problems import DataError


@dataclass(frozen=True)
class Inner:
    size: int = 3


@dataclass(frozen=True)
class Settings:
    name: str
    share: float = 0.5
    fast: bool = False
    pixel_mm: float | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    inner: Inner = Inner()
    more: Mapping[str, int] | None = None
    parts: tuple[Inner, ...] = ()


def refusal(path, read=read_json):
    with pytest.raises(DataError) as caught:
        read(path, "export it again")
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 900
    return message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"3",
        b'"text"',
        b"{",
        b'{"a": \xff}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 80 + b"1" + b"}" * 80,
        b'{"a": 1' + b"0" * 5000 + b"}",
    ],
    ids=["empty", "list", "number", "text", "half", "not utf-8", "deep", "deep object", "levels", "digits"],
)
def test_what_is_no_table_of_names_and_values_is_one_sentence(tmp_path, content):
    path = tmp_path / "dataset.json"
    path.write_bytes(content)
    assert "export it again" in refusal(path)


def test_a_missing_file_and_a_folder_are_one_sentence(tmp_path):
    assert "check the path" in refusal(tmp_path / "none.json")
    assert "check the path" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"a = \xff", b"a = ", b"a = " + b"[" * 5000])
def test_a_damaged_toml_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "train.toml"
    path.write_bytes(content)
    refusal(path, read_toml)


def test_a_file_larger_than_any_settings_is_not_read_whole(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES * 1000)  # sparse: takes no disk
    assert "more than 16 MB" in refusal(path)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ([], "table of names and values"),
        ({}, "name must be given"),
        ({"name": 3}, "name must be text, got 3"),
        ({"name": "a", "shar": 1}, "unknown setting 'shar'; did you mean share"),
        ({"name": "a", "share": "x"}, "share must be a number"),
        ({"name": "a", "share": True}, "share must be a number"),
        ({"name": "a", "share": float("nan")}, "share must be a number"),
        ({"name": "a", "share": 10**400}, "share must be a number, got a huge number"),
        ({"name": "a", "fast": 1}, "fast must be true or false"),
        ({"name": "a", "pair": [1]}, "pair must be a list of 2"),
        ({"name": "a", "pair": 1}, "pair must be a list"),
        ({"name": "a", "inner": 1}, "table of names and values"),
        ({"name": "a", "inner": {"size": 1.5}}, "size must be a whole number"),
        ({"name": "a", "more": {"b": "c"}}, "more b must be a whole number"),
        ({"name": "a", "parts": [{"size": 1}, {"width": 1}]}, "unknown setting 'width'"),
        ({"name": None}, "name must be text"),
    ],
)
def test_a_value_of_another_kind_is_named(table, named):
    with pytest.raises(ValueError, match=named):
        record(Settings, table)


def test_a_record_holds_what_the_table_says_and_the_base_for_the_rest():
    base = Settings("base", inner=Inner(7), more={"x": 1})
    table = {"share": 1, "pixel_mm": None, "pair": [1, 2], "parts": [{"size": 2}]}
    assert record(Settings, table, base) == Settings(
        "base", 1.0, False, None, (1.0, 2.0), Inner(7), {"x": 1}, (Inner(2),)
    )
    assert record(Settings, {"inner": {}}, base).inner == Inner(7)


@pytest.mark.parametrize(
    "error",
    [KeyError("a"), TypeError("b"), AttributeError("c"), OverflowError("d"), RecursionError()],
)
def test_what_goes_wrong_with_the_content_of_a_file_names_it(tmp_path, error):
    with pytest.raises(DataError, match=r"x\.json.*; mend it"), told_of(tmp_path / "x.json", "mend it"):
        raise error


def test_a_sentence_that_names_the_file_stays_as_it_is(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(DataError, match=f"^{path} is odd$"), told_of(path, "mend it"):
        raise DataError(f"{path} is odd")
