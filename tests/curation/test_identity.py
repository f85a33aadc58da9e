"""Names, ids and UIDs that say nothing."""

from __future__ import annotations

import pytest

from cmrseg.curation.identity import is_nobody, said_uid


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "000", "X", "xxx", "ANON", "Anonymous^", "REMOVED", "None", "Patient", "no_name", "N/A"],
)
def test_what_names_nobody(text):
    assert is_nobody(text)


@pytest.mark.parametrize("text", ["PID-4711", "P1", "1000", "Mustermann^Erika", "sub-01", "Patel"])
def test_what_names_somebody(text):
    assert not is_nobody(text)


@pytest.mark.parametrize(
    "uid", ["", "0", "1.2.3", "0.0.0.0.0.0.0.0", "1.2.3.4.5.6.7.8", "1.1.1.1.1.1.1", "ANONYMISED"]
)
def test_uids_that_say_nothing(uid):
    assert said_uid(uid) == ""


@pytest.mark.parametrize("uid", ["1.2.840.113619.2.176.2025.1", "2.25.3021839021839021839"])
def test_uids_that_say_something(uid):
    assert said_uid(uid) == uid
