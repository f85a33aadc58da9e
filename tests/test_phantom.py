"""Synthetic studies have the volumes, the anatomy and the images that they promise."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, generate_binary_structure

from cmrseg.labels import Label
from cmrseg.phantom import (
    SCANNERS,
    PhantomSpec,
    half_ellipsoid_volume_ml,
    make_study,
    random_spec,
    true_volumes_ml,
)
from cmrseg.phantom.imaging import acquire

SPEC = PhantomSpec(n_frames=8)
IN_PLANE = generate_binary_structure(2, 1)[:, :, None, None]


@pytest.fixture(scope="module")
def study():
    return make_study(SPEC, SCANNERS["A"], seed=1)


@pytest.fixture(scope="module")
def study_7t():
    return make_study(SPEC, SCANNERS["7T"], seed=1)


def mean_of(study, label, frame=0):
    return study.cine.array[..., frame][study.mask.array[..., frame] == label].mean()


def test_half_of_a_sphere_has_its_closed_form_volume():
    assert half_ellipsoid_volume_ml(30, 30) == pytest.approx(2 / 3 * np.pi * 3**3)


def test_whole_ellipsoid_has_its_closed_form_volume():
    assert half_ellipsoid_volume_ml(20, 80, base_fraction=1) == pytest.approx(4 / 3 * np.pi * 2**2 * 4)


def test_counted_volume_agrees_with_the_closed_form_of_the_ellipsoid():
    thin = replace(
        SPEC, n_frames=2, slice_spacing_mm=2.0, slice_thickness_mm=2.0, n_slices=45, slice_shift_mm=0
    )
    small = replace(SCANNERS["A"], matrix=(64, 64))
    lv = make_study(thin, small, seed=0).mask.array[..., 0] == Label.LV
    voxel_mm2 = math.prod(small.spacing_mm)
    radius_mm = np.sqrt(lv.sum(axis=(0, 1)).max() * voxel_mm2 / np.pi)  # at the equator
    expected = half_ellipsoid_volume_ml(radius_mm, thin.lv_length_mm, thin.base_fraction)
    assert lv.sum() * voxel_mm2 * 2.0 / 1000 == pytest.approx(expected, rel=0.02)


def test_counted_volumes_are_those_of_the_specification(study):
    volumes = true_volumes_ml(study)
    assert volumes["LV"][0] == pytest.approx(SPEC.edv_ml, rel=0.02)
    assert volumes["RV"][0] == pytest.approx(SPEC.rv_edv_ml, rel=0.02)


@pytest.mark.parametrize("ef_percent", [20.0, 45.0, 70.0])
def test_counted_ef_is_that_of_the_specification(ef_percent):
    spec = replace(SPEC, ef_percent=ef_percent, n_frames=4)
    lv = true_volumes_ml(make_study(spec, SCANNERS["A"], seed=2))["LV"]
    assert 100 * (1 - lv.min() / lv.max()) == pytest.approx(ef_percent, abs=2)


def test_both_ventricles_eject_the_same_volume(study):
    volumes = true_volumes_ml(study)
    strokes = [volumes[name][0] - volumes[name][SPEC.es_frame] for name in ("LV", "RV")]
    assert strokes == pytest.approx([SPEC.stroke_volume_ml] * 2, rel=0.04)


def test_ventricle_is_fullest_at_frame_0_and_emptiest_a_third_into_the_cycle(study):
    lv = true_volumes_ml(study)["LV"]
    assert lv.argmax() == 0
    assert lv.argmin() == SPEC.es_frame == round(0.35 * SPEC.n_frames)


def test_myocardium_keeps_its_mass_over_the_cycle(study):
    myocardium = true_volumes_ml(study)["MYO"]
    assert myocardium == pytest.approx(np.full(SPEC.n_frames, myocardium[0]), rel=0.1)


def test_wall_thickens_in_systole(study):
    middle = study.mask.array[:, :, SPEC.n_slices // 2]
    lv, wall = ((middle == label).sum(axis=(0, 1)) for label in (Label.LV, Label.MYO))
    thickness = np.sqrt(lv + wall) - np.sqrt(lv)
    assert thickness[SPEC.es_frame] > 1.2 * thickness[0]


def test_base_descends_so_that_a_basal_slice_loses_the_lv(study):
    slices = (study.mask.array == Label.LV).any(axis=(0, 1)).sum(axis=0)
    assert slices[SPEC.es_frame] < slices[0]


def test_lv_touches_only_myocardium_in_plane(study):
    mask = study.mask.array
    around = binary_dilation(mask == Label.LV, IN_PLANE) & (mask != Label.LV)
    assert set(np.unique(mask[around])) == {Label.MYO}


def test_rv_lies_on_the_septum_and_not_at_the_apex(study):
    mask = study.mask.array
    rv = (mask == Label.RV).any(axis=(0, 1))
    on_septum = (binary_dilation(mask == Label.RV, IN_PLANE) & (mask == Label.MYO)).any(axis=(0, 1))
    assert (on_septum == rv).all()
    assert not rv[-1].any()
    assert (mask[:, :, -1] == Label.MYO).any()


def test_slice_above_the_base_plane_has_no_labels(study):
    assert not study.mask.array[:, :, 0].any()
    assert study.mask.array[:, :, 1, 0].any()


@pytest.mark.parametrize("seed", range(6))
def test_random_subjects_are_plausible_and_inside_the_picture(seed):
    spec = random_spec(np.random.default_rng(seed), n_frames=4)
    mask = make_study(spec, SCANNERS["7T"], seed).mask.array
    assert 80 <= spec.edv_ml <= 260
    assert 20 <= spec.ef_percent <= 70
    assert 6 <= spec.n_slices <= 12
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()


def test_random_subjects_differ():
    rng = np.random.default_rng(0)
    assert random_spec(rng) != random_spec(rng)
    assert random_spec(np.random.default_rng(0)) == random_spec(np.random.default_rng(0))


def test_same_seed_gives_the_same_study_and_another_seed_another():
    spec, small = replace(SPEC, n_frames=2), replace(SCANNERS["7T"], matrix=(64, 64))
    first, again, other = (make_study(spec, small, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(again.cine.array, first.cine.array)
    np.testing.assert_array_equal(again.mask.array, first.mask.array)
    assert not np.array_equal(other.cine.array, first.cine.array)


def test_blood_is_brighter_than_myocardium_and_less_so_at_7t(study, study_7t):
    contrast = [mean_of(s, Label.LV) / mean_of(s, Label.MYO) for s in (study, study_7t)]
    assert contrast[0] > 2
    assert 1.2 < contrast[1] < contrast[0]


def test_scanners_differ_in_pixels_but_not_in_volume(study, study_7t):
    assert study.cine.spacing != study_7t.cine.spacing
    assert study.cine.array.shape != study_7t.cine.array.shape
    assert true_volumes_ml(study_7t)["LV"] == pytest.approx(true_volumes_ml(study)["LV"], rel=0.03)


def test_air_has_the_mean_of_rician_noise():
    scanner, air = SCANNERS["A"], np.zeros((1, 2, 64, 64), np.float32)
    image = acquire(air, np.ones((1, 64, 64), np.float32), scanner, np.random.default_rng(0))
    assert image.mean() == pytest.approx(scanner.gain * scanner.noise * math.sqrt(math.pi / 2), rel=0.03)


def test_noiseless_scanner_has_dark_air_and_intensities_are_never_negative(study):
    quiet = make_study(replace(SPEC, n_frames=2), replace(SCANNERS["A"], noise=0.0), seed=1)
    assert quiet.cine.array.min() < 1e-2 * quiet.cine.array.mean()
    assert study.cine.array.min() >= 0


def test_grid_is_oblique_and_agrees_with_the_spacing(study):
    columns = study.cine.affine[:3, :3]
    assert np.linalg.norm(columns, axis=0) == pytest.approx(study.cine.spacing)
    directions = columns / study.cine.spacing
    assert directions.T @ directions == pytest.approx(np.eye(3), abs=1e-9)
    assert np.abs(directions).max() < 0.95
    np.testing.assert_array_equal(study.cine.affine, study.mask.affine)


def test_frames_fill_one_heart_beat(study):
    times = study.cine.frame_times_ms
    assert times[0] == 0
    assert times[-1] + times[1] == pytest.approx(60_000 / SPEC.heart_rate_bpm)


def test_arrays_have_the_promised_types(study):
    assert study.cine.array.dtype == np.float32
    assert study.mask.array.dtype == np.uint8
    assert study.mask.array.shape == (*SCANNERS["A"].matrix, SPEC.n_slices, SPEC.n_frames)
    assert set(np.unique(study.mask.array)) == set(Label)


@pytest.mark.parametrize(
    ("field", "value", "unit"),
    [
        ("edv_ml", -5.0, "ml"),
        ("ef_percent", 120.0, "%"),
        ("lv_length_mm", 5.0, "mm"),
        ("heart_rate_bpm", 0.0, "beats/min"),
        ("n_frames", 1, "frames"),
        ("rv_edv_ml", 80.0, "ml"),
        ("n_slices", 5, "mm"),
    ],
)
def test_impossible_subject_is_named_with_unit_and_value(field, value, unit):
    with pytest.raises(ValueError, match=rf"{field}.*{unit}.*got {value}"):
        replace(SPEC, **{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("spacing_mm", (0.0, 1.0)), ("matrix", (8, 8)), ("noise", -1.0)]
)
def test_impossible_scanner_is_named_with_its_value(field, value):
    with pytest.raises(ValueError, match=field):
        replace(SCANNERS["A"], **{field: value})


def test_closed_form_refuses_lengths_that_are_not_positive():
    with pytest.raises(ValueError, match="mm"):
        half_ellipsoid_volume_ml(0, 80)
    with pytest.raises(ValueError, match="semi-axis"):
        half_ellipsoid_volume_ml(20, 80, base_fraction=2)
