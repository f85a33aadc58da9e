"""``cmrseg zoo list`` and ``show``: nothing that they say is cut off."""

from dataclasses import replace

import pytest

from cmrseg.zoo import manifest
from cmrseg.zoo.manifest import DEFAULT_MODEL, get_entry


@pytest.fixture
def remote(monkeypatch, tmp_path):
    """A model with a long description, published elsewhere."""
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path))
    entry = replace(
        get_entry(DEFAULT_MODEL),
        name="toy",
        file="toy.safetensors",
        architecture="r34",
        trained_on=f"[hospitals] {'of many towns ' * 10}and of one village",
        dice={},
        url="https://models.invalid/toy.safetensors",
    )
    monkeypatch.setattr(manifest, "read_manifest", lambda: {"toy": entry})


def test_the_list_says_what_a_model_is_and_where(cmrseg):
    code, said, _ = cmrseg("zoo", "list")
    assert code == 0
    for words in (
        "light2d; ",
        "LV 0.94, MYO 0.89, RV 0.90",
        "ACDC, 60 patients",
        "7.0 MB",
        "embedded",
        "NC-SA",
    ):
        assert words in said


@pytest.mark.usefixtures("remote")
def test_long_texts_stay_whole(cmrseg):
    _, said, _ = cmrseg("zoo", "list")
    assert "toy: remote, 7.0 MB, licence CC BY-NC-SA 4.0\n" in said
    assert "r34; LV, MYO, RV; trained on [hospitals] of many towns" in said
    assert "and of one village\n" in said


@pytest.mark.usefixtures("remote")
def test_a_card_is_folded_and_not_cut_off(cmrseg):
    code, said, _ = cmrseg("zoo", "show", "toy")
    assert code == 0
    assert "of one village" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80
