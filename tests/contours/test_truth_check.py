"""Displaced contours and masks are noticed, and everything that hearts can look like is not."""

import math

import nibabel as nib
import numpy as np
import pytest

from cmrseg.contours.truth_check import check_truth, nesting, truth_problems
from cmrseg.data.catalog import read_catalog
from cmrseg.labels import Label
from cmrseg.metrics.contrast import blood_contrast

ANGLES = np.linspace(0, 2 * np.pi, 360, endpoint=False)
SIZE = 60
X, Y = np.ogrid[:SIZE, :SIZE]


def circle(radius, x=30.0, y=30.0):
    return np.stack([x + radius * np.cos(ANGLES), y + radius * np.sin(ANGLES)], axis=1)


def disk(radius, x=30.0, y=30.0):
    return np.hypot(X - x, Y - y) < radius


def heart(shift=0.0, slices=3):
    """Three rings whose epicardium is displaced against the endocardium."""
    image = np.where(disk(10), Label.LV, np.where(disk(14, 30 + shift), Label.MYO, 0))
    return np.repeat(image[..., None], slices, axis=2).astype(np.uint8)


def grey(mask):
    """Bright blood and dark muscle with some noise."""
    bright = np.choose(mask, (60.0, 200.0, 80.0, 200.0))
    return bright + np.random.default_rng(0).normal(scale=20, size=mask.shape)


def lens(radius, other, distance):
    """Area that two circles share, as Wolfram MathWorld gives it."""
    d, r, s = distance, radius, other
    corner = (-d + r + s) * (d + r - s) * (d - r + s) * (d + r + s)
    return (
        r**2 * math.acos((d**2 + r**2 - s**2) / (2 * d * r))
        + s**2 * math.acos((d**2 + s**2 - r**2) / (2 * d * s))
        - math.sqrt(corner) / 2
    )


def test_displaced_circles_have_their_closed_form():
    found = nesting(circle(20), circle(26, x=42))
    assert found.outside == pytest.approx(1 - lens(20, 26, 12) / (math.pi * 20**2), abs=0.005)
    assert found.centre_distance == pytest.approx(12 / 26, rel=0.01)
    assert found.wall_px == pytest.approx(6, rel=0.01)
    assert not found.is_sound


@pytest.mark.parametrize(
    ("endocardium", "epicardium"),
    [
        (circle(20), circle(26)),
        (circle(20), circle(26, x=34)),  # a wall of 2 to 10 pixels
        (circle(2, x=36), circle(12)),  # the cavity of an apex at end-systole
        (np.maximum(circle(20), 15), np.maximum(circle(26), 15)),  # both end at the outflow tract
    ],
)
def test_contours_of_one_heart_are_sound(endocardium, epicardium):
    assert nesting(endocardium, epicardium).is_sound


@pytest.mark.parametrize(
    ("endocardium", "epicardium"),
    [
        (circle(20), circle(26, y=44)),
        (circle(26), circle(20)),  # the wrong way round
        (circle(20), circle(20)),  # one contour under two names
        (circle(5), circle(8, x=60)),
    ],
)
def test_contours_that_are_not_of_one_heart_are_not(endocardium, epicardium):
    assert not nesting(endocardium, epicardium).is_sound


def test_a_sound_mask_has_no_problem():
    assert truth_problems(heart(), grey(heart())) == []


def test_an_lv_beside_its_muscle_is_a_problem_that_names_the_slices():
    mask = heart(slices=4)
    mask[..., 2] = heart(shift=14)[..., 0]
    (problem,) = truth_problems(mask, subject="p1", name="p1.nii.gz", slices=(4, 5, 6, 7))
    assert (problem.study, problem.image, problem.problem) == ("p1", "p1.nii.gz", "truth displaced")
    assert "by slice: 6 (" in problem.extra_info


def test_an_open_ring_is_none():
    mask = heart()
    mask[(mask == Label.MYO) & ((X > 30) & (abs(Y - 30) < 7))[..., None]] = 0
    assert truth_problems(mask, grey(mask)) == []


@pytest.mark.parametrize(("z", "problems"), [(0, 0), (1, 1), (3, 0)])
def test_half_a_ring_is_only_right_at_the_ends_of_the_stack(z, problems):
    mask = heart(slices=4)
    mask[..., z][(mask[..., z] == Label.MYO) & (X > 30)] = 0
    assert len(truth_problems(mask)) == problems


@pytest.mark.parametrize("missing", [Label.LV, Label.MYO])
def test_a_slice_without_cavity_or_without_muscle_is_none(missing):
    mask = heart()
    mask[..., 0][mask[..., 0] == missing] = 0
    assert truth_problems(mask, grey(heart())) == []


def test_a_mask_beside_the_heart_of_the_image_is_a_problem():
    (problem,) = truth_problems(np.roll(heart(), 12, axis=0), grey(heart()))
    assert "displaced against the image" in problem.extra_info


def test_dark_blood_is_none():
    assert truth_problems(heart(), -grey(heart())) == []


def test_an_image_without_any_contrast_tells_nothing():
    assert np.isnan(blood_contrast(heart(), np.ones(heart().shape)))
    assert truth_problems(heart(), np.ones(heart().shape)) == []


def test_the_contrast_is_that_of_the_areas_under_the_curve():
    mask = np.repeat([[[Label.LV], [Label.MYO]]], 40, axis=0).astype(np.uint8)  # 40 pixels of each
    image = np.concatenate([np.r_[np.full(30, 2.0), np.zeros(10)], np.ones(40)]).reshape(2, 40, 1)
    assert blood_contrast(mask, image.transpose(1, 0, 2)) == pytest.approx(2 * 0.75 - 1)


def test_a_data_set_is_checked_volume_by_volume(tmp_path):
    for subject, shift in (("a", 0), ("b", 14)):
        for name, array in (("sa", grey(heart())), ("truth", heart(shift))):
            path = tmp_path / subject / f"{name}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.diag([2.0, 2, 8, 1])), path)
    problems = check_truth(read_catalog(tmp_path).volumes())
    assert [(p.study, p.image) for p in problems] == [("b", "sa.nii.gz")]


@pytest.mark.slow  # reads a whole data set
@pytest.mark.parametrize("name", ["acdc", "mnms", "mnms_vendorB", "sunnybrook_png"])
def test_of_the_truth_of_real_data_only_the_displaced_masks_are_noticed(name, test_data):
    problems = check_truth(read_catalog(test_data / name).with_masks().volumes())
    assert [p.study for p in problems] == (["SC-N-06"] if name == "sunnybrook_png" else [])
