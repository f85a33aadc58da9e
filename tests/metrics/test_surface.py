"""Surface distances between boxes, where they are known in closed form."""

import numpy as np
import pytest

from cmrseg.metrics.surface import surface_distances

SPACING = (1.5, 2.0, 10.0)


def box(x=slice(5, 15), y=slice(5, 15), z=slice(1, 4), shape=(24, 24, 6)):
    mask = np.zeros(shape, bool)
    mask[x, y, z] = True
    return mask


def test_equal_masks_are_at_distance_zero():
    assert surface_distances(box(), box(), SPACING) == (0, 0, 0)


@pytest.mark.parametrize(
    ("moved", "distance"),
    [({"x": slice(7, 17)}, 3.0), ({"y": slice(6, 16)}, 2.0), ({"z": slice(2, 5)}, 10.0)],
)
def test_a_shift_is_measured_in_mm_along_every_axis(moved, distance):
    assert surface_distances(box(**moved), box(), SPACING).hd == pytest.approx(distance)


def test_hausdorff_is_symmetric():
    bigger = box(x=slice(3, 18))
    assert surface_distances(bigger, box(), SPACING) == surface_distances(box(), bigger, SPACING)


def test_hd95_ignores_a_single_stray_voxel_and_hd_does_not():
    stray = box()
    stray[23, 10, 2] = True
    hd, hd95, assd = surface_distances(stray, box(), SPACING)
    assert hd == pytest.approx(9 * 1.5)
    assert hd95 == 0
    assert 0 < assd < 0.1


def test_average_distance_of_two_parallel_lines_is_their_gap():
    pred, truth = box(x=slice(5, 6), z=slice(0, 1)), box(x=slice(9, 10), z=slice(0, 1))
    assert surface_distances(pred, truth, SPACING) == pytest.approx((6.0, 6.0, 6.0))


def test_a_single_slice_is_compared_by_its_outline_without_dz():
    pred, truth = (box(x=slice(a, 15), z=slice(0, 1), shape=(24, 24, 1)) for a in (5, 6))
    hd, hd95, assd = surface_distances(pred, truth, (1.0, 1.0, float("nan")))
    assert (hd, hd95) == (1, 1)
    # 36 and 34 outline pixels, of which the 10 of the moved edge are off by 1 in either direction;
    # the corner columns they leave behind or gain touch the other outline.
    assert assd == pytest.approx((10 + 8) / (36 + 34))


def test_absent_from_both_is_zero():
    empty = np.zeros((4, 4, 2), bool)
    assert surface_distances(empty, empty, SPACING) == (0, 0, 0)


def test_absent_from_one_is_nan():
    empty = np.zeros_like(box())
    assert np.isnan(surface_distances(empty, box(), SPACING)).all()
    assert np.isnan(surface_distances(box(), empty, SPACING)).all()


def test_unknown_spacing_is_nan():
    assert np.isnan(surface_distances(box(), box(), (np.nan,) * 3)).all()


def test_a_spacing_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"spacing must be positive \(mm\)"):
        surface_distances(box(), box(), (1.0, 1.0, 0.0))


@pytest.mark.slow  # imports torch and MONAI
def test_distances_are_those_of_monai():
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    pred, truth = box(), box(x=slice(8, 17), y=slice(3, 14), z=slice(2, 6))
    a, b = (torch.from_numpy(m)[None, None].float() for m in (pred, truth))
    options = {"include_background": True, "spacing": [SPACING]}
    hd = metrics.compute_hausdorff_distance(a, b, **options)
    hd95 = metrics.compute_hausdorff_distance(a, b, percentile=95, **options)
    assd = metrics.compute_average_surface_distance(a, b, symmetric=True, **options)
    expected = [float(value) for value in (hd, hd95, assd)]
    assert surface_distances(pred, truth, SPACING) == pytest.approx(expected, rel=1e-5)
