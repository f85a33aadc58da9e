"""One person under two names counts once, and is on one side of every split."""

import gzip

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.data.catalog import assign_splits, read_catalog
from cmrseg.data.twins import twins
from cmrseg.io.images import save_image, save_mask


def subject(folder, name, *, seed, radius=4):
    """A stack of noise with a disk for truth."""
    grey = np.random.default_rng(seed).normal(100, 20, (24, 24, 3, 1)).astype(np.float32)
    x, y = np.ogrid[:24, :24]
    mask = np.repeat((np.hypot(x - 12, y - 12) < radius)[..., None, None], 3, axis=2).astype(np.uint8)
    save_image(Cine(grey, (1.0, 1.0, 8.0)), folder / name / "sa.nii.gz")
    save_mask(Cine(mask, (1.0, 1.0, 8.0)), folder / name / "truth.nii.gz")


@pytest.fixture
def data(tmp_path):
    """Six subjects; b's images are also called e, where others contoured them."""
    for seed, name in enumerate("abcd"):
        subject(tmp_path, name, seed=seed)
    subject(tmp_path, "e", seed=1, radius=5)
    subject(tmp_path, "f", seed=9)
    return tmp_path


def test_equal_images_are_found_however_they_are_compressed(data):
    path = data / "e" / "sa.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=7))
    catalog = read_catalog(data)
    assert twins(catalog.table) == {"e": "b"}
    assert [note for note in catalog.notes if "same images" in note] == [
        "the same images under two names, taken as one patient: b and e"
    ]


def test_twins_are_drawn_to_one_side(data):
    for seed in range(8):
        splits = assign_splits(read_catalog(data), seed=seed).table.groupby("subject")["split"].first()
        assert splits["b"] == splits["e"]


def test_twins_on_two_sides_are_told(data):
    (data / "splits.csv").write_text("subject,split\na,train\nb,train\nc,train\nd,val\ne,test\nf,test\n")
    notes = read_catalog(data).notes
    assert "1 subject(s) are in more than one split: b" in notes


def test_blank_ends_of_stacks_are_nobody(tmp_path):
    """Of three images of each subject one is the same."""
    from PIL import Image

    rng = np.random.default_rng(0)
    same = rng.integers(0, 255, (64, 64), dtype=np.uint8)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for z in range(3):
            grey = same if z == 0 else rng.integers(0, 255, (64, 64), dtype=np.uint8)
            Image.fromarray(grey).save(tmp_path / name / f"{name}_sl{z}.png")
    assert twins(read_catalog(tmp_path).table) == {}


def test_real_patients_74_and_76_of_acdc_are_one(test_data):
    if not (test_data / "acdc").exists():
        pytest.skip(f"no data at {test_data}")
    catalog = read_catalog(test_data / "acdc")
    assert twins(catalog.table) == {"patient076": "patient074"}
    assert "1 subject(s) are in more than one split: patient074" in catalog.notes
