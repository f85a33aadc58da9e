"""One image and what augmentations make of it."""

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.data.catalog import read_catalog
from cmrseg.io.images import save_image, save_mask
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.report.figures import png_bytes
from cmrseg.training.augmentation_figure import augmentation_figure

GRID = Preprocessing(pixel_mm=1.5, size=32)


@pytest.fixture
def catalog(tmp_path):
    """A study whose left ventricle is largest in slice 1."""
    x, y = np.ogrid[:48, :48]
    r = np.hypot(x - 24, y - 24)
    mask = np.stack([np.where(r < s, 1, np.where(r < s + 3, 2, 0)) for s in (3, 7, 5)], 2)[..., None]
    image = np.random.default_rng(0).random(mask.shape) + (mask == 1) * np.arange(1, 4)[:, None]
    spacing, affine = (1.5, 1.5, 8.0), np.diag([1.5, 1.5, 8.0, 1.0])
    save_image(Cine(image.astype(np.float32), spacing, affine), tmp_path / "a" / "sa.nii.gz")
    save_mask(Cine(mask.astype(np.uint8), spacing, affine), tmp_path / "a" / "seg.nii.gz")
    return read_catalog(tmp_path)


def shown(figure):
    return [np.asarray(ax.images[0].get_array()) for ax in figure.axes]


def test_a_row_is_the_stored_image_and_its_versions(catalog):
    figure = augmentation_figure(catalog, ["s1", "s3"], preprocessing=GRID, n=2)
    assert [ax.get_ylabel() for ax in figure.axes] == ["s1", "", "", "s3", "", ""]
    assert [image.shape for image in shown(figure)] == [(32, 32)] * 3 + [(64, 64)] + [(32, 32)] * 2


def test_versions_differ_and_have_their_contours(catalog):
    figure = augmentation_figure(catalog, ["s2"], preprocessing=GRID, n=2)
    _, one, other = shown(figure)
    assert np.abs(one - other).mean() > 0.01
    assert all(len(ax.collections) == 2 for ax in figure.axes)


def test_the_image_is_that_with_the_largest_left_ventricle(catalog):
    stored = augmentation_figure(catalog, ["s1"], preprocessing=GRID, n=1).axes[0]
    (lv,) = [c for c in stored.collections if c.get_edgecolor()[0][0] > 0.8]  # orange
    width = np.ptp(lv.get_paths()[0].vertices[:, 0])
    assert width == pytest.approx(14, abs=1.5)


@pytest.mark.parametrize("name", ["s1", "s3"])
def test_the_seed_alone_decides(catalog, name):
    def draw(seed):
        return png_bytes(augmentation_figure(catalog, [name], preprocessing=GRID, n=1, seed=seed), dpi=40)

    assert draw(0) == draw(0) != draw(1)


def test_an_unknown_augmentation_is_told(catalog):
    with pytest.raises(ValueError, match="unknown augmentation 's9'"):
        augmentation_figure(catalog, ["s9"])


def test_images_without_masks_are_told(catalog):
    (catalog.root / "a" / "seg.nii.gz").unlink()
    with pytest.raises(DataError, match="no images with masks"):
        augmentation_figure(read_catalog(catalog.root, masks=False))
