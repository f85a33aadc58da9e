"""Septum, inferior wall and base of stacks whose orientation is known."""

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.io.images import load_mask
from cmrseg.labels import Label
from cmrseg.metrics.orientation import base_first, orientation
from cmrseg.metrics.wall import trace_walls
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from tests.metrics.hearts import LOST, SHORT_AXIS, ring, stack

# Unit vectors of a Siemens and a GE study; rows are to the right, anterior, superior.
SIEMENS = np.array([[-0.74, -0.34, 0.58], [0.0, -0.86, -0.51], [0.68, -0.37, 0.63]])
GE_TURNED = np.array([[0.10, 0.73, 0.67], [-0.35, 0.66, -0.67], [-0.93, -0.16, 0.32]])


def affine(columns):
    whole = np.eye(4)
    whole[:3, :3] = columns
    return whole


def degrees(angle):
    return np.rad2deg(angle) % 360


def test_without_an_rv_the_affine_tells_where_the_septum_is():
    assert degrees(orientation(SHORT_AXIS).septum_rad) == pytest.approx(180, abs=1)


@pytest.mark.parametrize("columns", [SIEMENS, GE_TURNED])
def test_the_inferior_wall_of_real_studies_points_down_in_the_patient(columns):
    placed = orientation(affine(columns))
    angles = np.deg2rad(np.arange(360))
    found = np.argmin(abs(placed.bearing(angles) - np.pi / 2))
    down = np.array([0, 0, -1]) @ columns[:, :2] @ [np.cos(angles[found]), np.sin(angles[found])]
    assert down > 0.7


def test_the_rv_counts_more_than_the_usual_place_of_the_septum():
    walls = trace_walls(ring(20, 28, rv_deg=120)[None], (1.0, 1.0))
    assert degrees(orientation(SHORT_AXIS, walls.mean_septum).septum_rad) == pytest.approx(120, abs=2)


def test_an_rv_that_hardly_touches_the_wall_does_not_count():
    assert degrees(orientation(SHORT_AXIS, 0.05j, 0.2j).septum_rad) == pytest.approx(90)
    assert degrees(orientation(SHORT_AXIS, 0.05j).septum_rad) == pytest.approx(180, abs=1)


@pytest.mark.parametrize("header", [LOST, affine(np.diag([-1, -1, 1])), affine(np.eye(3)[:, [0, 2, 1]])])
def test_axial_and_coronal_headers_are_not_believed(header):
    placed = orientation(header, 0.3 + 0j)
    assert placed.turn == -1
    assert degrees(placed.septum_rad) == pytest.approx(0)


def test_a_mirrored_stack_turns_the_other_way():
    mirrored = SHORT_AXIS * [-1, 1, 1, 1]
    assert orientation(mirrored).turn == -orientation(SHORT_AXIS).turn
    assert np.cos(orientation(mirrored).septum_rad) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("rotation", [0.0, 25.0])
def test_the_septum_of_a_phantom_is_found(rotation):
    mask = make_study(PhantomSpec(rotation_deg=rotation, n_frames=2), SCANNERS["A"], 1).mask
    middle = mask.array[:, :, mask.array.shape[2] // 2, :1].transpose(2, 0, 1)
    placed = orientation(mask.affine, trace_walls(middle, mask.spacing[:2]).mean_septum)
    assert placed.turn == -1
    assert degrees(placed.septum_rad) == pytest.approx(180 + rotation, abs=4)


def test_the_direction_of_the_slices_follows_from_the_affine():
    study = stack([ring(r, r + 8) for r in (10, 15, 20)])
    assert base_first(study)
    upside_down = Cine(study.array[:, :, ::-1], study.spacing, study.affine * [1, 1, -1, 1])
    assert not base_first(upside_down)


@pytest.mark.parametrize("rv_slices", [0, 2, 5])
def test_without_an_affine_the_base_is_where_the_heart_is_large(rv_slices):
    slices = [
        ring(r, r + 8, rv_deg=180 if z < rv_slices else None) for z, r in enumerate((22, 21, 19, 15, 8))
    ]
    assert base_first(stack(slices, affine=LOST))
    assert not base_first(stack(slices[::-1], affine=LOST))


def test_the_base_of_real_hearts_is_found_without_an_affine(test_data):
    for truth in sorted((test_data / "mnms").glob("*/*_ED_gt.nii.gz")):
        mask = load_mask(truth, "mnms")
        assert base_first(Cine(mask.array, mask.spacing, LOST)) == base_first(mask)


def test_an_empty_mask_runs_from_base_to_apex():
    assert base_first(stack([np.full((8, 8), Label.BACKGROUND, np.uint8)] * 2, affine=LOST))
