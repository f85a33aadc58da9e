"""Base and apex of every frame, and the interval that comes from the doubt about them."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.examination.ends import END_COLUMNS, end_table, interval_table, sure_of_slices
from cmrseg.examination.trust_input import TrustInput
from cmrseg.examination.trust_mask import base_covered
from cmrseg.labels import Label
from cmrseg.tasks.segmentation.by_region import region_table

AREAS = ((0, 8, 6, 4, 2, 0), (0, 0, 4, 3, 1, 0))  # of slices at end-diastole and end-systole, base first
SPACING = (10.0, 10.0, 10.0)  # a voxel is 1 ml


def heart(areas=AREAS):
    """LV of so many pixels per slice and frame, inside muscle that keeps the base first."""
    mask = np.zeros((20, 3, len(areas[0]), len(areas)), np.uint8)
    for t, slices in enumerate(areas):
        for z, area in enumerate(slices):
            mask[:area, 0, z, t] = Label.LV
            mask[: 2 * area, 1, z, t] = Label.MYO
    return Cine(mask, SPACING)


def certain(mask, **doubts):
    """Everything that shows LV is sure, but named places: ``z2t1=0.5``."""
    sure = (mask.array == Label.LV).any(axis=(0, 1)).astype(float)
    for place, value in doubts.items():
        z, t = place[1:].split("t")
        sure[int(z), int(t)] = value
    return sure


def test_the_base_moves_out_of_its_slice_during_systole():
    table = end_table(heart(), None)
    assert list(table) == list(END_COLUMNS)
    assert table[["frame", "end", "slice", "beyond"]].to_numpy().tolist() == [
        [0, "base", 1, 0], [0, "apex", 4, 5], [1, "base", 2, 1], [1, "apex", 4, 5],
    ]  # fmt: skip
    assert table["sure_percent"].isna().all()


def test_where_the_stack_ends_nothing_lies_beyond():
    table = end_table(heart(((8, 6, 4),)), np.ones((3, 1)))
    assert table["beyond"].isna().all()
    assert table["sure_percent"].tolist() == [100, 100]
    assert table["beyond_percent"].isna().all()


def test_a_stack_with_the_apex_first():
    assert end_table(heart(((2, 4, 8),)), None)["slice"].tolist() == [2, 0]


def test_without_doubt_the_interval_is_the_value():
    mask = heart()
    table = interval_table(mask, certain(mask), (0, 1)).set_index("quantity")
    assert table["value"].tolist() == pytest.approx([20, 8, 60])
    assert table["low"].tolist() == table["high"].tolist() == pytest.approx([20, 8, 60])
    assert table["unit"].tolist() == ["ml", "ml", "%"]


def test_a_doubtful_end_slice_may_be_none():
    mask = heart()
    table = interval_table(mask, certain(mask, z1t0=0.5), (0, 1)).set_index("quantity")
    assert table.loc["EDV", ["low", "high"]].tolist() == [12, 20]  # without the 8 ml of slice 1
    assert table.loc["ESV", ["low", "high"]].tolist() == [8, 8]
    assert table.loc["EF", ["low", "high"]].tolist() == pytest.approx([100 * 4 / 12, 60])


def test_the_slice_beyond_holds_as_much_as_the_end_slice():
    mask = heart()
    table = interval_table(mask, certain(mask, z5t0=0.5), (0, 1)).set_index("quantity")
    assert table.loc["EDV", ["low", "high"]].tolist() == [20, 22]


def test_what_is_hardly_possible_lies_outside():
    mask = heart()
    table = interval_table(mask, certain(mask, z1t0=0.99), (0, 1)).set_index("quantity")
    assert table.loc["EDV", ["low", "high"]].tolist() == [20, 20]


def test_one_frame_tells_edv_only():
    mask = heart(AREAS[:1])
    assert interval_table(mask, certain(mask), (0, 0))["quantity"].tolist() == ["EDV"]


@pytest.mark.parametrize("areas", [((0, 3, 2, 0), (0, 3, 2, 0)), ((0, 0, 0, 0), (0, 0, 0, 0))])
def test_few_slices_tell_nothing(areas):
    mask = heart(areas)
    assert interval_table(mask, certain(mask), (0, 1)).empty


def test_nothing_is_said_where_nothing_tells():
    mask = heart()
    assert sure_of_slices(mask) is None
    assert interval_table(mask, None, (0, 1)).empty


def test_the_classifier_tells_before_the_flips():
    mask = heart()
    agreement = pd.DataFrame({"slice": [1], "frame": [0], "structure": ["LV"], "dice": [0.7]})
    assert sure_of_slices(mask, agreement=agreement)[1, 0] == 0.7
    without = pd.DataFrame({"slice": [0], "frame": [0], "structure": ["LV"], "dice": [0.75]})
    assert sure_of_slices(mask, agreement=without)[0, 0] == 0.25  # one flip of four shows an LV there
    probabilities = np.zeros((2, 6, 4))
    probabilities[..., :2] = 0.2, 0.8
    sure = sure_of_slices(mask, agreement=agreement, regions=region_table(probabilities))
    assert (sure == 0.8).all()


@pytest.mark.parametrize(
    ("said", "level", "word"), [((0, 0.8, 0.2, 0), "green", "base"), ((0, 0.1, 0.9, 0), "amber", "middle")]
)
def test_the_classifier_tells_whether_the_base_is_covered(said, level, word):
    mask = heart(((8, 6, 4, 2), (0, 4, 3, 1)))  # the areas alone find nothing
    probabilities = np.zeros((2, 4, 4))
    probabilities[:] = said
    study = TrustInput(mask, mask, 0, 1, regions=region_table(probabilities))
    flag = base_covered(study)
    assert flag.level == level
    assert f"takes slice 0, where the stack ends, for {word}" in flag.reason
    assert (flag.slice, flag.frame) == (0, 0)
