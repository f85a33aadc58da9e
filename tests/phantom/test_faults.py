"""Every fault changes what it says, and nothing else."""

from copy import deepcopy

import numpy as np
import pytest
from pydicom.pixels import apply_rescale, pixel_array

from cmrseg.phantom.dicom import dicom_datasets
from cmrseg.phantom.faults import FAULTS, inject
from cmrseg.phantom.instances import find_stack

SPACING_MM = 8.0
EXTRA = [
    "slice spacing: interspersed",
    "slice spacing: interspersed, two",
    "slice spacing: outlier",
    "slice spacing: top",
    "slice spacing: bottom",
]
EDITED = [
    "rotation, 90 degrees",
    "rotation",
    "pixel spacing, larger",
    "pixel spacing, smaller",
    "image size, padded",
    "image size, cropped",
    "slice spacing: special",
    "slice spacing: metadata",
]
PUBLISHED = {
    "collision",
    "repeated measurement",
    "orientation",
    "rotation",
    "pixel spacing",
    "image size",
    "image size >256",
    "missing frame",
    *(f"slice spacing: {k}" for k in ("missing", "interspersed", "outlier", "top", "bottom")),
    *(f"slice spacing: {k}" for k in ("special", "metadata")),
}


@pytest.fixture(scope="module", params=["siemens", "ge"])
def clean(request, cine):
    return dicom_datasets(cine, style=request.param)


def injected(clean, name, seed=0):
    return FAULTS[name](clean, np.random.default_rng(seed))


def numbers(values):
    return np.array([float(v) for v in values])


def real(dataset):
    return apply_rescale(pixel_array(dataset), dataset)


def changes(clean, out):
    """Pairs of a clean instance and what became of it."""
    after = {d.SOPInstanceUID: d for d in out.datasets}
    pairs = [(d, after[d.SOPInstanceUID]) for d in clean if d.SOPInstanceUID in after]
    return [(a, b) for a, b in pairs if a is not b]


def added(clean, out):
    known = {d.SOPInstanceUID for d in clean}
    return [d for d in out.datasets if d.SOPInstanceUID not in known]


def world(dataset, r, c):
    """Patient coordinates (mm) of pixels."""
    row, column = numbers(dataset.ImageOrientationPatient).reshape(2, 3)
    down, across = numbers(dataset.PixelSpacing)
    origin = numbers(dataset.ImagePositionPatient)
    return origin + c[..., None] * across * row + r[..., None] * down * column


def true_pixels(cine, points, t):
    """The pattern of the cine at patient coordinates, for points in its field of view (else nan)."""
    ras = points * [-1, -1, 1]
    x, y, z = np.moveaxis((ras - cine.affine[:3, 3]) @ np.linalg.inv(cine.affine[:3, :3]).T, -1, 0)
    values = 1500 + 700 * np.sin(x / 7 + t / 3) * np.cos(y / 5 + z) + 40 * z + 3 * t
    inside = (x > 0) & (y > 0) & (x < cine.array.shape[0] - 1) & (y < cine.array.shape[1] - 1)
    return np.where(inside, values, np.nan)


def error(cine, dataset, t):
    """Largest difference from the pattern, and the share of the image that is in the field of view."""
    r, c = np.indices((dataset.Rows, dataset.Columns))
    truth = true_pixels(cine, world(dataset, r, c), t)
    return np.nanmax(np.abs(pixel_array(dataset) - truth)), np.isfinite(truth).mean()


@pytest.mark.parametrize("name", FAULTS)
def test_input_stays_as_it_is(clean, name):
    before = deepcopy(clean)
    injected(clean, name)
    assert clean == before
    assert [d.file_meta for d in clean] == [d.file_meta for d in before]


@pytest.mark.parametrize("name", FAULTS)
def test_same_generator_gives_the_same_fault(clean, name):
    assert injected(clean, name, seed=3) == injected(clean, name, seed=3)


@pytest.mark.parametrize("name", FAULTS)
def test_instances_stay_distinct_and_of_one_study(clean, name):
    datasets = injected(clean, name).datasets
    assert len({d.SOPInstanceUID for d in datasets}) == len(datasets)
    assert {d.StudyInstanceUID for d in datasets} == {clean[0].StudyInstanceUID}
    assert all(d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID for d in datasets)


def test_kinds_are_the_published_words(clean):
    assert {k for name in FAULTS for k in injected(clean, name).kinds} == PUBLISHED


@pytest.mark.parametrize("name", EDITED)
@pytest.mark.parametrize("seed", range(3))
def test_only_the_named_slices_are_edited(clean, name, seed):
    out = injected(clean, name, seed)
    groups = find_stack(clean).groups
    changed = {a.SOPInstanceUID for a, _ in changes(clean, out)}
    assert changed == {d.SOPInstanceUID for z in out.slices for d in groups[z]}
    assert len(out.datasets) == len(clean)


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("seed", range(3))
def test_extra_slices_lie_at_the_named_positions(clean, name, seed):
    out = injected(clean, name, seed)
    extra = {d.SOPInstanceUID for d in added(clean, out)}
    groups = find_stack(out.datasets).groups
    assert {z for z, g in enumerate(groups) if g[0].SOPInstanceUID in extra} == set(out.slices)
    assert not changes(clean, out)
    locations = [float(g[0].SliceLocation) for g in groups]
    assert locations == sorted(locations)


def gaps(out):
    return np.diff(find_stack(out.datasets).positions)


def test_interspersed_gaps_sum_to_the_spacing(clean):
    for name, count in (("slice spacing: interspersed", 2), ("slice spacing: interspersed, two", 3)):
        out = injected(clean, name)
        first = out.slices[0] - 1
        assert gaps(out)[first : first + count].sum() == pytest.approx(SPACING_MM, abs=0.01)
        assert (gaps(out)[first : first + count] < SPACING_MM - 2).all()


def test_outlier_is_more_than_two_and_a_half_spacings_away(clean):
    out = injected(clean, "slice spacing: outlier")
    assert max(gaps(out)[0], gaps(out)[-1]) > 2.5 * SPACING_MM


@pytest.mark.parametrize(("name", "end"), [("slice spacing: top", 0), ("slice spacing: bottom", -1)])
def test_edge_slice_is_too_near(clean, name, end):
    assert 2.99 < gaps(injected(clean, name))[end] < 0.6 * SPACING_MM + 0.01


def test_special_gaps_fit_no_other_rule(clean):
    out = injected(clean, "slice spacing: special")
    (z,) = out.slices
    off = np.abs(gaps(out)[z - 1 : z + 1] - SPACING_MM)
    assert ((off > 1.4) & (off < 2.5)).all()
    assert all(a.PixelData == b.PixelData for a, b in changes(clean, out))


def test_missing_slice_leaves_a_double_gap(clean):
    out = injected(clean, "slice spacing: missing")
    assert gaps(out)[out.slices[0] - 1] == pytest.approx(2 * SPACING_MM, abs=0.01)


def test_metadata_contradicts_itself(clean):
    out = injected(clean, "slice spacing: metadata")
    assert len({d.SpacingBetweenSlices for d in out.datasets}) == 2


def test_collision_is_earlier_and_its_truth_is_later(clean):
    out = injected(clean, "collision")
    later = added(clean, out)
    for (original, first), again in zip(changes(clean, out), later, strict=True):
        assert again.PixelData == original.PixelData != first.PixelData
        assert again.ImagePositionPatient == original.ImagePositionPatient
        moved = numbers(first.ImagePositionPatient) - numbers(original.ImagePositionPatient)
        assert 0.04 < np.linalg.norm(moved) < 1
    assert min(d.SeriesNumber for d in later) > max(d.SeriesNumber for d in clean)
    assert min(d.AcquisitionTime for d in later) > max(d.AcquisitionTime for d in clean)


def test_repeated_measurement_doubles_the_stack(clean):
    out = injected(clean, "repeated measurement")
    again = added(clean, out)
    assert not changes(clean, out)
    assert [d.ImagePositionPatient for d in find_order(again)] == [
        d.ImagePositionPatient for d in find_order(clean)
    ]
    assert {d.SeriesInstanceUID for d in again}.isdisjoint({d.SeriesInstanceUID for d in clean})
    assert len({d.SeriesInstanceUID for d in again}) == len({d.SeriesInstanceUID for d in clean})


def find_order(datasets):
    return [d for g in find_stack(datasets).groups for d in g]


def test_tilted_slice_keeps_its_centre(clean):
    out = injected(clean, "orientation")
    extra = added(clean, out)[0]
    original = find_stack(clean).groups[out.slices[0]][0]
    middle = (np.array(original.Rows - 1) / 2, np.array(original.Columns - 1) / 2)
    np.testing.assert_allclose(world(extra, *middle), world(original, *middle), atol=1e-6)
    normals = [np.cross(*numbers(d.ImageOrientationPatient).reshape(2, 3)) for d in (extra, original)]
    assert np.rad2deg(np.arccos(normals[0] @ normals[1])) > 5


def test_right_angle_moves_every_pixel_exactly(clean, cine):
    out = injected(clean, "rotation, 90 degrees")
    for t, (before, after) in enumerate(changes(clean, out)):
        assert (after.Rows, after.Columns) == (before.Columns, before.Rows)
        assert error(cine, after, t)[0] <= 0.51


@pytest.mark.parametrize(
    "name", ["rotation", "pixel spacing, larger", "pixel spacing, smaller", "image size >256"]
)
def test_resampled_pixels_show_what_lies_there(clean, cine, name):
    out = injected(clean, name)
    z = out.slices[0]
    after = [b for _, b in changes(clean, out)][: cine.array.shape[3]]
    assert after
    for t, dataset in enumerate(after):
        worst, share = error(cine, dataset, t)
        assert worst < 700 / 8 * (1 / 7**2 + 1 / 5**2) + 1, z  # bilinear: h^2 / 8 times the curvature
        assert share > 0.4


@pytest.mark.parametrize("name", ["image size, padded", "image size, cropped"])
def test_size_changes_about_the_centre(clean, cine, name):
    for t, (before, after) in enumerate(changes(clean, injected(clean, name))):
        assert (after.Rows > before.Rows) == (name == "image size, padded")
        assert error(cine, after, t)[0] <= 0.51


def test_large_images_have_more_than_256_pixels(clean):
    assert all(max(d.Rows, d.Columns) > 256 for d in injected(clean, "image size >256").datasets)


@pytest.mark.parametrize("name", ["missing frame", "missing frame, last"])
@pytest.mark.parametrize("seed", range(4))
def test_named_frames_are_missing(clean, name, seed):
    out = injected(clean, name, seed)
    group = find_stack(clean).groups[out.slices[0]]
    left = {d.SOPInstanceUID for d in out.datasets}
    assert [t for t, d in enumerate(group) if d.SOPInstanceUID not in left] == list(out.frames)
    assert 0 not in out.frames
    assert (len(group) - 1 in out.frames) == (name == "missing frame, last")
    assert len(out.datasets) + len(out.frames) == len(clean)


@pytest.mark.parametrize(
    ("name", "keyword"),
    [
        ("no slice location", "SliceLocation"),
        ("no trigger time", "TriggerTime"),
        ("no instance number", "InstanceNumber"),
    ],
)
def test_header_element_is_gone(clean, name, keyword):
    for before, after in changes(clean, injected(clean, name)):
        assert set(before.dir()) - set(after.dir()) == {keyword}


def test_trigger_times_are_all_zero(clean):
    assert {float(d.TriggerTime) for d in injected(clean, "repeated trigger time").datasets} == {0}


def test_rescaled_slices_have_other_stored_and_the_same_real_values(clean):
    pairs = changes(clean, injected(clean, "rescaled"))
    assert len(pairs) == len(clean)
    assert len({float(b.RescaleSlope) for _, b in pairs}) > 1
    for before, after in pairs:
        np.testing.assert_array_equal(real(after), real(before))


def test_short_stacks_are_refused(clean):
    short = [d for g in find_stack(clean).groups[:4] for d in g]
    with pytest.raises(ValueError, match="at least 5 slices"):
        injected(short, "slice spacing: missing")


@pytest.mark.parametrize("seed", range(3))
def test_combined_faults_concern_different_slices(clean, seed):
    names = ["no slice location", "rotation", "image size, padded", "collision", "slice spacing: top"]
    out = inject(clean, names, np.random.default_rng(seed))
    assert set(out.kinds) == {"rotation", "image size", "collision", "slice spacing: top"}
    assert not out.exact
    assert not any("SliceLocation" in d for d in out.datasets)
    turned = {d.SeriesInstanceUID for d in out.datasets if is_turned(d, clean[0])}
    assert len(out.datasets) == len(clean) + 2 * 7
    assert len(turned) == 1
    assert not any(is_turned(d, clean[0]) and d.Rows != clean[0].Rows for d in out.datasets)


def is_turned(dataset, reference):
    rows = [numbers(d.ImageOrientationPatient)[:3] for d in (dataset, reference)]
    return rows[0] @ rows[1] < 0.999


def test_combined_faults_leave_the_input_as_it_is(clean):
    before = deepcopy(clean)
    inject(clean, ["rotation", "missing frame", "rescaled"], np.random.default_rng(0))
    assert clean == before


@pytest.mark.parametrize(
    "names", [("repeated measurement", "rotation"), ("slice spacing: top", "slice spacing: missing")]
)
def test_faults_that_exclude_each_other_are_refused(clean, names):
    with pytest.raises(ValueError, match="exclude each other"):
        inject(clean, names, np.random.default_rng(0))
