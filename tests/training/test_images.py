"""Which frames a network is trained on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.data.catalog import read_catalog
from cmrseg.io.images import load_image, save_image, save_mask
from cmrseg.io.truth_file import save_truth
from cmrseg.labels import Label
from cmrseg.partial_labels import code_of
from cmrseg.preprocess import Preprocessing, network_images
from cmrseg.problems import DataError
from cmrseg.training.images import contoured_frames, read_training_images

SPEC = Preprocessing(size=32, neighbours=3)


def mask_of(*contoured, frames=4):
    """Two slices; the given frames hold a label in the first one."""
    mask = np.zeros((32, 32, 2, frames), np.uint8)
    mask[12:20, 12:20, 0, list(contoured)] = 1
    return mask


def test_frames_with_a_label_in_any_slice_are_contoured():
    assert contoured_frames(mask_of(0, 2)) == [0, 2]


def test_a_mask_without_any_label_keeps_all_frames():
    assert contoured_frames(mask_of(frames=3)) == [0, 1, 2]


@pytest.fixture
def cine(tmp_path):
    """A cine of which end-diastole and one later frame are contoured, as in M&Ms."""
    grey = np.broadcast_to(np.arange(4.0), (32, 32, 2, 4)).astype(np.float32)
    save_image(Cine(grey, (1.5, 1.5, 8.0)), tmp_path / "A1_sa.nii.gz")
    save_mask(Cine(mask_of(0, 2), (1.5, 1.5, 8.0)), tmp_path / "A1_sa_gt.nii.gz")
    return tmp_path


def test_only_contoured_frames_of_a_cine_are_trained_on(cine):
    images = read_training_images(read_catalog(cine), SPEC, field_px=32)
    assert len(images) == 4
    assert images.masks.flatten(1).any(1).tolist() == [True, False, True, False]


def test_grey_values_are_scaled_by_the_whole_cine(cine):
    spec = Preprocessing(size=32, low_percentile=0, high_percentile=100)
    images = read_training_images(read_catalog(cine), spec, field_px=32)
    assert images.images[:, 0, 0].tolist() == [0, 0, 170, 170]  # frame 2 of 0 to 3


def test_neighbours_are_slices_of_the_same_frame(cine):
    images = read_training_images(read_catalog(cine), SPEC, field_px=32)
    assert images.neighbours.tolist() == [[0, 0, 1], [0, 1, 1], [2, 2, 3], [2, 3, 3]]


def test_neighbours_in_time_are_frames_without_contours_and_the_first_follows_the_last(cine):
    spec = replace(SPEC, neighbours_in="time")
    images = read_training_images(read_catalog(cine), spec, field_px=32)
    assert images.places == tuple(("A1", frame, number) for frame in (0, 2) for number in (0, 1))
    frames = images.images[images.neighbours, 0, 0] // 85  # grey values of frames 0 to 3
    assert frames.tolist() == [[3, 0, 1], [3, 0, 1], [1, 2, 3], [1, 2, 3]]
    shown = network_images(load_image(cine / "A1_sa.nii.gz"), spec)
    asked = shown.slices[shown.neighbours, 0, 0].reshape(4, 2, 3)[[0, 2]].reshape(4, 3)
    np.testing.assert_allclose(asked, images.images[images.neighbours, 0, 0].numpy() / 255, atol=0.01)


def test_slices_are_cropped_or_padded_to_the_field(cine):
    images = read_training_images(read_catalog(cine), SPEC, field_px=64)
    assert images.images.shape == (4, 64, 64)


def test_nothing_usable_tells_the_first_reason(cine):
    table = pd.DataFrame({"subject": ["a"], "image": ["A1_sa.nii.gz"], "mask": ["A1_sa_gt.nii.gz"]})
    table.assign(labels="LV=7").to_csv(cine / "catalog.csv", index=False)
    with pytest.raises(DataError, match=r"label values 1 are outside the scheme"):
        read_training_images(read_catalog(cine), SPEC, field_px=32)


def test_contours_of_another_patient_are_doubtful(tmp_path):
    rng = np.random.default_rng(0)
    x, y = np.ogrid[:64, :64]

    def heart(shift, radius):
        r = np.hypot(x - 30 - shift, y - 32)
        mask = np.where(r < radius, 1, np.where(r < radius + 6, 2, 0)).astype(np.uint8)
        return np.repeat(mask[:, :, None, None], 4, axis=2)

    for name, drawn in (("own", heart(0, 10)), ("other", heart(14, 12))):
        grey = np.array([60.0, 200, 90])[heart(0, 10)] + rng.normal(0, 15, (64, 64, 4, 1))
        save_image(Cine(grey.astype(np.float32), (1.5, 1.5, 8.0)), tmp_path / f"{name}_sa_ED.nii.gz")
        save_mask(Cine(drawn, (1.5, 1.5, 8.0)), tmp_path / f"{name}_sa_ED_gt.nii.gz")
    images = read_training_images(read_catalog(tmp_path), SPEC, field_px=64)
    assert images.doubtful() == ["other"]


def test_what_a_table_beside_the_mask_calls_unknown_is_no_background(tmp_path):
    """Frame 1 has contours of the LV alone, in too few slices to tell it by themselves."""
    mask = np.zeros((32, 32, 2, 2), np.uint8)
    mask[8:24, 8:24, :, 0] = Label.MYO
    mask[12:20, 12:20] = Label.LV
    folder = tmp_path / "a"
    save_image(Cine(np.ones((32, 32, 2, 2), np.float32), (1.5, 1.5, 8.0)), folder / "sa.nii.gz")
    both, lv = (Label.LV, Label.MYO), (Label.LV,)
    known = {(0, 0): both, (0, 1): both, (1, 1): lv}
    save_truth(Cine(mask, (1.5, 1.5, 8.0)), folder, known, told={})
    images = read_training_images(read_catalog(tmp_path), SPEC, field_px=32)
    assert images.places == (("a", 0, 0), ("a", 0, 1), ("a", 1, 1))
    classes = images.with_classes([Label.BACKGROUND, Label.LV, Label.MYO], [Label.LV, Label.MYO])
    assert classes.masks[:2].unique().tolist() == [0, 1, 2]
    assert classes.masks[2].unique().tolist() == [1, code_of([2])]
    save_mask(Cine(mask * 0 + 1, (1.5, 1.5, 8.0)), folder / "truth.nii.gz")  # somebody's own mask
    assert len(read_training_images(read_catalog(tmp_path), SPEC, field_px=32)) == 4
