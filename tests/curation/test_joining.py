"""What UIDs tear apart is joined where it is a cine, and left where it is none."""

from dataclasses import replace

import pytest

from cmrseg.curation.joining import has_heart, join_examinations, join_series
from tests.curation.conftest import RULES, make_stack

PLACES = [0.0, 10.0, 20.0, 30.0]


def images(places=PLACES, phases=6, **details):
    """Images of a stack, slice after slice."""
    return [image for s in make_stack(places, phases=phases, **details) for image in s.images]


def per_phase(found, *, renumbered=False):
    """The same with a series for every phase, whose only image is the first of it."""
    return [
        replace(
            image,
            series_uid=f"1.2.{phase}",
            series_number=10 + phase,
            instance=1 if renumbered else image.instance,
        )
        for image, phase in ((image, round(image.trigger_ms / 50)) for image in found)
    ]


def test_a_series_of_several_phases_is_left_alone():
    found = images()
    assert join_series(found, RULES) == (found, 0)


@pytest.mark.parametrize("renumbered", [False, True])
def test_a_series_per_phase_becomes_one_whose_numbers_go_on(renumbered):
    joined, count = join_series(per_phase(images(), renumbered=renumbered), RULES)
    assert count == 6
    assert {(image.series_uid, image.series_number) for image in joined} == {("1.2.0", 10)}
    slices = [joined[n : n + 6] for n in range(0, len(joined), 6)]
    assert all([i.instance for i in s] == sorted({i.instance for i in s}) for s in slices)


def test_single_images_of_other_protocols_are_no_cine():
    found = [
        replace(image, series_uid=f"1.2.{n}", series_number=n, sequence=f"SE/{n}")
        for n, image in enumerate(images())
    ]
    assert join_series(found, RULES) == (found, 0)


def test_too_few_phases_are_no_cine():
    found = per_phase(images(phases=3))
    assert join_series(found, RULES) == (found, 0)


def test_examinations_of_a_slice_each_are_one_heart():
    slices = [images([z]) for z in PLACES]
    assert not any(has_heart(found, RULES) for found in slices)
    assert join_examinations(slices, RULES, is_sure=True) == [[0, 1, 2, 3]]


def test_examinations_with_a_heart_of_their_own_are_never_joined():
    whole = [images(), images([z + 3 for z in PLACES])]
    assert join_examinations(whole, RULES, is_sure=True) == []


def test_slices_of_nobody_that_fit_no_stack_are_not_joined():
    beside = [images(PLACES[:2]), images(PLACES[2:], centre=(30.0, 0.0, 20.0))]
    assert join_examinations(beside, RULES, is_sure=False) == []
