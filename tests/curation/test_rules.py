"""The rules of a data set: their defaults, their file, and what is refused."""

from __future__ import annotations

import re
from dataclasses import MISSING, FrozenInstanceError, fields
from pathlib import Path

import pytest

from cmrseg.curation.rules import Measurement, Rules, load_rules
from cmrseg.problems import DataError

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "data_curation").glob("*/rules.toml"))


def written(tmp_path, text):
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("collision_mm", 1.0),
        ("slice_tolerance_mm", 1.0),
        ("outlier_spacings", 2.5),
        ("edge_tolerance_mm", 2.5),
        ("missing_slice", "copy"),
        ("missing_frame", "previous"),
        ("max_size", 256),
        ("min_slices", 3),
    ],
)
def test_defaults_are_those_of_the_published_curation(name, value):
    assert getattr(Rules(), name) == value


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path):
    text = 'collision_mm = 2\nmissing_slice = "leave"\nmax_size = 0\nkeep_ids = true\n'
    assert load_rules(written(tmp_path, text)) == Rules(
        collision_mm=2, missing_slice="leave", max_size=0, keep_ids=True
    )


def test_an_empty_file_gives_the_defaults(tmp_path):
    assert load_rules(written(tmp_path, "")) == Rules()


def test_measurements_are_read(tmp_path):
    text = """
        [[measurements]]
        study = "123"
        series = ["sax_10"]
        suffix = "_a"
        rest = "_b"
        [[measurements]]
        study = "334"
        series = ["sax_29", "sax_31..sax_33"]
    """
    assert load_rules(written(tmp_path, text)).measurements == (
        Measurement("123", ("sax_10",), "_a", "_b"),
        Measurement("334", ("sax_29", "sax_31..sax_33"), "_b", "_a"),
    )


def test_an_unknown_rule_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(DataError, match=r"unknown setting 'colision_mm'; did you mean collision_mm"):
        load_rules(written(tmp_path, "colision_mm = 1"))


def test_an_unknown_rule_without_a_near_name_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"unknown setting 'zzzz'; known: min_slices"):
        load_rules(written(tmp_path, "zzzz = 1"))


def test_an_unknown_field_of_a_measurement_is_refused(tmp_path):
    with pytest.raises(DataError, match="did you mean suffix"):
        load_rules(written(tmp_path, '[[measurements]]\nstudy = "1"\nseries = ["2"]\nsufix = "_a"'))


def test_a_measurement_without_its_study_is_refused(tmp_path):
    with pytest.raises(DataError, match="study"):
        load_rules(written(tmp_path, '[[measurements]]\nseries = ["2"]'))


@pytest.mark.parametrize(
    "line",
    [
        'collision_mm = "1"',
        "collision_mm = [1]",
        "collision_mm = true",
        "min_slices = 3.5",
        "max_size = 256.0",
        "keep_ids = 1",
        'keep_ids = "yes"',
        "missing_slice = 1",
        "missing_slice = true",
        'missing_slice = "guess"',
        'missing_frame = "next"',
        "study_pattern = 1",
        "collision_mm = -1",
        "collision_mm = nan",
        "max_size = -256",
        "max_size = 15",
        "min_slices = 1",
        "min_phases = 1",
        "study_pattern = '('",
        "study_pattern = 'study'",
        "study_pattern = '(a)(b)'",
        "measurements = 5",
        '[[measurements]]\nstudy = 123\nseries = ["1"]',
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_the_rule(tmp_path, line):
    name = re.search(r"(\w+) = (?!\[\")", line)[1]
    path = written(tmp_path, line)
    with pytest.raises(DataError, match="rules") as refused:
        load_rules(path)
    assert str(path) in str(refused.value)
    assert name in str(refused.value) or name == "measurements"


@pytest.mark.parametrize(
    "line",
    [
        '[[measurements]]\nstudy = "123"\nseries = "sax_10"',
        '[[measurements]]\nstudy = "123"\nseries = [10]',
        "measurements = [1]",
        'measurements = ["123"]',
    ],
)
def test_measurements_of_a_wrong_shape_are_refused(tmp_path, line):
    with pytest.raises(DataError):
        load_rules(written(tmp_path, line))


@pytest.mark.parametrize("rule", [f.name for f in fields(Rules) if type(f.default) in (int, float)])
def test_numbers_must_not_be_negative(rule):
    with pytest.raises(ValueError, match=rf"{rule} must not be negative, got -1"):
        Rules(**{rule: -1})


@pytest.mark.parametrize("size", [0, 16, 256])
def test_a_size_of_zero_or_of_at_least_sixteen_is_accepted(size):
    assert Rules(max_size=size).max_size == size


def test_broken_toml_and_a_missing_file_are_refused_with_their_path(tmp_path):
    for path in (written(tmp_path, "collision_mm = = 1"), tmp_path / "none.toml"):
        with pytest.raises(DataError, match=re.escape(str(path))):
            load_rules(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        load_rules(path)


def test_rules_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Rules().max_size = 1


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_recipes_load(path):
    assert isinstance(load_rules(path), Rules)


def recipe(name):
    path = ROOT / "data_curation" / name / "rules.toml"
    if not path.is_file():
        pytest.skip(f"no recipe {name}")
    return load_rules(path)


def test_kaggle_names_the_nine_repeated_measurements():
    first = {m.study: m.series for m in recipe("kaggle_dsb").measurements if m.suffix == "_a"}
    second = {m.study: m.series for m in recipe("kaggle_dsb").measurements if m.suffix == "_b"}
    assert first == {"123": ("sax_10",), "1082": ("sax_10",)}
    assert second == {
        "334": ("sax_29",),
        "437": ("sax_12..sax_22",),
        "516": ("sax_104",),
        "619": ("sax_21",),
        "721": ("sax_47",),
        "793": ("sax_41",),
        "1111": ("sax_32",),
    }


@pytest.mark.parametrize("path", ["train/train/123/study/sax_10/IM-1-1.dcm", "123/study/sax_10/IM-1-1.dcm"])
def test_kaggle_finds_the_number_of_a_study_in_its_path(path):
    assert re.search(recipe("kaggle_dsb").study_pattern, path)[1] == "123"


def test_the_readme_names_every_rule_with_its_default():
    path = ROOT / "data_curation" / "README.md"
    if not path.is_file():
        pytest.skip(f"no {path}")
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.lstrip().startswith("|")]
    cells = [[cell.strip(" `\"'") for cell in row.strip().strip("|").split("|")] for row in rows]
    told = {name.strip(" `"): row[1] for row in cells if len(row) > 1 for name in row[0].split(",")}
    for rule in fields(Rules):
        assert rule.name in told, f"{rule.name} is not in the table of {path}"
        assert rule.default is not MISSING
        assert is_told(rule.default, told[rule.name]), (rule.name, rule.default, told[rule.name])


def is_told(default, cell):
    """Whether a cell of a table tells a default, whatever the form of an empty one."""
    if isinstance(default, bool):
        return str(default).lower() in cell.lower()
    if isinstance(default, (int, float)):
        return default in [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)]
    if default in ("", ()):
        return not re.search(r"\d", cell)
    return default in cell


@pytest.mark.parametrize(
    "series",
    ["sax_1..sax_9999999999", f"1..{'9' * 60}", f"1..{'9' * 5000}", "a" * 100_000 + "1..2", "sax_9..sax_1"],
    ids=["10^10", "60 digits", "5000 digits", "long", "backwards"],
)
def test_a_range_without_end_is_refused_before_it_is_expanded(tmp_path, series):
    path = written(tmp_path, f'[[measurements]]\nstudy = "1"\nseries = ["{series}"]')
    with pytest.raises(DataError, match=r"must name 1 to 10000 series|no name is as long"):
        load_rules(path)
