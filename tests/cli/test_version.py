"""``cmrseg --version``, and who is to be cited."""

from pathlib import Path

import yaml

from cmrseg import __version__

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_is_said(cmrseg):
    assert cmrseg("--version") == (0, f"cmrseg {__version__}\n", "")


def test_the_citation_names_this_version_and_the_paper():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert told["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= set(told)
    paper = told["preferred-citation"]
    assert (paper["type"], paper["year"], len(paper["authors"])) == ("article", 2021, 6)
    assert all({"family-names", "given-names"} <= set(author) for author in paper["authors"])
