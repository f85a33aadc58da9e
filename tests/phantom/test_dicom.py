"""What plain pydicom reads from the files is the cine that was written."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_rescale, pixel_array
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from cmrseg.phantom.dicom import Acquisition, Identity, compress, dicom_datasets, write_datasets
from tests.phantom.jpeg_lossless import compressed

LPS = np.diag([-1.0, -1.0, 1.0])


def read_back(datasets, folder, seed=0):
    paths = write_datasets(datasets, folder, np.random.default_rng(seed))
    return [pydicom.dcmread(path) for path in paths]


def corner_and_steps(position, orientation, spacing):
    """Scanner coordinates (RAS) of the first pixel, and the steps along x and y."""
    row, column = np.array(orientation, float).reshape(2, 3)
    down, across = (float(s) for s in spacing)
    return LPS @ np.array(position, float), LPS @ row * across, LPS @ column * down


def assert_on_grid(cine, z, position, orientation, spacing):
    corner, dx, dy = corner_and_steps(position, orientation, spacing)
    np.testing.assert_allclose(corner, (cine.affine @ [0, 0, z, 1])[:3], atol=1e-6)
    np.testing.assert_allclose(dx, cine.affine[:3, 0], atol=1e-6)
    np.testing.assert_allclose(dy, cine.affine[:3, 1], atol=1e-6)


@pytest.mark.parametrize("style", ["siemens", "ge"])
def test_files_hold_pixels_positions_and_times(cine, style, tmp_path):
    datasets = read_back(dicom_datasets(cine, style=style), tmp_path)
    slices, phases = cine.array.shape[2:]
    assert len(datasets) == slices * phases
    for i, dataset in enumerate(datasets):
        z, t = divmod(i, phases)
        assert_on_grid(
            cine, z, dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing
        )
        assert float(dataset.TriggerTime) == pytest.approx(cine.frame_times_ms[t])
        np.testing.assert_array_equal(dataset.pixel_array, np.rint(cine.array[:, :, z, t].T))


def test_slice_locations_are_distances_along_the_normal(cine):
    datasets = dicom_datasets(cine)
    row, column = np.array(datasets[0].ImageOrientationPatient, float).reshape(2, 3)
    for dataset in datasets:
        along = np.array(dataset.ImagePositionPatient, float) @ np.cross(row, column)
        assert float(dataset.SliceLocation) == pytest.approx(along, abs=1e-6)
        assert float(dataset.SpacingBetweenSlices) == pytest.approx(8.0)


def test_siemens_has_one_series_per_slice(cine):
    datasets = dicom_datasets(cine, style="siemens")
    phases = cine.array.shape[3]
    assert len({d.SeriesInstanceUID for d in datasets}) == cine.array.shape[2]
    assert [d.InstanceNumber for d in datasets[:phases]] == list(range(1, phases + 1))
    assert [d.AcquisitionTime for d in datasets] == sorted(d.AcquisitionTime for d in datasets)


@pytest.mark.parametrize("order", ["slices", "phases"])
def test_ge_numbers_one_series_slice_by_slice_or_phase_by_phase(cine, order):
    datasets = dicom_datasets(cine, style="ge", acquisition=Acquisition(order=order))
    assert len({d.SeriesInstanceUID for d in datasets}) == 1
    numbers = np.array([d.InstanceNumber for d in datasets]).reshape(cine.array.shape[2:])
    numbers = numbers if order == "slices" else numbers.T
    np.testing.assert_array_equal(numbers.ravel(), np.arange(numbers.size) + 1)


@pytest.mark.parametrize("order", ["slices", "phases"])
def test_enhanced_file_holds_all_frames(cine, order, tmp_path):
    acquisition = Acquisition(order=order)
    (dataset,) = read_back(dicom_datasets(cine, style="enhanced", acquisition=acquisition), tmp_path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    frames = dataset.PerFrameFunctionalGroupsSequence
    assert dataset.NumberOfFrames == len(frames) == cine.array.shape[2] * cine.array.shape[3]
    for frame, image in zip(frames, dataset.pixel_array, strict=True):
        content = frame.FrameContentSequence[0]
        z, t = content.InStackPositionNumber - 1, content.TemporalPositionIndex - 1
        assert_on_grid(cine, z, frame.PlanePositionSequence[0].ImagePositionPatient, orientation, spacing)
        delay = frame.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime
        assert delay == pytest.approx(cine.frame_times_ms[t])
        np.testing.assert_array_equal(image, np.rint(cine.array[:, :, z, t].T))


@pytest.mark.parametrize("style", ["siemens", "ge"])
def test_rescaled_values_are_the_intensities(cine, style):
    dataset = dicom_datasets(cine, style=style, acquisition=Acquisition(rescale=(0.5, -20)))[3]
    image = apply_rescale(pixel_array(dataset), dataset)
    np.testing.assert_array_equal(image, np.rint(cine.array[:, :, 0, 3].T))


def test_same_seed_gives_the_same_bytes(cine, tmp_path):
    for name in ("a", "b"):
        write_datasets(dicom_datasets(cine, seed=5), tmp_path / name, np.random.default_rng(1))
    a, b = (sorted(p for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("a", "b"))
    assert [p.read_bytes() for p in a] == [p.read_bytes() for p in b]


def test_uids_differ_between_images_seeds_and_patients(cine):
    one, other = dicom_datasets(cine), dicom_datasets(cine, seed=1)
    third = dicom_datasets(cine, identity=Identity(patient_id="PID-4712"))
    uids = {d.SOPInstanceUID for d in (*one, *other, *third)}
    assert len(uids) == 3 * len(one)
    assert len({d.StudyInstanceUID for d in (*one, *other, *third)}) == 3


def test_names_say_nothing_about_slice_or_phase(cine, tmp_path):
    paths = write_datasets(dicom_datasets(cine), tmp_path, np.random.default_rng(0))
    assert len({p.parent for p in paths}) > 1
    assert [p.name for p in paths] != sorted(p.name for p in paths)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("style", ["siemens", "ge"])
def test_compression_keeps_every_pixel(cine, style, syntax, tmp_path):
    plain = dicom_datasets(cine, style=style)[:2]
    packed = read_back([compress(d, syntax) for d in plain], tmp_path)
    for before, after in zip(plain, packed, strict=True):
        assert after.file_meta.TransferSyntaxUID == syntax
        assert after.SOPInstanceUID == before.SOPInstanceUID
        np.testing.assert_array_equal(after.pixel_array, pixel_array(before))


@pytest.mark.parametrize("style", ["siemens", "ge"])
def test_lossless_jpeg_keeps_every_pixel(cine, style, tmp_path):
    plain = dicom_datasets(cine, style=style)[0]
    (packed,) = read_back([compressed(plain)], tmp_path)
    assert packed.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    np.testing.assert_array_equal(packed.pixel_array, pixel_array(plain))


def test_lossless_jpeg_keeps_the_widest_differences(cine, tmp_path):
    plain = dicom_datasets(cine, style="ge")[0]
    noise = np.random.default_rng(0).integers(0, 2**16, (plain.Rows, plain.Columns)).astype("<u2")
    noise[0, :4] = 0, 32768, 0, 65535
    plain.PixelData, plain.PixelRepresentation = noise.tobytes(), 0
    (packed,) = read_back([compressed(plain)], tmp_path)
    np.testing.assert_array_equal(packed.pixel_array, noise)


def test_a_cine_without_times_is_spread_over_a_beat(cine):
    datasets = dicom_datasets(replace(cine, frame_times_ms=()))
    assert float(datasets[1].TriggerTime) == pytest.approx(800 / 7)
    assert datasets[0].NominalInterval == 800


def test_unknown_style_and_negative_intensity_are_refused(cine):
    with pytest.raises(ValueError, match="style must be"):
        dicom_datasets(cine, style="philips")
    with pytest.raises(ValueError, match="intensities of the cine"):
        dicom_datasets(cine.with_array(cine.array - 4000))
