"""From single images to one acquisition per series and position."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cmrseg.curation.private_files import numbered
from cmrseg.curation.slices import angle_deg, find_slices, largest_mode, load_frames, mean_normal
from cmrseg.io.dicom import read_headers
from cmrseg.phantom.dicom import dicom_datasets, write_datasets
from tests.curation.conftest import IMAGE, NAN, kinds_of, make_slice, make_stack


def images(positions=(0.0, 10.0, 20.0), phases=4, **header):
    """Headers of a series, every one in a file of its own."""
    series = header.get("series_number", 1)
    return [
        replace(
            IMAGE,
            **{
                "path": Path(f"{series}_{n}_{t}"),
                "name": f"{series}_{n}_{t}",
                "instance_uid": f"{series}.{n}.{t}",
                "series_uid": f"series {series}",
                "instance": n * phases + t + 1,
                "position": (0.0, 0.0, z),
                "trigger_ms": 50.0 * t,
                **header,
            },
        )
        for n, z in enumerate(positions)
        for t in range(phases)
    ]


def shuffled(values, seed=0):
    return [values[n] for n in np.random.default_rng(seed).permutation(len(values))]


def names(slices):
    return [[image.name for image in s.images] for s in slices]


def test_images_in_any_order_become_slices_in_the_order_of_time():
    expected = [[f"1_{n}_{t}" for t in range(4)] for n in range(3)]
    for seed in range(3):
        slices, problems = find_slices(shuffled(images(), seed))
        assert names(slices) == expected
        assert problems == []


def test_positions_and_directions_are_those_of_the_header():
    slices, _ = find_slices(images(spacing=(1.5, 2.0)))
    assert [s.corner.tolist() for s in slices] == [[0, 0, 0], [0, 0, 10], [0, 0, 20]]
    assert slices[0].row.tolist() == [1, 0, 0]
    assert slices[0].column.tolist() == [0, 1, 0]
    assert slices[0].normal.tolist() == [0, 0, 1]
    assert slices[0].spacing == (1.5, 2.0)
    assert slices[0].size == (12, 10)
    assert slices[0].centre.tolist() == [4.5 * 1.5, 5.5 * 2, 0]
    assert slices[0].times_ms.tolist() == [0, 50, 100, 150]


def test_copies_of_a_file_count_once():
    copies = [replace(image, path=Path(f"copy_{n}"), name=f"copy/{n}") for n, image in enumerate(images())]
    slices, _ = find_slices(images() + copies)
    assert [len(s.images) for s in slices] == [4, 4, 4]
    assert names(slices)[0][0] == "1_0_0"


def test_files_without_a_uid_are_no_copies_of_each_other():
    slices, _ = find_slices(images(instance_uid=""))
    assert [len(s.images) for s in slices] == [4, 4, 4]


def test_one_uid_for_all_images_does_not_hide_them():
    slices, _ = find_slices(images(instance_uid="1.2.3"))
    assert [len(s.images) for s in slices] == [4, 4, 4]


@pytest.mark.parametrize(("distance", "count"), [(0.04, 1), (0.06, 2)])
def test_the_rounding_of_positions_makes_no_slices(distance, count):
    near = images([0.0], phases=2) + images([distance], phases=2, instance=9)
    near = [replace(image, instance_uid=str(n), trigger_ms=50.0 * n) for n, image in enumerate(near)]
    assert len(find_slices(near)[0]) == count


def test_slices_at_one_height_that_lie_beside_each_other_are_two():
    beside = images([0.0], position=(30.0, 0.0, 0.0))
    beside = [replace(image, instance_uid=f"b{n}") for n, image in enumerate(beside)]
    assert len(find_slices([*images([0.0]), *beside])[0]) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"series_uid": "other"},
        {"kind": "P"},
        {"rows": 14},
        {"columns": 14},
        {"spacing": (1.0, 1.1)},
        {"orientation": (0.0, 1.0, 0.0, -1.0, 0.0, 0.0)},
    ],
)
def test_images_of_another_kind_at_the_same_position_are_another_slice(other):
    second = [
        replace(image, instance_uid=f"b{n}", instance=100 + n, **other)
        for n, image in enumerate(images([0.0]))
    ]
    assert [len(s.images) for s in find_slices([*images([0.0]), *second])[0]] == [4, 4]


def test_a_position_measured_twice_in_one_series_is_two_acquisitions():
    first = images([0.0], acquisition=1, acquired_s=100.0)
    second = [
        replace(image, instance_uid=f"b{n}", instance=10 + n, acquisition=2, name=f"b{n}")
        for n, image in enumerate(first)
    ]
    slices, problems = find_slices(shuffled(first + second))
    assert names(slices) == [[f"1_0_{t}" for t in range(4)], [f"b{t}" for t in range(4)]]
    assert problems == []


def test_slices_are_sorted_by_series_then_clock_then_instance():
    late = images([0.0], series_number=2, acquired_s=NAN)
    noon = images([10.0], acquired_s=43200.0)
    morning = images([20.0], acquired_s=36000.0, instance=5)
    early = images([30.0], acquired_s=36000.0, instance=1)
    everything = [replace(i, instance_uid=str(n)) for n, i in enumerate(late + noon + morning + early)]
    slices, _ = find_slices(everything)
    assert [s.corner[2] for s in slices] == [30, 20, 10, 0]


def test_missing_trigger_times_are_ordered_by_acquisition_time():
    beat = [
        replace(image, trigger_ms=NAN, acquired_s=3600 + 0.05 * (3 - n), interval_ms=800.0)
        for n, image in enumerate(images([0.0]))
    ]
    (s,), (problem,) = find_slices(beat)
    assert [image.name for image in s.images] == ["1_0_3", "1_0_2", "1_0_1", "1_0_0"]
    np.testing.assert_allclose(s.times_ms, [0, 50, 100, 150], atol=1e-6)
    assert (problem.problem, problem.resolution) == ("trigger time", "ordered by acquisition time")
    assert problem.extra_info == "missing in 4 of 4 images"


def test_acquisition_times_of_many_heart_beats_do_not_order_frames():
    beats = [
        replace(image, trigger_ms=NAN, acquired_s=3600 - 5.0 * n, interval_ms=800.0)
        for n, image in enumerate(images([0.0]))
    ]
    (s,), (problem,) = find_slices(beats)
    assert [image.name for image in s.images] == [f"1_0_{t}" for t in range(4)]
    assert problem.resolution == "ordered by instance number"
    np.testing.assert_allclose(s.times_ms, np.arange(4) * 200.0)


def test_repeated_trigger_times_are_told_as_such():
    _, (problem,) = find_slices(images([0.0], trigger_ms=0.0))
    assert problem.extra_info == "repeated"


def test_one_missing_trigger_time_is_told():
    some = images([0.0])
    some[2] = replace(some[2], trigger_ms=NAN)
    (s,), (problem,) = find_slices(some)
    assert problem.extra_info == "missing in 1 of 4 images"
    assert [image.name for image in s.images] == [f"1_0_{t}" for t in range(4)]


def test_without_anything_else_the_name_orders_and_times_are_unknown():
    bare = images([0.0], trigger_ms=NAN, instance=-1)
    (s,), (problem,) = find_slices(shuffled(bare))
    assert [image.name for image in s.images] == [f"1_0_{t}" for t in range(4)]
    assert problem.resolution == "ordered by file name"
    assert np.isnan(s.times_ms).all()


def test_a_single_image_needs_no_time():
    assert find_slices(images(phases=1, trigger_ms=NAN))[1] == []


@pytest.fixture
def files(cine, tmp_path):
    paths = write_datasets(dicom_datasets(cine, style="ge"), tmp_path, np.random.default_rng(0))
    return [image for path in paths for image in read_headers(path)]


def test_frames_are_read_in_the_order_of_time(cine, files):
    slices, problems = load_frames(find_slices(files)[0])
    assert problems == []
    for z, s in enumerate(slices):
        np.testing.assert_array_equal(s.frames, cine.array[:, :, z].transpose(2, 1, 0))


def test_a_frame_that_cannot_be_read_is_left_out_and_logged(cine, files):
    slices, _ = find_slices(numbered(files))
    lost = slices[2].images[3]
    lost.path.write_bytes(lost.path.read_bytes()[:2000])
    loaded, (problem,) = load_frames(slices)
    assert (problem.problem, problem.image) == ("unreadable", lost.label)
    assert [len(s.images) for s in loaded] == [8, 8, 7, 8, 8, 8, 8, 8]
    assert len(loaded[2].frames) == len(loaded[2].times_ms) == 7
    np.testing.assert_array_equal(loaded[2].frames[3], cine.array[:, :, 2, 4].T)


def test_a_slice_of_which_nothing_can_be_read_is_left_out_and_logged(files):
    slices, _ = find_slices(files)
    for image in slices[2].images:
        image.path.unlink()
    loaded, problems = load_frames(slices)
    assert len(loaded) == len(slices) - 1
    assert kinds_of(problems) == ["unreadable"] * 8


def test_reading_does_not_change_the_slices_without_frames(files):
    slices, _ = find_slices(files)
    load_frames(slices)
    assert all(s.frames.size == 0 for s in slices)


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        ([1, 2, 2, 3], 2),
        ([1, 1, 2, 2], 2),
        ([2, 2, 1, 1], 2),
        ([3, 1, 1], 1),
        ([(192, 256), (256, 192)], (256, 192)),
        ([(192, 256), (256, 192), (192, 256)], (192, 256)),
        ([7], 7),
    ],
)
def test_of_equally_frequent_values_the_largest_is_the_mode(values, mode):
    assert largest_mode(values) == mode


def test_the_mean_normal_is_that_of_most_slices():
    flipped = make_slice(0, column=(0, -1, 0))
    np.testing.assert_allclose(mean_normal([flipped, *make_stack([10, 20])]), [0, 0, 1])
    np.testing.assert_allclose(mean_normal([*make_stack([10]), flipped, flipped]), [0, 0, -1])


def test_the_mean_normal_has_length_one():
    tilt = np.deg2rad(2)
    slices = [make_slice(0), make_slice(10, column=(0, np.cos(tilt), np.sin(tilt)))]
    normal = mean_normal(slices)
    assert np.linalg.norm(normal) == pytest.approx(1)
    assert angle_deg(slices[0], normal) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("normal", "angle"), [((0, 0, 1), 0), ((0, 0, -1), 0), ((1, 0, 0), 90)])
def test_angles_do_not_know_sides(normal, angle):
    assert angle_deg(make_slice(0), np.array(normal, float)) == pytest.approx(angle)
