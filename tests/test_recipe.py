"""The name is the recipe."""

import pytest

from cmrseg.recipe import Recipe


@pytest.mark.parametrize(
    "name", ["r34_CE_p5_s2", "r34_CE_p5_s2_128", "light2d_hybrid_acdc_s3", "v16_logDICE_7T-mice_s1"]
)
def test_a_recipe_gives_its_name_back(name):
    assert str(Recipe.parse(name)) == name


def test_a_network_may_be_written_as_in_the_tables_of_a_paper():
    recipe = Recipe.parse("dn121_2D_SR_MSE_acdc_s5_96")
    assert str(recipe) == "dn121-2D-SR_MSE_acdc_s5_96"
    assert recipe.network.backbone == "dn121"


def test_the_parts_of_a_name():
    assert Recipe.parse("r34_CE_p5_s2_128") == Recipe("r34", "CE", "p5", "s2", 128)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("r34_CE_p5", "has 3 parts; it needs architecture_loss_set_augmentation"),
        ("", "has 1 parts"),
        ("r34_CE_p5_s2_128_x", "has 6 parts"),
        ("r35_CE_p5_s2", r"unknown architecture 'r35'; did you mean .*r34"),
        ("r34_dice_p5_s2", "unknown loss 'dice'"),
        ("r34_CE_p5_s9", "unknown augmentation 's9'; did you mean s[12345]"),
        ("r34_CE__s2", "training set ''"),
        ("r34_CE_p/5_s2", "letters, digits"),
        ("r34_CE_p5_s2_100", "size '100' must be a multiple of 32"),
        ("r34_CE_p5_s2_0", "size '0'"),
        ("r34_CE_p5_s2_-32", "size '-32'"),
    ],
)
def test_a_wrong_part_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        Recipe.parse(name)
