"""Kinds of problems are spelled as the published log spells them."""

import pytest

from cmrseg.curation import kinds


@pytest.fixture(scope="module")
def published_log(test_data):
    """Lines of the log of the published curation: study, kind, resolution, image, details."""
    path = test_data.parent / "reference" / "cmr-seg-tl" / "kaggle" / "conversion.log"
    if not path.is_file():
        pytest.skip(f"the published log is not at {path}")
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def test_published_spellings_are_exactly_the_kinds_of_the_published_log(published_log):
    assert set(kinds.PUBLISHED.values()) == {line[1] for line in published_log}


def test_only_the_collision_is_spelled_otherwise_by_us():
    differing = {ours: theirs for ours, theirs in kinds.PUBLISHED.items() if ours != theirs}
    assert differing == {"collision": "collission"}


def test_every_kind_is_a_name_of_its_own():
    names = [value for name, value in vars(kinds).items() if name.isupper() and isinstance(value, str)]
    assert len(set(names)) == len(names) > len(kinds.PUBLISHED)
    assert set(kinds.PUBLISHED) < set(names)
