"""The 11 indices on rings and ellipses whose sizes are known."""

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.labels import Label
from cmrseg.metrics.indices import (
    DIMENSIONS,
    INDEX_COLUMNS,
    INDICES,
    THICKNESSES,
    cardiac_phases,
    lv_indices,
    slice_indices,
)
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from tests.metrics.hearts import LOST, ring, stack

OFF_GRID = (0.37, -0.21)
NAMES = list(INDICES)


def values(found, names):
    return np.array([found[name] for name in names])


def study_of(mask, **options):
    return stack([mask] * 3, **options)


def indices_of(study):
    return lv_indices(study, ed_frame=0, es_frame=0)[NAMES].to_numpy(float)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.4, 1.4), (0.9, 1.6)])
def test_a_ring_has_its_areas_diameters_and_thickness(spacing):
    mask = ring(22, 31, spacing=spacing, centre=OFF_GRID, rv_deg=180)
    found = slice_indices(mask, spacing)
    assert found["cavity_area_mm2"] == pytest.approx(np.pi * 22**2, rel=0.01)
    assert found["myocardium_area_mm2"] == pytest.approx(np.pi * (31**2 - 22**2), rel=0.02)
    assert values(found, DIMENSIONS) == pytest.approx(np.full(3, 44), abs=0.5 * max(spacing))
    assert values(found, THICKNESSES) == pytest.approx(np.full(6, 9), abs=0.35 * max(spacing))


def test_the_dimensions_of_an_ellipse_are_its_diameters_along_the_sectors():
    # The septum is on the left: IS-AL runs at 150 degrees (from +x to +y), I-A at 90, IL-AS at 30.
    found = slice_indices(ring((28, 20), (36, 28), centre=OFF_GRID, rv_deg=180), (1.0, 1.0))
    angle = np.deg2rad([150, 90, 30])
    diameters = 2 / np.sqrt((np.cos(angle) / 28) ** 2 + (np.sin(angle) / 20) ** 2)
    assert values(found, DIMENSIONS) == pytest.approx(diameters, abs=0.5)


def test_sectors_run_from_the_septum_by_the_inferior_wall():
    # Seen from the apex with the septum on the left: up is anterior, down (+y) inferior, right lateral.
    for region, angle in (("IS", 150), ("I", 90), ("IL", 30), ("AL", -30), ("A", -90), ("AS", -150)):
        towards = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
        mask = ring(20, 30, centre=tuple(4 * towards), epi_centre=(0, 0), rv_deg=180)
        found = slice_indices(mask, (1.0, 1.0))
        thinnest = min(THICKNESSES, key=found.get)
        assert THICKNESSES[thinnest] == region


@pytest.mark.parametrize("lost", [False, True])
def test_a_quarter_turn_of_mask_and_affine_changes_no_index(lost):
    study = study_of(ring((26, 20), (33, 30), centre=(1, 2), epi_centre=(0, 0), rv_deg=200))
    quarter = np.array([[0, -1, 0, 95], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # rot90 of the indices
    turned = Cine(np.rot90(study.array, axes=(1, 0)), study.spacing, study.affine @ quarter)
    if lost:
        study, turned = (Cine(each.array, each.spacing, LOST) for each in (study, turned))
    assert indices_of(turned) == pytest.approx(indices_of(study), abs=0.3)


def test_mirroring_mask_and_affine_changes_no_index():
    study = study_of(ring((26, 20), (33, 30), centre=(1, 2), epi_centre=(0, 0), rv_deg=200))
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = 95
    mirrored = Cine(study.array[::-1], study.spacing, study.affine @ mirror)
    assert indices_of(mirrored) == pytest.approx(indices_of(study), abs=0.3)


def test_larger_pixels_scale_lengths_and_areas():
    mask = ring((24, 20), (32, 30), centre=OFF_GRID, rv_deg=170)
    one, double = (values(slice_indices(mask, (side, side)), INDICES) for side in (1.0, 2.0))
    assert double == pytest.approx(one * [4, 4, *[2] * 9])


def test_without_an_rv_the_affine_places_the_sectors():
    mask = ring(20, 30, centre=(0, 4), epi_centre=(0, 0))  # down is inferior on this affine
    found = lv_indices(study_of(mask), ed_frame=0, es_frame=0)
    assert found[list(THICKNESSES)].iloc[0].idxmin() == "rwt2_mm"


def test_without_an_lv_nothing_is_measured():
    found = slice_indices(np.where(ring(20, 30) == Label.LV, 0, ring(20, 30)).astype(np.uint8), (1.0, 1.0))
    assert np.isnan(values(found, INDICES)).all()


def test_an_unknown_pixel_size_leaves_no_number():
    assert np.isnan(values(slice_indices(ring(20, 30), (np.nan, np.nan)), INDICES)).all()
    table = lv_indices(study_of(ring(20, 30), spacing=(np.nan, np.nan, 8.0)), ed_frame=0, es_frame=0)
    assert len(table) == 1
    assert table[NAMES].isna().to_numpy().all()


def test_a_pixel_size_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="positive"):
        slice_indices(ring(20, 30), (-1.0, 1.0))


def test_the_middle_third_of_the_closed_rings_is_measured():
    basal = ring(20, 30)
    basal[:40][basal[:40] == Label.MYO] = Label.BACKGROUND  # the outflow tract has no wall
    empty = np.zeros_like(basal)
    table = lv_indices(stack([empty, basal, *[ring(20, 30)] * 6, empty]), ed_frame=0, es_frame=0)
    assert list(table["slice"]) == [4, 5]


def test_every_frame_of_a_slice_has_a_row():
    large, small = [ring(24, 31)] * 3, [ring(16, 27)] * 3
    table = lv_indices(stack(None, frames=[large, small, large]), ed_frame=0, es_frame=1)
    assert list(table.columns) == list(INDEX_COLUMNS)
    assert list(table["frame"]) == [0, 1, 2]
    assert list(table["phase"]) == ["diastole", "systole", "diastole"]
    assert list(table["dim2_mm"].round()) == [48, 32, 48]


def test_a_frame_without_lv_is_a_row_of_nan():
    heart = [ring(20, 30)] * 3
    table = lv_indices(stack(None, frames=[heart, [np.zeros_like(heart[0])] * 3]), ed_frame=0, es_frame=1)
    assert table[NAMES].notna().all(axis=1).tolist() == [True, False]
    assert table.loc[1, NAMES].isna().all()


def test_an_empty_mask_gives_an_empty_table():
    table = lv_indices(study_of(np.zeros((32, 32), np.uint8)), ed_frame=0, es_frame=0)
    assert table.empty
    assert list(table.columns) == list(INDEX_COLUMNS)


def test_systole_may_cross_the_end_of_the_recording():
    found = cardiac_phases(5, ed_frame=4, es_frame=1)
    assert found == ["systole", "systole", "diastole", "diastole", "diastole"]


@pytest.mark.parametrize(("ed", "es", "name"), [(5, 0, "ed_frame"), (0, -1, "es_frame")])
def test_a_frame_outside_the_cycle_is_refused(ed, es, name):
    with pytest.raises(ValueError, match=name):
        cardiac_phases(5, ed_frame=ed, es_frame=es)


def test_a_phantom_has_the_wall_it_was_made_with():
    spec = PhantomSpec(wall_thickness_mm=9.0, wall_variation=0.0, ellipticity=0.0, n_frames=2, tilt_deg=0.0)
    mask = make_study(spec, SCANNERS["A"], 3).mask
    table = lv_indices(mask, ed_frame=0, es_frame=1)
    at_ed = table.loc[table["frame"] == 0, list(THICKNESSES)].to_numpy()
    assert at_ed == pytest.approx(np.full(at_ed.shape, 9.0), rel=0.08)
    cavity = table.loc[table["frame"] == 0, "cavity_area_mm2"].to_numpy()
    diameters = table.loc[table["frame"] == 0, list(DIMENSIONS)].to_numpy()
    assert diameters == pytest.approx(np.repeat(2 * np.sqrt(cavity / np.pi)[:, None], 3, axis=1), rel=0.03)
