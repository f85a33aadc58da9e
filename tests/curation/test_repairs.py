"""The chain of repairs, and the cine with its affine that comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.curation.repairs import REPAIRS, repair, rotated, to_cine
from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import find_slices, load_frames
from cmrseg.io.dicom import read_headers
from cmrseg.phantom.dicom import dicom_datasets, write_datasets
from cmrseg.problems import DataError
from tests.curation.conftest import (
    NAN,
    RULES,
    TIMES_MS,
    assert_unchanged,
    heights,
    kinds_of,
    make_slice,
    make_stack,
    pattern,
    snapshot,
)


@pytest.fixture(scope="module", params=["siemens", "ge", "enhanced"])
def read(request, cine, tmp_path_factory):
    """Slices of the phantom, read from files."""
    folder = tmp_path_factory.mktemp("phantom")
    paths = write_datasets(dicom_datasets(cine, style=request.param), folder, np.random.default_rng(0))
    slices, _ = load_frames(find_slices([image for path in paths for image in read_headers(path)])[0])
    return slices


def test_the_affine_is_that_of_the_phantom(read, cine):
    np.testing.assert_allclose(to_cine(read).affine, cine.affine, atol=1e-3)


def test_every_voxel_is_that_of_the_phantom(read, cine):
    np.testing.assert_array_equal(to_cine(read).array, cine.array)


def test_spacing_and_times_are_those_of_the_phantom(read, cine):
    made = to_cine(read)
    np.testing.assert_allclose(made.spacing, cine.spacing, atol=1e-6)
    np.testing.assert_allclose(made.frame_times_ms, TIMES_MS, atol=1e-6)


def test_the_order_of_slices_does_not_matter(read):
    a, b = to_cine(read), to_cine(read[::-1])
    np.testing.assert_allclose(a.affine, b.affine, atol=1e-9)
    np.testing.assert_array_equal(a.array, b.array)


def test_axes_are_columns_rows_slices_and_time():
    slices = [make_slice(z, frames=pattern((12, 10), 4, offset=100 * z)) for z in (0.0, 10.0, 20.0)]
    made = to_cine(slices)
    assert made.array.shape == (10, 12, 3, 4)
    x, y, z, t = np.ogrid[:10, :12, :3, :4]
    np.testing.assert_array_equal(made.array, 1000 * t + 20 * y + x + 1000 * z)


def test_patient_coordinates_are_right_anterior_superior():
    """LPS: the first pixel of a 3 x 2 image of 2 x 4 mm pixels centred on (0, 0, 5) is at (-2, -2, 5)."""
    slices = [make_slice(z, size=(2, 3), spacing=(2.0, 4.0)) for z in (5.0, 15.0)]
    expected = [[-2, 0, 0, 2], [0, -4, 0, 2], [0, 0, 10, 5], [0, 0, 0, 1]]
    np.testing.assert_allclose(to_cine(slices).affine, expected, atol=1e-9)


def test_an_irregular_slice_does_not_move_the_others():
    slices = make_stack([0.0, 10.0, 22.0, 30.0, 40.0])
    affine = to_cine(slices).affine
    np.testing.assert_allclose(affine[2], [0, 0, 10, 0], atol=1e-9)


def test_rounding_of_corners_is_averaged():
    slices = [make_slice(centre=(dx, 0, 10.0 * n)) for n, dx in enumerate((0.02, -0.01, -0.01))]
    assert to_cine(slices).affine[0, 3] == pytest.approx(4.5, abs=1e-9)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((np.uint16, np.uint16), np.uint16),
        ((np.uint16, np.int16), np.int32),
        ((np.uint16, np.float32), np.float32),
        ((np.int16, np.float32), np.float32),
        ((np.uint8, np.uint16), np.uint16),
    ],
)
def test_slices_of_two_types_keep_their_values(types, expected):
    frames = np.full((4, 12, 10), 200)
    made = to_cine([make_slice(10.0 * n, frames=frames + n, dtype=t) for n, t in enumerate(types)])
    assert made.array.dtype == expected
    assert made.array[0, 0, :, 0].tolist() == [200, 201]


def test_unknown_times_are_none():
    slices = make_stack([0, 10, 20], times_ms=[NAN] * 4)
    assert to_cine(slices).frame_times_ms == ()


def test_one_slice_with_unknown_times_makes_all_unknown():
    slices = [*make_stack([0, 10]), make_slice(20, times_ms=[NAN] * 4)]
    assert to_cine(slices).frame_times_ms in ((), (0.0, 50.0, 100.0, 150.0))


def test_times_are_medians_over_the_slices():
    slices = [make_slice(10.0 * n, times_ms=np.arange(4) * step) for n, step in enumerate((50, 52, 90))]
    assert to_cine(slices).frame_times_ms == (0, 52, 104, 156)


def test_times_are_plain_numbers():
    assert {type(t) for t in to_cine(make_stack([0, 10])).frame_times_ms} == {float}
    assert {type(v) for v in to_cine(make_stack([0, 10])).spacing} == {float}


@pytest.fixture
def landscape(cine):
    return Cine(cine.array, cine.spacing, cine.affine, cine.frame_times_ms)  # 40 columns, 36 rows


def test_rotation_makes_columns_rows(landscape):
    turned = rotated(landscape)
    assert turned.array.shape == (36, 40, *landscape.array.shape[2:])
    assert turned.spacing == (landscape.spacing[1], landscape.spacing[0], landscape.spacing[2])
    assert turned.frame_times_ms == landscape.frame_times_ms


def test_rotation_keeps_the_patient_coordinates_of_every_voxel(landscape):
    turned = rotated(landscape)
    index = np.indices(turned.array.shape[:3]).reshape(3, -1)
    where = turned.affine[:3, :3] @ index + turned.affine[:3, 3:]
    back = np.linalg.inv(landscape.affine)
    source = back[:3, :3] @ where + back[:3, 3:]
    np.testing.assert_allclose(source, np.rint(source), atol=1e-6)
    x, y, z = np.rint(source).astype(int)
    np.testing.assert_array_equal(turned.array[tuple(index)], landscape.array[x, y, z])


def test_rotation_is_no_reflection(landscape):
    assert np.linalg.det(rotated(landscape).affine) == pytest.approx(np.linalg.det(landscape.affine))


def test_spacing_of_the_rotated_affine_is_that_of_its_header(landscape):
    turned = rotated(landscape)
    np.testing.assert_allclose(np.linalg.norm(turned.affine[:3, :3], axis=0), turned.spacing, rtol=1e-9)


def test_a_clean_stack_is_left_alone():
    done = repair(make_stack([0, 10, 20]), RULES)
    assert heights(done.slices) == [0, 10, 20]
    assert done.problems == []
    assert done.pictures == []


def test_slices_come_out_in_the_order_along_the_normal():
    assert heights(repair(make_stack([20, 0, 10]), RULES).slices) == [0, 10, 20]


def test_repairs_work_together_in_one_stack():
    slices = make_stack([0, 10, 20, 40, 50, 60])
    slices += [
        make_slice(64, series=2),
        make_slice(70),
        make_slice(20.2, series=3),
        make_slice(200, series=4),
    ]
    slices[1] = make_slice(10, frames=pattern(phases=3), times_ms=[0, 50, 100])
    slices[4] = make_slice(50, size=(14, 10))
    done = repair(slices, RULES)
    np.testing.assert_allclose([s.centre[2] for s in done.slices], 10 * np.arange(8), atol=0.3)
    assert set(kinds_of(done.problems)) == {
        "collision",
        "slice spacing: outlier",
        "image size",
        "missing frame",
        "slice spacing: missing",
        "slice spacing: interspersed",
    }
    assert {(s.size, len(s.frames), len(s.images)) for s in done.slices} == {((12, 10), 4, 4)}


def test_a_slice_removed_for_its_frames_leaves_a_gap_that_is_filled():
    slices = [*make_stack([0, 10, 30, 40], phases=8), make_slice(20, phases=2)]
    done = repair(slices, RULES)
    assert heights(done.slices) == [0, 10, 20, 30, 40]
    assert kinds_of(done.problems) == ["missing frame", "slice spacing: missing"]


def test_no_problem_is_told_twice():
    done = repair(make_stack([0, 10, 20, 34.9, 44.9, 54.9]), RULES)
    assert kinds_of(done.problems) == ["slice spacing: special"]


@pytest.mark.parametrize(("count", "fails"), [(2, True), (3, False)])
def test_less_than_three_slices_have_failed(count, fails):
    slices = make_stack([10.0 * n for n in range(count)])
    if fails:
        with pytest.raises(DataError, match=r"2 usable slice\(s\) are left; at least 3 are needed"):
            repair(slices, RULES)
    else:
        assert len(repair(slices, RULES).slices) == 3


def test_nothing_at_all_has_failed():
    with pytest.raises(DataError, match="0 usable"):
        repair([], RULES)


def test_a_stack_that_loses_its_slices_on_the_way_has_failed():
    slices = [make_slice(0, series=1), make_slice(0.1, series=2), *make_stack([10])]
    with pytest.raises(DataError, match="2 usable"):
        repair(slices, RULES)


def test_the_least_number_of_slices_is_a_rule():
    assert len(repair(make_stack([0, 10]), Rules(min_slices=2)).slices) == 2


@pytest.mark.parametrize("step", dict.fromkeys(REPAIRS), ids=lambda step: step.__name__)
def test_every_repair_leaves_its_input_as_it_is(step):
    slices = make_stack([0, 10, 20, 24, 30, 50, 60], phases=6)
    slices += [make_slice(60.2, series=2, phases=6), make_slice(70, size=(300, 14), phases=5)]
    before, order = snapshot(slices), list(slices)
    step(slices, RULES)
    assert all(a is b for a, b in zip(slices, order, strict=True))
    assert_unchanged(slices, before)


@pytest.mark.parametrize("step", dict.fromkeys(REPAIRS), ids=lambda step: step.__name__)
def test_every_repair_leaves_a_clean_stack_alone(step):
    slices = make_stack([0, 10, 20, 30])
    left, problems = step(slices, RULES)
    assert left == slices
    assert problems == []


@pytest.mark.parametrize("step", dict.fromkeys(REPAIRS), ids=lambda step: step.__name__)
def test_every_repair_works_on_frames_that_cannot_be_written(step):
    """What pixels are read into is not writable."""
    slices = [*make_stack([0, 10, 20, 24, 30, 50, 60], phases=6), make_slice(70, size=(300, 14), phases=5)]
    for s in slices:
        s.frames.setflags(write=False)
    step([replace(s) for s in slices], RULES)
