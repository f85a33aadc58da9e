"""What a reader contoured follows from what any slice of a stack shows."""

import numpy as np
import pytest

from cmrseg.labels import Label
from cmrseg.metrics.contoured import contoured_structures

LV, MYO, RV = Label.LV, Label.MYO, Label.RV


def stack(*slices):
    """Which labels the slices hold, background always."""
    shown = np.zeros((len(slices), len(Label)), bool)
    shown[:, 0] = True
    for z, structures in enumerate(slices):
        shown[z, list(structures)] = True
    return shown


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ([(LV,), (LV,), (LV,)], (LV,)),
        ([(LV, MYO), (LV, MYO), (LV, MYO, RV)], (LV, MYO, RV)),
        ([(), (LV, MYO), (LV, MYO), (MYO,)], (LV, MYO)),
        ([(MYO,), (MYO,), (MYO,)], (LV, MYO)),  # a cavity that is empty at end-systole
        ([(RV,), (RV,), (RV,)], (RV,)),
    ],
)
def test_a_structure_that_no_slice_of_a_stack_shows_was_not_contoured(slices, expected):
    assert contoured_structures(stack(*slices), (LV, MYO, RV)) == expected


def test_few_slices_tell_nothing_of_their_own():
    assert contoured_structures(stack((LV,), (LV,), ()), (LV, RV)) == (LV, RV)
    assert contoured_structures(stack((LV,), (LV,), ())) == ()
