"""The seven classifiers of regions."""

import pytest
import torch

from cmrseg.models import get_architecture
from cmrseg.models.region_nets import BACKBONES, SUFFIX
from cmrseg.recipe import Recipe


@pytest.mark.parametrize("backbone", BACKBONES)
def test_each_answers_four_regions(backbone):
    architecture = get_architecture(f"{backbone}-{SUFFIX}")
    assert (architecture.task, architecture.backbone, architecture.rgb) == ("region", backbone, True)
    with torch.device("meta"):
        net = architecture.build(3, 4)
        assert net(torch.zeros(2, 3, 160, 160)).shape == (2, 4)


def test_the_paper_has_seven():
    assert len(BACKBONES) == 7


def test_a_recipe_names_one():
    recipe = Recipe.parse("r18-region_CE_acdc_s3")
    assert recipe.network.defaults.base[0].lr == 5e-4
