"""``cmrseg zoo publish``: what it sends, and what it refuses."""

from io import StringIO

import pytest

from tests.cli.conftest import assert_one_sentence
from tests.publishing.test_release import made, parts, zenodo  # noqa: F401 (fixtures)

TOKEN = "secret-of-these-tests"


@pytest.fixture
def publish(cmrseg, parts):  # noqa: F811 (a fixture)
    def run(*more, model=parts / "run" / "model.safetensors", creator=("--creator", "Doe, Jo")):
        about = ("--trained-on", "synthetic studies", "--citation", "nobody", *creator)
        return cmrseg(
            "zoo", "publish", model, "--out", parts / "release", "--test", parts / "secretA", *about, *more
        )

    return run


def test_a_dry_run_shows_what_would_be_sent_and_needs_no_token(publish, zenodo, monkeypatch):  # noqa: F811
    monkeypatch.delenv("ZENODO_TOKEN")
    code, said, _ = publish("--publish", "--dry-run")
    assert code == 0
    assert "light2d_CE_toy_s1.safetensors" in said
    assert "cc-by-4.0" in said
    assert zenodo.asked == []


def test_publishing_tells_the_doi_and_never_the_token(publish, zenodo):  # noqa: F811
    code, said, complaint = publish("--publish", "--yes")
    assert code == 0
    assert "doi:10.5281/zenodo.100" in said
    assert set(zenodo.records[100]) == {"light2d_CE_toy_s1.safetensors", "card.md", "train.toml"}
    assert TOKEN not in said + complaint


@pytest.mark.parametrize(("answer", "published"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_publishing_asks_first(publish, zenodo, monkeypatch, answer, published):  # noqa: F811
    monkeypatch.setattr("sys.stdin", StringIO(answer))
    code, said, complaint = publish("--publish")
    assert "publish light2d_CE_toy_s1 for good" in said + complaint
    assert (code == 0) == published
    assert bool(zenodo.records) == published
    assert zenodo.drafts == {}


def test_a_draft_is_published_later_without_a_second_one(publish, zenodo):  # noqa: F811
    publish("--upload")
    code, said, _ = publish("--publish", "--yes")
    assert (code, list(zenodo.records), zenodo.drafts) == (0, [100], {})
    assert "published: " in said


def test_full_precision_is_twice_as_large(publish, zenodo, parts):  # noqa: F811
    sizes = {}
    for more in ((), ("--full",)):
        code, _, _ = publish("--dry-run", "--update-results", *more)
        assert code == 0
        sizes[more] = (parts / "release" / "light2d_CE_toy_s1.safetensors").stat().st_size
    assert sizes[("--full",)] > sizes[()] + 1000


def test_two_test_sets_need_two_headings(publish, parts):  # noqa: F811
    assert_one_sentence(publish("--test", parts / "secretA"), "a heading of its own")


def test_a_test_set_with_a_heading(publish, parts):  # noqa: F811
    code, _, _ = publish("--dry-run", "--update-results", "--test", f"Second hospital={parts / 'secretA'}")
    assert code == 0
    card = (parts / "release" / "card.md").read_text()
    assert "### Test set" in card
    assert "### Second hospital" in card


def test_a_draft_is_not_published(publish, zenodo):  # noqa: F811
    code, said, _ = publish("--upload")
    assert code == 0
    assert f"draft: {zenodo.url}/deposit/100" in said
    assert zenodo.records == {}


def test_no_token_is_one_sentence(publish, monkeypatch):
    monkeypatch.delenv("ZENODO_SANDBOX_TOKEN", raising=False)
    assert_one_sentence(publish("--upload", "--sandbox"), "ZENODO_SANDBOX_TOKEN is not set")


def test_no_creator_is_one_sentence(publish):
    assert_one_sentence(publish(creator=()), "at least one person")


def test_a_model_that_does_not_load_is_one_sentence(publish, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"text")
    assert_one_sentence(publish(model=file), "no readable model file")
