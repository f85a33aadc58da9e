"""The other series of an examination look like what they are."""

import numpy as np
import pytest

from cmrseg.phantom.dicom import dicom_datasets
from cmrseg.phantom.other_views import NON_IMAGES, VIEWS, examination, other_series


def normal_of(dataset):
    return np.cross(*np.array(dataset.ImageOrientationPatient, float).reshape(2, 3))


def positions(datasets):
    return {tuple(round(float(v), 3) for v in d.ImagePositionPatient) for d in datasets}


@pytest.fixture(scope="module")
def stack(cine):
    return dicom_datasets(cine)


@pytest.mark.parametrize("name", ["2ch", "3ch", "4ch"])
def test_long_axis_views_contain_the_normal_of_the_stack(cine, stack, name):
    datasets = other_series(cine, name)
    assert len(positions(datasets)) == 1
    assert len(datasets) == cine.array.shape[3]
    assert normal_of(datasets[0]) @ normal_of(stack[0]) == pytest.approx(0, abs=1e-9)


def test_localizer_has_three_planes_in_one_series(cine):
    datasets = other_series(cine, "localizer")
    assert len({tuple(d.ImageOrientationPatient) for d in datasets}) == 3
    assert len({d.SeriesInstanceUID for d in datasets}) == 1
    assert len(positions(datasets)) == len(datasets) == 9


def test_lge_has_the_planes_of_the_stack_and_one_phase(cine, stack):
    datasets = other_series(cine, "lge")
    assert len(datasets) == cine.array.shape[2]
    along = sorted(float(d.SliceLocation) for d in datasets)
    expected = sorted({float(d.SliceLocation) for d in stack})
    np.testing.assert_allclose(along, expected, atol=1e-6)
    np.testing.assert_allclose(normal_of(datasets[0]), normal_of(stack[0]), atol=1e-9)


def test_other_views_show_what_lies_in_their_plane(cine):
    inner = np.s_[8:-8, 8:-8]
    fine = other_series(cine, "lge", size=cine.array.shape[0])  # square: padded along the short axis
    for z, dataset in enumerate(fine):
        image = dataset.pixel_array.astype(float)[inner]
        row, column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        down, across = (float(s) for s in dataset.PixelSpacing)
        r, c = (i[inner][..., None] for i in np.indices((dataset.Rows, dataset.Columns)))
        lps = np.array(dataset.ImagePositionPatient, float) + r * down * column + c * across * row
        offset = lps * [-1, -1, 1] - cine.affine[:3, 3]
        x, y, _ = np.moveaxis(offset @ np.linalg.inv(cine.affine[:3, :3]).T, -1, 0)
        inside = (x > 0) & (x < 47) & (y > 0) & (y < 39)
        expected = 1500 + 700 * np.sin(x / 7) * np.cos(y / 5 + z) + 40 * z
        assert inside.mean() > 0.9
        assert np.abs(image - expected)[inside].max() < 40  # six standard deviations of the noise


def test_flow_has_magnitude_and_phase_images_of_one_position(cine):
    datasets = other_series(cine, "flow")
    assert len(positions(datasets)) == 1
    assert [d.ImageType[2] for d in datasets] == ["M"] * 7 + ["P"] * 7


def test_perfusion_runs_over_heart_beats_at_one_trigger_time(cine):
    datasets = other_series(cine, "perfusion")
    assert len(positions(datasets)) == 3
    assert len(datasets) == 3 * 40
    assert len({d.TriggerTime for d in datasets}) == 1
    assert len({d.AcquisitionTime for d in datasets[:40]}) == 40


def test_axial_cine_is_a_parallel_stack_across_the_short_axis(cine, stack):
    datasets = other_series(cine, "axial")
    assert len(positions(datasets)) == 6
    assert abs(normal_of(datasets[0]) @ normal_of(stack[0])) < 0.9
    np.testing.assert_allclose(normal_of(datasets[0]), [0, 0, 1], atol=1e-9)


def test_screenshot_is_in_colour_and_presentation_has_no_pixels(cine):
    (screenshot,), (presentation,) = (other_series(cine, name) for name in NON_IMAGES)
    assert screenshot.PhotometricInterpretation == "RGB"
    assert "ImagePositionPatient" not in screenshot
    assert "PixelData" not in presentation


@pytest.mark.parametrize("style", ["siemens", "ge", "enhanced"])
def test_examination_is_one_study_of_distinct_instances(cine, style):
    datasets = examination(cine, style=style)
    assert len({d.StudyInstanceUID for d in datasets}) == 1
    assert len({d.SOPInstanceUID for d in datasets}) == len(datasets)
    assert all(d.SOPInstanceUID == d.file_meta.MediaStorageSOPInstanceUID for d in datasets)
    series = {d.SeriesInstanceUID: d.SeriesDescription for d in datasets}
    assert {"cine_sax", *VIEWS, *NON_IMAGES} == set(series.values())


def test_unknown_view_is_refused(cine):
    with pytest.raises(ValueError, match="name must be one of"):
        other_series(cine, "5ch")
