"""Two real studies: the volume is the files, the affine is their headers, contours lie on the endocardium."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from scipy.ndimage import binary_dilation
from scipy.stats import mannwhitneyu
from skimage.draw import polygon2mask

from cmrseg.curation.rules import Rules
from cmrseg.curation.run import Options, curate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Invalid value for VR UI")]
STUDIES = {
    "SCD0000101": ((256, 256, 12, 20), (1.367188, 1.367188, 10.0)),
    "SCD0000501": ((256, 256, 11, 20), (1.367188, 1.367188, 8.0)),
}
RING_PIXELS = 3
SEPARATED = 0.8  # of all pairs of pixels


@pytest.fixture(scope="module")
def run(test_data, tmp_path_factory):
    """Target folder, and what the run says."""
    source = test_data / "sunnybrook_dicom"
    if not source.is_dir():
        pytest.skip(f"no studies at {source}")
    target = tmp_path_factory.mktemp("curated")
    return target, curate(source, target, options=Options(rules=Rules(keep_ids=True)))


@pytest.fixture(scope="module", params=STUDIES)
def study(request, test_data, run):
    """One study: folder name, image, its rows of used_images.tsv with their headers."""
    target, _ = run
    used = pd.read_csv(target / "used_images.tsv", sep="\t")
    used = used[used["file"].str.startswith(f"{request.param}/")]
    (name,) = used["study"].unique()
    headers = [pydicom.dcmread(test_data / "sunnybrook_dicom" / file) for file in used["file"]]
    image = nib.load(target / name / "sa.nii.gz")
    return request.param, image, list(zip(used["slice"], used["frame"], headers, strict=True)), used


def test_both_studies_are_clean(run):
    _, result = run
    assert result.studies["status"].tolist() == ["ok", "ok"]
    assert result.problems.empty


def test_size_and_spacing_are_those_of_the_study(study):
    folder, image, _, _ = study
    shape, spacing = STUDIES[folder]
    assert image.shape == shape
    np.testing.assert_allclose(image.header.get_zooms()[:3], spacing, atol=1e-3)
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_every_file_is_used_once(study):
    _, image, images, used = study
    assert len(images) == image.shape[2] * image.shape[3]
    assert used["file"].is_unique
    assert len({(z, t) for z, t, _ in images}) == len(images)


def test_every_pixel_is_that_of_its_file(study):
    _, image, images, _ = study
    volume = np.asanyarray(image.dataobj)
    for z, t, dataset in images:
        np.testing.assert_array_equal(volume[:, :, z, t].T, dataset.pixel_array)


def test_all_corners_lie_where_the_headers_say(study):
    _, image, images, _ = study
    worst = 0.0
    for z, _, dataset in images:
        row, column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        down, across = map(float, dataset.PixelSpacing)
        corner = np.array(dataset.ImagePositionPatient, float)
        for x in (0, dataset.Columns - 1):
            for y in (0, dataset.Rows - 1):
                lps = corner + x * across * row + y * down * column
                ras = (image.affine @ [x, y, z, 1])[:3]
                worst = max(worst, np.abs(ras - lps * [-1, -1, 1]).max())
    assert worst < 0.01


def test_frames_are_in_the_order_of_their_trigger_times(study):
    _, image, images, _ = study
    for z in range(image.shape[2]):
        times = [float(d.TriggerTime) for _, d in sorted((t, d) for s, t, d in images if s == z)]
        assert times == sorted(times)
        assert len(set(times)) == len(times)


def test_slices_ascend_along_the_normal(study):
    _, image, images, _ = study
    first = {z: d for z, t, d in images if t == 0}
    row, column = np.array(first[0].ImageOrientationPatient, float).reshape(2, 3)
    along = [np.array(first[z].ImagePositionPatient, float) @ np.cross(row, column) for z in sorted(first)]
    np.testing.assert_allclose(np.diff(along), image.header.get_zooms()[2], atol=0.01)


def contours(test_data, folder, used):
    """(slice, frame, vertices x y) of all expert contours of the endocardium; n is of the file n.dcm."""
    places = {
        file.rsplit("/", 1)[1]: (z, t)
        for z, t, file in zip(used["slice"], used["frame"], used["file"], strict=True)
    }
    found = sorted((test_data / "sunnybrook_dicom" / folder / "contours" / "i-contours").glob("*.txt"))
    return [(*places[f"{int(path.name.split('-')[2])}.dcm"], np.loadtxt(path)) for path in found]


def separations(volume, found):
    """How surely a pixel within a contour is brighter than one of the ring around it; blood is brighter.

    The share of pairs of pixels (area under the ROC curve): 1 is certain, 0.5 is chance.
    """
    out = []
    for z, t, vertices in found:
        picture = volume[:, :, z, t].astype(float)
        inside = polygon2mask(picture.shape, vertices)
        ring = binary_dilation(inside, iterations=RING_PIXELS) & ~inside
        wins = mannwhitneyu(picture[inside], picture[ring]).statistic
        out.append(wins / (inside.sum() * ring.sum()))
    return np.array(out)


def fit(volume, found):
    """Share of the contours that hold blood and are surrounded by muscle."""
    return (separations(volume, found) > SEPARATED).mean()


@pytest.fixture(scope="module")
def contoured(study, test_data):
    folder, image, _, used = study
    return np.asanyarray(image.dataobj), contours(test_data, folder, used)


def test_all_contours_are_of_images_that_were_used(contoured):
    assert len(contoured[1]) in (18, 22)


def test_blood_lies_within_the_contours_and_muscle_around_them(contoured):
    assert fit(*contoured) >= 0.9


WRONG = {
    "transposed": lambda v: v.transpose(1, 0, 2, 3),
    "left is right": lambda v: v[::-1],
    "upside down": lambda v: v[:, ::-1],
    "turned by 90 degrees": np.rot90,
    "turned by 180 degrees": lambda v: v[::-1, ::-1],
    "slices in the wrong order": lambda v: v[:, :, ::-1],
    "off by 8 pixels": lambda v: np.roll(v, 8, axis=0),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_contours_do_not_fit_a_wrong_image(contoured, wrong):
    """The test above asks for 0.9, and would fail."""
    volume, found = contoured
    assert fit(WRONG[wrong](volume), found) < 0.8


@pytest.mark.parametrize(("axis", "shift"), [(0, 4), (0, -4), (1, 4), (1, -4)])
def test_contours_fit_worse_four_pixels_aside(contoured, axis, shift):
    volume, found = contoured
    aside = np.roll(volume, shift, axis=axis)
    assert np.median(separations(aside, found)) < np.median(separations(volume, found))
