"""Architectures by name, and what is frozen in transfer learning."""

import pytest
from torch import nn

from cmrseg.models import ARCHITECTURES, get_architecture, parameter_groups
from cmrseg.models.registry import Architecture, register


def test_an_unknown_architecture_names_its_near_match():
    with pytest.raises(ValueError, match="unknown architecture 'light2'; did you mean light2d"):
        get_architecture("light2")


def test_the_architectures_of_the_paper_are_there():
    assert {"r18", "r34", "r50", "v16", "sq11", "light2d"} <= set(ARCHITECTURES)


@pytest.mark.parametrize("name", ["r18", "r34", "r50", "v16", "sq11"])
def test_those_with_imagenet_weights_take_rgb(name):
    architecture = get_architecture(name)
    assert architecture.rgb
    assert architecture.backbone == name


def test_a_registered_architecture_is_found(monkeypatch):
    monkeypatch.setattr("cmrseg.models.registry.ARCHITECTURES", {})
    mine = register(Architecture("mine", nn.Identity, lambda model: model))
    assert get_architecture("mine") is mine


def test_light2d_groups_partition_all_parameters():
    architecture = get_architecture("light2d")
    model = architecture.build(1, 3, widths=(4, 8))
    encoder, rest = parameter_groups(model, architecture)
    ids = [id(p) for p in (*encoder, *rest)]
    assert sorted(ids) == sorted(map(id, model.parameters()))
    assert {id(p) for p in encoder} == {id(p) for p in model.encoder.parameters()}
