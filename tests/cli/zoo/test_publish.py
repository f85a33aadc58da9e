"""``cmrseg zoo publish``: what it sends, and what it refuses."""

import pytest

from tests.cli.conftest import assert_one_sentence
from tests.test_publish import made, parts, zenodo  # noqa: F401 (fixtures)

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
