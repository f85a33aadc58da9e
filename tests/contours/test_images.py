"""Contours lie on the pixels of the source, also where curation has moved, turned or cropped them."""

import numpy as np
import pydicom
import pytest

from cmrseg.cine import Cine
from cmrseg.contours.draw import draw
from cmrseg.contours.images import source_images
from cmrseg.curation.run import Options, curate
from cmrseg.evaluation.contour_studies import ContourOptions, contour_truth
from cmrseg.evaluation.contours import evaluate_contours
from cmrseg.io.contours import write_contours
from cmrseg.io.cvi42 import write_cvi42
from cmrseg.io.dicom import read_headers
from cmrseg.io.images import load_image, save_mask
from cmrseg.io.outlines import label_map, mask_contours
from cmrseg.labels import Label
from cmrseg.phantom.dicom import dicom_datasets, write_datasets
from cmrseg.phantom.faults import inject
from cmrseg.problems import DataError

SHAPE = (44, 48, 6, 5)  # x y z t
BRIGHTNESS = 1000  # of a label in the images
AFFINE = np.array([[-1.4, 0, 0, 9.5], [0, -1.12, 4.8, -3.25], [0, -0.84, -6.4, 70], [0, 0, 0, 1]])


def heart():
    """Rings off the centre that differ in every slice and frame, with an RV on one side."""
    x, y, z, t = np.ogrid[tuple(slice(n) for n in SHAPE)]
    radius = np.hypot(x - 19 - z % 3, y - 22 + t % 3)
    array = np.where(radius < 4 + t % 3, Label.LV, np.where(radius < 8 + t % 3, Label.MYO, Label.BACKGROUND))
    array = np.where((x > 31) & (x < 36) & (y > 18) & (y < 28 + t % 3), Label.RV, array)
    return Cine(array.astype(np.uint8), (1.4, 1.4, 8.0), AFFINE, tuple(100.0 * n for n in range(5)))


@pytest.fixture
def curated(tmp_path):
    """A function of faults and style: source, folder of the curation, study, mask on the curated grid."""

    def make(*faults, style="ge"):
        rng = np.random.default_rng(3)
        cine = heart()
        datasets = dicom_datasets(cine.with_array(cine.array.astype(float) * BRIGHTNESS), style=style)
        if faults:
            datasets = inject(datasets, faults, rng).datasets
        write_datasets(datasets, tmp_path / "in", rng)
        run = curate(tmp_path / "in", tmp_path / "out", options=Options())
        (study,) = run.studies["study"]
        image = load_image(tmp_path / "out" / study / "sa.nii.gz")
        mask = image.with_array(np.rint(image.array / BRIGHTNESS).astype(np.uint8))
        save_mask(mask, tmp_path / "out" / study / "seg.nii.gz")
        headers = {place: read_headers(path)[plane] for place, (path, plane) in run.sources[study].items()}
        return tmp_path / "in", tmp_path / "out", study, mask, headers

    return make


def labels_of(header):
    """Labels of an image of the source, ``(x, y)``."""
    return np.rint(pydicom.dcmread(header.path).pixel_array.T / BRIGHTNESS).astype(np.uint8)


@pytest.mark.parametrize("style", ["siemens", "ge"])
@pytest.mark.parametrize(
    "fault",
    [
        (),
        ("image size, cropped",),
        ("image size, padded",),
        ("rotation, 90 degrees",),
        ("slice spacing: missing",),
    ],
)
def test_contours_of_a_mask_enclose_the_same_pixels_of_the_source(fault, style, curated):
    *_, mask, headers = curated(*fault, style=style)
    contours = mask_contours(mask, headers)
    assert len(contours) == len(set(headers.values()))
    for header, polygons in contours.items():
        found = label_map(polygons, (header.columns, header.rows))
        assert (found != labels_of(header)).sum() == 0


@pytest.mark.parametrize("style", ["siemens", "ge"])  # numbers start again in every series, or do not
@pytest.mark.parametrize(
    "fault", [(), ("image size, cropped",), ("rotation, 90 degrees",), ("missing frame",)]
)
def test_contours_in_the_pixels_of_the_source_come_back_to_the_cine(fault, style, curated, tmp_path):
    source, out, study, mask, headers = curated(*fault, style=style)
    write_contours(mask_contours(mask, headers), tmp_path / "contours")
    images = source_images(out, study, mask, source)
    drawn, problems = draw(images, tmp_path / "contours", study=study)
    assert not problems
    truth = contour_truth(drawn, mask).array
    contoured = truth.any(axis=(0, 1))  # not the copies of a frame
    assert contoured.sum() == len(set(headers.values()))
    np.testing.assert_array_equal(truth[..., contoured], mask.array[..., contoured])


def test_a_slice_that_curation_filled_in_needs_the_source(curated):
    _, out, study, mask, _ = curated("slice spacing: missing")
    with pytest.raises(DataError, match="--dicom"):
        source_images(out, study, mask)


def test_a_workspace_is_evaluated_with_the_source_at_hand(curated, tmp_path):
    source, out, _, mask, headers = curated(style="siemens")
    path = write_cvi42(mask_contours(mask, headers), tmp_path / "c.cvi42wsx")
    result = evaluate_contours(out, path, ContourOptions(dicom=source))
    assert (result.contours["dice"] == 1).all()
    assert set(result.contours["structure"]) == {"LV", "MYO", "RV"}
    with pytest.raises(DataError, match="--dicom"):
        evaluate_contours(out, path)


def test_a_workspace_of_another_examination_is_one_sentence(curated, tmp_path):
    source, out, _, mask, headers = curated()
    path = write_cvi42(mask_contours(mask, headers), tmp_path / "c.cvi42wsx")
    text = path.read_text().replace(next(iter(headers.values())).instance_uid.rsplit(".", 1)[0], "9.9")
    path.write_text(text)
    with pytest.raises(DataError, match="none is about its images"):
        evaluate_contours(out, path, ContourOptions(dicom=source))


def test_another_source_is_one_sentence(curated, tmp_path):
    _, out, study, mask, _ = curated()
    with pytest.raises(DataError, match="must name the folder that was curated"):
        source_images(out, study, mask, tmp_path / "elsewhere")
