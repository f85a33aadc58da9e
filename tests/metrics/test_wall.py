"""Wall thickness where it is known: circles in closed form, ellipses on finely drawn borders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmrseg.labels import Label
from cmrseg.metrics.wall import ANGLES, N_RAYS, sector_means, trace_walls
from tests.metrics.hearts import ring

SPACINGS = [(1.0, 1.0), (1.4, 1.4), (0.9, 1.6)]
millimetres = st.floats(-4, 4)


def sectors(mask, spacing=(1.0, 1.0)):
    walls = trace_walls(mask[None], spacing)
    return sector_means(walls.thickness_mm, ANGLES[None], 6)[0]


def ellipse(radii, points=4000):
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return radii[0] * np.cos(angle) + 1j * radii[1] * np.sin(angle)


def drawn_thickness(endo, epi):
    """Mean thickness of every sector between two finely drawn borders around 0."""
    sums, counts = np.zeros(6), np.zeros(6)
    for points, border in ((endo, epi), (epi, endo)):
        on_rays = np.interp(ANGLES, *sorted_by_angle(points), period=2 * np.pi) * np.exp(1j * ANGLES)
        nearest = abs(on_rays[:, None] - border).min(axis=1)
        np.add.at(sums, np.arange(N_RAYS) * 6 // N_RAYS, nearest)
        np.add.at(counts, np.arange(N_RAYS) * 6 // N_RAYS, 1)
    return sums / counts


def sorted_by_angle(points):
    angle = np.angle(points) % (2 * np.pi)
    order = np.argsort(angle)
    return angle[order], abs(points)[order]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("endo", "epi"), [(24, 32), (10, 20), (30, 36)])
def test_concentric_circles_have_the_difference_of_their_radii(endo, epi, spacing):
    found = sectors(ring(endo, epi, spacing=spacing, centre=(0.37, -0.21)), spacing)
    assert found.mean() == pytest.approx(epi - endo, abs=0.1 * max(spacing))
    assert found == pytest.approx(np.full(6, epi - endo), abs=0.35 * max(spacing))


@settings(max_examples=25, deadline=None)
@given(millimetres, millimetres, st.floats(8, 28), st.floats(4, 12))
def test_a_ring_is_as_thick_as_the_areas_of_its_circles_say(x, y, endo, thickness):
    mask = ring(endo, endo + thickness, centre=(x, y))
    inner, outer = (np.sqrt(np.count_nonzero(pixels) / np.pi) for pixels in (mask == Label.LV, mask))
    found = sectors(mask)
    assert found.mean() == pytest.approx(outer - inner, abs=0.2)  # of a pixel
    assert found == pytest.approx(np.full(6, thickness), abs=0.5)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("endo", "epi"),
    [
        ((26, 20), (35.1, 27)),  # similar
        ((26, 20), (np.sqrt(27**2 + 26**2 - 20**2), 27)),  # confocal
    ],
)
def test_ellipses_have_the_thickness_of_their_drawn_borders(endo, epi, turned):
    if turned:
        endo, epi = endo[::-1], epi[::-1]
    assert sectors(ring(endo, epi)) == pytest.approx(drawn_thickness(ellipse(endo), ellipse(epi)), abs=0.3)


def test_a_displaced_cavity_has_a_thin_and_a_thick_side():
    mask = ring(20, 30, centre=(4, 0), epi_centre=(0, 0))
    endo = 4 + 20 * np.exp(1j * ANGLES)  # rays start in the middle of the cavity
    outward = 30 - abs(endo)
    inward = -4 * np.cos(ANGLES) + np.sqrt(30**2 - 16 * np.sin(ANGLES) ** 2) - 20
    expected = ((outward + inward) / 2).reshape(6, -1).mean(axis=1)
    assert sectors(mask) == pytest.approx(expected, abs=0.3)


def test_lengths_scale_with_the_pixels():
    mask = ring(20, 29, centre=(1.3, -0.4))
    assert sectors(mask, (2.5, 2.5)) == pytest.approx(2.5 * sectors(mask, (1.0, 1.0)))


def test_a_quarter_turn_of_the_mask_turns_the_thickness():
    mask = ring((24, 19), (31, 29), centre=(2, 1))
    turned = trace_walls(np.rot90(mask)[None], (1.0, 1.0)).thickness_mm[0]
    as_it_was = trace_walls(mask[None], (1.0, 1.0)).thickness_mm[0]
    assert np.roll(turned, N_RAYS // 4) == pytest.approx(as_it_was, abs=0.2)


def test_the_borders_are_found_below_the_size_of_a_pixel():
    walls = trace_walls(ring(20.3, 30.6, centre=(0.3, 0.2))[None], (1.0, 1.0))
    assert walls.endo_mm.mean() == pytest.approx(20.3, abs=0.05)
    assert walls.epi_mm.mean() == pytest.approx(30.6, abs=0.05)
    assert walls.endo_mm.std() < 0.2


def test_a_papillary_muscle_in_the_cavity_is_no_wall():
    mask = ring(20, 30)
    mask[55:60, 46:51] = Label.MYO
    assert sectors(mask) == pytest.approx(np.full(6, 10), abs=0.4)


def test_a_hole_in_the_wall_does_not_thin_it():
    mask = ring(20, 30)
    mask[47:49, 71:73] = Label.BACKGROUND
    assert sectors(mask) == pytest.approx(np.full(6, 10), abs=0.35)


def test_a_sector_without_wall_has_no_thickness_and_its_neighbours_keep_theirs():
    mask = ring(20, 30)
    x, y = np.indices(mask.shape) - 47.5
    angle = np.rad2deg(np.arctan2(y, x)) % 360
    mask[(mask == Label.MYO) & (angle > 60) & (angle < 120)] = Label.BACKGROUND
    found = sectors(mask)
    assert np.isnan(found[1])
    assert np.delete(found, 1) == pytest.approx(np.full(5, 10), abs=0.4)


def test_half_a_sector_of_wall_is_enough():
    mask = ring(20, 30)
    x, y = np.indices(mask.shape) - 47.5
    angle = np.rad2deg(np.arctan2(y, x)) % 360
    mask[(mask == Label.MYO) & (angle > 100) & (angle < 118)] = Label.BACKGROUND
    assert sectors(mask) == pytest.approx(np.full(6, 10), abs=0.4)


def test_a_stray_island_changes_nothing():
    mask = ring(20, 30)
    stray = mask.copy()
    stray[2:6, 40:60] = Label.MYO
    assert sectors(stray) == pytest.approx(sectors(mask))


def test_an_empty_slice_and_one_without_cavity_have_no_lengths():
    only_wall = ring(20, 30)
    only_wall[only_wall == Label.LV] = Label.MYO
    walls = trace_walls(np.stack([np.zeros_like(only_wall), only_wall]), (1.0, 1.0))
    assert np.isnan(walls.thickness_mm).all()
    assert np.isnan(walls.endo_mm).all()
    assert not walls.septum.any()


def test_a_cavity_without_wall_has_a_border_and_no_thickness():
    mask = ring(20, 30)
    mask[mask == Label.MYO] = Label.BACKGROUND
    walls = trace_walls(mask[None], (1.0, 1.0))
    assert walls.endo_mm == pytest.approx(np.full((1, N_RAYS), 20), abs=0.5)
    assert np.isnan(walls.thickness_mm).all()


@pytest.mark.parametrize("direction", [-150, 0, 37, 180])
def test_the_septum_is_where_the_rv_lies_against_the_wall(direction):
    walls = trace_walls(ring(20, 28, rv_deg=direction)[None], (1.0, 1.0))
    off = np.angle(walls.mean_septum * np.exp(-1j * np.deg2rad(direction)), deg=True)
    assert off == pytest.approx(0, abs=2)


def test_a_spacing_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="spacing must be positive"):
        trace_walls(ring(20, 30)[None], (0.0, 1.0))
