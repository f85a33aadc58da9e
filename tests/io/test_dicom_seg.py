"""A segmentation lies on the pixels that it was drawn on, whoever reads it, and tells no more than it may."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale
from pydicom.uid import RLELossless
from skimage.color import lab2rgb

from cmrseg.cine import Cine
from cmrseg.curation.run import Options, curate
from cmrseg.io.dicom_seg import SEGMENTS, Algorithm, read_dicom_segs, write_dicom_segs
from cmrseg.io.images import load_image
from cmrseg.labels import STRUCTURES, Label
from cmrseg.phantom.dicom import Acquisition, Identity, compress, dicom_datasets, write_datasets
from cmrseg.phantom.faults import inject
from cmrseg.problems import DataError
from cmrseg.report.figures import COLOURS

STYLES = ("siemens", "ge", "enhanced")
SHAPE = (36, 40, 4, 3)  # x y z t
MODEL = Algorithm("r34_CE_p5_s2", "1.0", {"sha256": "0123abcd"})
BRIGHTNESS = 1000  # of a label in the images
BRIGHT = 1500.5
AFFINE = np.array([[-1.4, 0, 0, 9.5], [0, -1.28, 4.8, -3.25], [0, -0.96, -6.4, 70], [0, 0, 0, 1]])
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def mask() -> Cine:
    """Rings that differ in every slice and frame; no RV in the last slice, nothing in the last frame."""
    x, y, z, t = np.ogrid[tuple(slice(n) for n in SHAPE)]
    radius = np.hypot(x - 15 - z, y - 18 + t)
    array = np.where(radius < 4 + z, Label.LV, np.where(radius < 8 + z, Label.MYO, Label.BACKGROUND))
    array = np.where((x > 28) & (y > 20 + t) & (z < SHAPE[2] - 1), Label.RV, array)
    array = np.where(t < SHAPE[3] - 1, array, Label.BACKGROUND)
    return Cine(array.astype(np.uint8), (1.4, 1.6, 8.0), AFFINE, (12.0, 212.0, 412.0))


def images(cine: Cine, style: str = "ge", **options) -> list[Dataset]:
    """Images in which every structure has a brightness of its own."""
    bright = cine.with_array(cine.array.astype(float) * BRIGHTNESS)
    return dicom_datasets(bright, style=style, **options)


def saved(datasets: list[Dataset], folder: Path, cine: Cine) -> dict[tuple[int, int], tuple[Path, int]]:
    """Files of a cine by slice and frame."""
    paths = write_datasets(datasets, folder, np.random.default_rng(0))
    places = product(range(cine.array.shape[2]), range(cine.array.shape[3]))
    if len(paths) == 1:
        return {at: (paths[0], number) for number, at in enumerate(places)}
    return {at: (path, 0) for at, path in zip(places, paths, strict=True)}


def write(cine: Cine, sources: Mapping, folder: Path, pseudonym: str | None = "Sa1") -> list[Path]:
    return write_dicom_segs(cine, sources, folder, algorithm=MODEL, pseudonym=pseudonym)


@pytest.fixture(params=STYLES)
def study(request, tmp_path):
    """Mask, files of its images, folder of its segmentation; every style of scanner."""
    sources = saved(images(mask(), request.param), tmp_path / "in", mask())
    write(mask(), sources, tmp_path / "out")
    return mask(), sources, tmp_path / "out"


@pytest.fixture
def sources(tmp_path):
    """Files of the images of one series."""
    return saved(images(mask()), tmp_path / "in", mask())


def segmentations(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


def frames(segmentation: Dataset):
    """Label, mask ``(rows, columns)`` and functional groups of every frame."""
    pixels = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    shared = segmentation.SharedFunctionalGroupsSequence[0]  # holds the segment where there is only one
    for image, group in zip(pixels, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        place = group if "SegmentIdentificationSequence" in group else shared
        yield Label(place.SegmentIdentificationSequence[0].ReferencedSegmentNumber), image > 0, group


def source_of(group: Dataset) -> Dataset | None:
    """The reference of a frame to its image."""
    return group.DerivationImageSequence[0].SourceImageSequence[0] if group.DerivationImageSequence else None


def test_reading_gives_every_voxel_back(study):
    expected, _, folder = study
    back = read_dicom_segs(folder, expected)
    np.testing.assert_array_equal(back.array, expected.array)
    assert back.array.dtype == np.uint8


def test_every_frame_covers_its_structure_in_the_pixels_of_the_image_that_it_names(study):
    expected, sources, folder = study
    files = {d.SOPInstanceUID: d for d in (pydicom.dcmread(path) for path, _ in sources.values())}
    seen = 0
    for segmentation in segmentations(folder)[:-1]:
        for label, covered, group in frames(segmentation):
            reference = source_of(group)
            image = files[reference.ReferencedSOPInstanceUID].pixel_array
            image = image[reference.ReferencedFrameNumber - 1] if image.ndim == 3 else image
            np.testing.assert_array_equal(covered, image == label * BRIGHTNESS)
            assert reference.SpatialLocationsPreserved == "YES"
            seen += 1
    slices = expected.array.shape[2]
    assert seen == 2 * (3 * slices - 1)  # empty frames are not stored, except where all are empty


def test_plane_positions_alone_put_the_mask_where_the_affine_puts_it(study):
    expected, _, folder = study
    for t, segmentation in enumerate(segmentations(folder)):
        shared = segmentation.SharedFunctionalGroupsSequence[0]
        row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient).reshape(2, 3)
        down, across = shared.PixelMeasuresSequence[0].PixelSpacing
        points = {label: [] for label in STRUCTURES}
        for label, covered, group in frames(segmentation):
            y, x = np.nonzero(covered)
            corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient)
            points[label] += list(corner + np.outer(x * across, row) + np.outer(y * down, column))
        for label in STRUCTURES:
            voxels = np.argwhere(expected.array[..., t] == label)
            places = voxels @ AFFINE[:3, :3].T + AFFINE[:3, 3]
            found = np.array(points[label]).reshape(-1, 3) @ LPS_TO_RAS
            np.testing.assert_allclose(ordered(found), ordered(places), atol=1e-4)


def ordered(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(np.round(points, 3).T)]


def test_the_volume_that_highdicom_reads_is_the_mask(study):
    expected, _, folder = study
    for t, path in enumerate(sorted(folder.glob("*.dcm"))[:-1]):
        volume = hd.seg.segread(path).get_volume(combine_segments=True)
        voxels = np.argwhere(expected.array[..., t])
        places = (voxels @ AFFINE[:3, :3].T + AFFINE[:3, 3]) @ LPS_TO_RAS
        indices = np.rint(volume.map_reference_to_indices(places)).astype(int)
        np.testing.assert_array_equal(volume.array[tuple(indices.T)], expected.array[(*voxels.T, t)])
        assert np.count_nonzero(volume.array) == len(voxels)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian package dicom3tools) is not there")
@pytest.mark.parametrize("pseudonym", ["Sa1", None])
@pytest.mark.parametrize("style", STYLES)
def test_the_standard_checker_finds_no_error(style, pseudonym, tmp_path):
    files = saved(images(mask(), style), tmp_path / "in", mask())
    for path in write(mask(), files, tmp_path / "out", pseudonym):
        told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
        assert "Segmentation" in told
        assert [line for line in told.splitlines() if line.startswith(("Error", "Abort"))] == []


def test_phases_are_series_of_one_study_with_the_same_structures(study):
    _, sources, folder = study
    found = segmentations(folder)
    original = pydicom.dcmread(sources[0, 0][0])
    assert {s.StudyInstanceUID for s in found} == {original.StudyInstanceUID}
    assert {s.FrameOfReferenceUID for s in found} == {original.FrameOfReferenceUID}
    assert len({s.SeriesInstanceUID for s in found}) == len({s.SOPInstanceUID for s in found}) == len(found)
    assert [s.SeriesNumber for s in found] == [9001, 9002, 9003]
    assert [s.SeriesDescription for s in found] == [
        "cmrseg phase 1 of 3, 12 ms",
        "cmrseg phase 2 of 3, 212 ms",
        "cmrseg phase 3 of 3, 412 ms",
    ]
    assert len({tuple(item.TrackingUID for item in s.SegmentSequence) for s in found}) == 1


def test_a_phase_of_unknown_time_is_numbered_only(tmp_path):
    timeless = replace(mask(), frame_times_ms=())
    datasets = images(mask())
    for dataset in datasets:
        del dataset.TriggerTime
    path, *_ = write(timeless, saved(datasets, tmp_path / "in", mask()), tmp_path / "out")
    assert pydicom.dcmread(path).SeriesDescription == "cmrseg phase 1 of 3"


def test_a_phase_refers_to_its_own_images_only(study):
    _, sources, folder = study
    for t, segmentation in enumerate(segmentations(folder)):
        referred = {
            (image.ReferencedSOPInstanceUID, number)
            for series in segmentation.ReferencedSeriesSequence
            for image in series.ReferencedInstanceSequence
            for number in np.atleast_1d(image.get("ReferencedFrameNumber", 1))
        }
        own = {source for (_, frame), source in sources.items() if frame == t}
        assert referred == {(pydicom.dcmread(path).SOPInstanceUID, n + 1) for path, n in own}


def test_structures_are_coded_and_coloured_and_the_model_is_named(sources, tmp_path):
    path, *_ = write(mask(), sources, tmp_path / "out")
    segments = pydicom.dcmread(path).SegmentSequence
    types = [item.SegmentedPropertyTypeCodeSequence[0] for item in segments]
    assert [(t.CodingSchemeDesignator, t.CodeValue) for t in types] == [
        ("SCT", "87878005"),  # left ventricle
        ("SCT", "49848007"),  # its myocardium
        ("SCT", "53085002"),  # right ventricle
    ]
    assert {item.AnatomicRegionSequence[0].CodeValue for item in segments} == {"80891009"}  # heart
    assert {item.SegmentAlgorithmType for item in segments} == {"AUTOMATIC"}
    algorithm = segments[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (MODEL.name, MODEL.version)
    assert algorithm.AlgorithmParameters == "sha256=0123abcd"
    lab = np.array(segments[0].RecommendedDisplayCIELabValue) / 65535 * (100, 255, 255) - (0, 128, 128)
    np.testing.assert_allclose(lab2rgb(lab) * 255, (0xD5, 0x5E, 0x00), atol=2)  # vermilion


def test_colours_are_those_of_the_figures():
    assert {label: colour for label, (*_, colour) in SEGMENTS.items()} == COLOURS


def test_a_mask_without_rv_does_not_claim_that_there_is_none(sources, tmp_path):
    array = np.where(mask().array == Label.RV, 0, mask().array)
    without = mask().with_array(array.astype(np.uint8))
    path, *_ = write(without, sources, tmp_path / "out")
    assert [s.SegmentNumber for s in pydicom.dcmread(path).SegmentSequence] == [Label.LV, Label.MYO]
    np.testing.assert_array_equal(read_dicom_segs(tmp_path / "out", without).array, array)


def test_a_mask_of_one_structure_is_read_back(sources, tmp_path):
    cavity = mask().with_array((mask().array == Label.LV).astype(np.uint8))
    write(cavity, sources, tmp_path / "out")
    np.testing.assert_array_equal(read_dicom_segs(tmp_path / "out", cavity).array, cavity.array)


@pytest.mark.parametrize("style", STYLES)
def test_nothing_of_the_patient_is_left_under_a_pseudonym(style, tmp_path):
    identity = Identity()
    datasets = images(mask(), style, identity=identity)
    for dataset in datasets:
        dataset.InstitutionAddress, dataset.StationName = "Hauptstrasse 5", "MR-KELLER"
        dataset.DeviceSerialNumber, dataset.OtherPatientIDs = "SN-98765", "ALT-123"
    for path in write(mask(), saved(datasets, tmp_path / "in", mask()), tmp_path / "out"):
        content = path.read_bytes()
        told = [
            str(value) for value in asdict(identity).values() if isinstance(value, str) and len(value) > 1
        ]
        told += ["Hauptstrasse", "MR-KELLER", "SN-98765", "ALT-123", datasets[0].StudyDate, "MUSTER"]
        assert [value for value in told if value.encode() in content] == []
        found = pydicom.dcmread(path)
        assert (found.PatientName, found.PatientID) == ("Sa1^", "Sa1")


def test_the_patient_is_copied_when_asked_for(sources, tmp_path):
    original = pydicom.dcmread(sources[0, 0][0])
    for path in write(mask(), sources, tmp_path / "out", pseudonym=None):
        found = pydicom.dcmread(path)
        for name in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "AccessionNumber",
            "StudyDate",
        ):
            assert found[name].value == original[name].value
        assert "InstitutionName" not in found


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_what_archives_write_into_blanked_fields_is_left_out(tmp_path):
    datasets = images(mask())
    for dataset in datasets:
        dataset.PatientBirthDate, dataset.StudyDate, dataset.PatientSex = "00000000", "20120000", "X"
        del dataset.StudyID, dataset.AccessionNumber, dataset.FrameOfReferenceUID
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 100", "Müller^Jörg"
    path, *_ = write(mask(), saved(datasets, tmp_path / "in", mask()), tmp_path / "out", pseudonym=None)
    found = pydicom.dcmread(path)
    assert (found.PatientBirthDate, found.StudyDate, found.PatientSex, found.StudyID) == ("", "", "", "")
    assert found.PatientName == "Müller^Jörg"


def test_compressed_images_serve_as_well(tmp_path):
    files = saved([compress(d, RLELossless) for d in images(mask())], tmp_path / "in", mask())
    write(mask(), files, tmp_path / "out")
    np.testing.assert_array_equal(read_dicom_segs(tmp_path / "out", mask()).array, mask().array)


@pytest.mark.parametrize("part", [np.s_[:, :, :, :1], np.s_[:, :, 1:2]])
def test_one_phase_and_one_slice_are_enough(part, sources, tmp_path):
    whole = mask()
    affine = AFFINE.copy()
    z0, frames_left = (1, 3) if whole.array[part].shape[2] == 1 else (0, 1)
    affine[:3, 3] += z0 * affine[:3, 2]
    some = Cine(whole.array[part], whole.spacing, affine, whole.frame_times_ms[:frames_left])
    slices, phases = some.array.shape[2:]
    files = {(z, t): sources[z + z0, t] for z in range(slices) for t in range(phases)}
    assert len(write(some, files, tmp_path / "out")) == phases
    np.testing.assert_array_equal(read_dicom_segs(tmp_path / "out", some).array, some.array)


def test_a_mask_on_a_grid_of_its_own_keeps_its_place_and_says_so(sources, tmp_path):
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ [6, 3, 0, 1])[:3]
    cropped = replace(mask(), array=mask().array[6:30, 3:37], affine=affine)
    path, *_ = write(cropped, sources, tmp_path / "out")
    np.testing.assert_array_equal(read_dicom_segs(tmp_path / "out", cropped).array, cropped.array)
    for _, _, group in frames(pydicom.dcmread(path)):
        z = int(np.rint((np.linalg.inv(affine) @ [*position_ras(group), 1])[2]))
        np.testing.assert_allclose(position_ras(group), (affine @ [0, 0, z, 1])[:3], atol=1e-4)
        assert source_of(group).SpatialLocationsPreserved == "NO"
    with pytest.raises(DataError, match="another grid"):
        read_dicom_segs(tmp_path / "out", mask())


def position_ras(group: Dataset) -> np.ndarray:
    return LPS_TO_RAS @ np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)


def test_slices_that_are_not_quite_even_lie_where_their_images_lie(tmp_path):
    datasets = images(mask())
    shift = np.array([0.3, 0.32, -0.24]) + 1.5 * np.array([0, 0.6, 0.8])  # 0.5 mm in the plane, 1.5 across
    for dataset in datasets[3:6]:
        position = np.array(dataset.ImagePositionPatient, float) + shift
        dataset.ImagePositionPatient = [f"{v:.6f}" for v in position]
    write(mask(), saved(datasets, tmp_path / "in", mask()), tmp_path / "out")
    uids = {d.SOPInstanceUID: d for d in datasets}
    for segmentation in segmentations(tmp_path / "out")[:-1]:
        for _, _, group in frames(segmentation):
            image = uids[source_of(group).ReferencedSOPInstanceUID]
            assert group.PlanePositionSequence[0].ImagePositionPatient == image.ImagePositionPatient
    np.testing.assert_array_equal(read_dicom_segs(tmp_path / "out", mask()).array, mask().array)


@pytest.mark.parametrize(
    ("fault", "alone", "repaired"),
    [
        ("slice spacing: missing", 1, 0),  # no image lies there
        ("slice spacing: special", 0, 0),
        ("rotation", 0, 1),
        ("rotation, 90 degrees", 0, 1),
        ("pixel spacing, larger", 0, 1),
        ("image size, padded", 0, 1),
        ("missing frame", 0, 0),
        ("rescaled", 0, 0),
    ],
)
def test_after_a_repair_slices_say_whether_they_have_the_pixels_of_their_image(
    fault, alone, repaired, tmp_path
):
    x, y, z, t = np.ogrid[:36, :40, :6, :5]
    grey = 1500 + 700 * np.sin(x / 7 + t / 3) * np.cos(y / 5 + z) + 40 * z
    cine = Cine(grey, (1.4, 1.6, 8.0), AFFINE, tuple(100.0 * n for n in range(5)))
    faulty = inject(dicom_datasets(cine, style="siemens"), [fault], np.random.default_rng(1))
    write_datasets(faulty.datasets, tmp_path / "in", np.random.default_rng(0))
    run = curate(tmp_path / "in", tmp_path / "curated", options=Options(keep_ids=True))
    (name,) = run.studies["study"]
    grid = load_image(tmp_path / "curated" / name / "sa.nii.gz")
    labels = grid.with_array((grid.array > BRIGHT).astype(np.uint8))
    path, *_ = write(labels, run.sources[name], tmp_path / "out")
    np.testing.assert_array_equal(read_dicom_segs(tmp_path / "out", labels).array, labels.array)
    files = {d.SOPInstanceUID: d for d in faulty.datasets}
    references = []
    for _, covered, group in frames(pydicom.dcmread(path)):
        references.append(source_of(group))
        if references[-1] and references[-1].SpatialLocationsPreserved == "YES":
            image = files[references[-1].ReferencedSOPInstanceUID]
            np.testing.assert_array_equal(covered, apply_rescale(image.pixel_array, image) > BRIGHT)
    assert references.count(None) == alone
    assert sum(r.SpatialLocationsPreserved == "NO" for r in references if r) == repaired


def test_segmentations_of_an_earlier_run_are_removed(sources, tmp_path):
    stale = tmp_path / "out" / "phase_04.dcm"
    stale.parent.mkdir()
    stale.write_bytes(b"")
    paths = write(mask(), sources, tmp_path / "out")
    assert sorted((tmp_path / "out").iterdir()) == paths


def test_a_pixel_size_that_nobody_knows_makes_no_segmentation(sources, tmp_path):
    with pytest.raises(DataError, match="needs the pixel size"):
        write(replace(mask(), spacing=(np.nan,) * 3), sources, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_gone_or_truncated_is_named_without_its_path(sources, tmp_path):
    path, _ = sources[1, 2]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"slice 1, frame 2 cannot be used: the file is truncated") as error:
        write(mask(), sources, tmp_path / "out")
    assert str(tmp_path) not in str(error.value)
    path.unlink()
    with pytest.raises(
        DataError, match=r"slice 1, frame 2 cannot be used: the file cannot be read \(No such"
    ):
        write(mask(), sources, tmp_path / "out")


def test_wrong_sources_are_refused(sources, tmp_path):
    with pytest.raises(DataError, match="holds 1 image"):
        write(mask(), sources | {(0, 0): (sources[0, 0][0], 1)}, tmp_path / "out")
    with pytest.raises(DataError, match="none of them is known"):
        write(mask(), {}, tmp_path / "out")
    with pytest.raises(ValueError, match="4 slices and 3 frames"):
        write(mask(), {(4, 0): sources[0, 0]}, tmp_path / "out")
    elsewhere = replace(mask(), affine=AFFINE + np.array([[0, 0, 0, 500.0]] * 3 + [[0] * 4]))
    with pytest.raises(DataError, match="lie elsewhere"):
        write(elsewhere, sources, tmp_path / "out")


def test_images_without_uids_cannot_be_referred_to(tmp_path):
    datasets = images(mask(), acquisition=Acquisition(series_number=3))
    del datasets[0].SOPInstanceUID
    datasets[0].file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    files = saved(datasets, tmp_path / "in", mask())
    with pytest.raises(DataError, match="lacks the UIDs"):
        write(mask(), files, tmp_path / "out")


def test_slices_without_a_known_image_refer_to_none(sources, tmp_path):
    some = {(z, t): source for (z, t), source in sources.items() if z != 1 and t != 1}
    path, second, _ = write(mask(), some, tmp_path / "out")
    assert "ReferencedSeriesSequence" not in pydicom.dcmread(second)
    assert sum(source_of(group) is None for _, _, group in frames(pydicom.dcmread(path))) == 3
    np.testing.assert_array_equal(read_dicom_segs(tmp_path / "out", mask()).array, mask().array)


def test_a_folder_that_cannot_be_written_is_told(sources, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write(mask(), sources, tmp_path / "file" / "out")


def test_reading_tells_what_is_wrong(sources, tmp_path):
    paths = write(mask(), sources, tmp_path / "out")
    moved = replace(mask(), affine=AFFINE + np.array([[0, 0, 0, 5.0]] * 3 + [[0] * 4]))
    with pytest.raises(DataError, match="lies on another grid"):
        read_dicom_segs(tmp_path / "out", moved)
    other = pydicom.dcmread(paths[0])
    other.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "82471001"
    other.save_as(paths[0])
    with pytest.raises(DataError, match="structure of code 82471001"):
        read_dicom_segs(tmp_path / "out", mask())
    paths[0].write_bytes(paths[1].read_bytes()[:3000])
    with pytest.raises(DataError, match="no DICOM segmentation that can be read"):
        read_dicom_segs(tmp_path / "out", mask())
    shutil.copy(sources[0, 0][0], paths[0])
    with pytest.raises(DataError, match="no DICOM segmentation that can be read"):
        read_dicom_segs(tmp_path / "out", mask())
    paths[0].unlink()
    with pytest.raises(DataError, match=r"2 segmentation\(s\) phase_\*.dcm, and the cine has 3"):
        read_dicom_segs(tmp_path / "out", mask())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # of the public data
def test_a_real_examination_is_covered_where_it_is_bright(test_data, tmp_path):
    folder = test_data / "sunnybrook_dicom" / "SCD0000101" / "dicom"
    if not folder.is_dir():
        pytest.skip(f"no real examination at {folder}")
    run = curate(folder, tmp_path / "curated", options=Options(keep_ids=True))
    (name,) = run.studies["study"]
    grid = load_image(tmp_path / "curated" / name / "sa.nii.gz")
    bright = grid.with_array((grid.array > 400).astype(np.uint8))
    write(bright, run.sources[name], tmp_path / "out")
    np.testing.assert_array_equal(read_dicom_segs(tmp_path / "out", bright).array, bright.array)
    paths = {pydicom.dcmread(p, specific_tags=["SOPInstanceUID"]).SOPInstanceUID: p for p in folder.iterdir()}
    for segmentation in segmentations(tmp_path / "out")[::7]:
        pixels = segmentation.pixel_array
        for covered, group in zip(pixels, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
            image = pydicom.dcmread(paths[source_of(group).ReferencedSOPInstanceUID])
            np.testing.assert_array_equal(covered > 0, image.pixel_array > 400)
            position = group.PlanePositionSequence[0].ImagePositionPatient
            np.testing.assert_allclose(position, image.ImagePositionPatient, atol=1e-6)
