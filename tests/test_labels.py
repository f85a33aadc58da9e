"""Label schemes, named or spelled out, and translating masks to cmrseg's ids."""

import numpy as np
import pytest

from cmrseg.labels import Label, get_scheme, near_matches, parse_structures, remap, scheme_of, structures_of


def test_acdc_swaps_the_ventricles():
    mask = np.array([[0, 1], [2, 3]])
    expected = [[Label.BACKGROUND, Label.RV], [Label.MYO, Label.LV]]
    np.testing.assert_array_equal(remap(mask, get_scheme("acdc")), expected)


def test_a_remapped_mask_is_uint8_and_keeps_its_shape():
    mask = remap(np.zeros((2, 3, 4, 5), np.float32), get_scheme("mnms"))
    assert (mask.dtype, mask.shape) == (np.uint8, (2, 3, 4, 5))


def test_whole_floats_are_accepted():
    np.testing.assert_array_equal(remap(np.array([0.0, 3.0]), get_scheme("cmrseg")), [0, 3])


def test_floats_next_to_a_label_are_that_label():
    mask = np.array([1.0000001, 1.9995, -0.0005], np.float32)
    np.testing.assert_array_equal(remap(mask, get_scheme("cmrseg")), [1, 2, 0])


def test_structures_that_do_not_count_can_be_background():
    scheme = get_scheme("LV=1,BACKGROUND=4,BACKGROUND=5")
    np.testing.assert_array_equal(remap(np.array([1, 4, 5]), scheme), [1, 0, 0])


@pytest.mark.parametrize("value", [4, -1, 0.5, 1.01, np.inf, np.nan])
def test_a_value_outside_the_scheme_is_named(value):
    with pytest.raises(ValueError, match=rf"label values {value:g} are outside the scheme \{{0, 1, 2, 3\}}"):
        remap(np.array([0, value]), get_scheme("acdc"))


def test_at_most_five_unknown_values_are_listed():
    with pytest.raises(ValueError, match=r"values 3, 4, 5, 6, 7, \.\.\. are"):
        remap(np.arange(9), get_scheme("cmr-seg-tl"))


def test_a_scheme_can_be_spelled_out():
    scheme = get_scheme("RV=1, myo=2,LV=500")
    assert scheme == {0: Label.BACKGROUND, 1: Label.RV, 2: Label.MYO, 500: Label.LV}
    np.testing.assert_array_equal(remap(np.array([500, 2, 1, 0]), scheme), [1, 2, 3, 0])


@pytest.mark.parametrize("text", ["LV=one", "LV=", "heart=1", "LV=1,,MYO=2", "=1"])
def test_a_misspelled_scheme_is_refused_with_its_text(text):
    with pytest.raises(ValueError, match=f"label scheme '{text}'.*not of the form LV=1"):
        get_scheme(text)


def test_some_structures_of_a_scheme_are_read_and_the_others_are_background():
    assert get_scheme("acdc:LV,MYO") == {0: 0, 1: Label.BACKGROUND, 2: Label.MYO, 3: Label.LV}
    assert get_scheme("LV=5,RV=7:LV") == {0: 0, 5: Label.LV, 7: Label.BACKGROUND}
    assert structures_of(["acdc:LV,MYO"]) == (Label.LV, Label.MYO)


def test_structures_are_named_in_any_order_and_case():
    assert parse_structures(" myo,LV") == ("LV", "MYO")
    assert scheme_of(scheme_of("acdc", ("LV", "MYO")), ("LV", "RV")) == "acdc:LV"


@pytest.mark.parametrize(("text", "told"), [("LW", "unknown structure 'LW'"), ("", "at least one structure")])
def test_structures_that_do_not_exist_are_refused(text, told):
    with pytest.raises(ValueError, match=told):
        parse_structures(text)


def test_an_unknown_scheme_names_its_near_match():
    with pytest.raises(ValueError, match=r"unknown label scheme 'acdcc'; did you mean acdc\?"):
        get_scheme("acdcc")


def test_without_a_near_match_all_names_are_told():
    assert near_matches("zzzz", ["one", "two"]) == "known: one, two"
