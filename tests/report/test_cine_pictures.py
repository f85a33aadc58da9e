"""Mosaics and animations of a small synthetic heart."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from cmrseg.cine import Cine
from cmrseg.labels import STRUCTURES, Label
from cmrseg.report.cine_pictures import overlay_figure, write_animation
from cmrseg.report.figures import COLOURS, png_bytes

TIMES = (0.0, 40.0, 80.0)


def study(slices=5, frames=3, spacing=(1.4, 1.4, 8.0), times=TIMES, empty=False):
    """Image and mask with base first; the heart is smaller towards the apex and in frame 1."""
    x, y = np.ogrid[-48:48, -48:48]
    mask = np.zeros((96, 96, slices, frames), np.uint8)
    for z in range(slices):
        for t in range(frames):
            radius = 16 - 2 * z - 3 * (t == 1)
            away = np.hypot(x, y)
            mask[..., z, t][np.hypot(x + 20, y) < 12] = Label.RV
            mask[..., z, t][away < radius + 6] = Label.MYO
            mask[..., z, t][away < radius] = Label.LV
    image = (mask == Label.LV) * 200.0 + (mask == Label.RV) * 150.0 + 20
    affine = np.eye(4)
    return Cine(image, spacing, affine, times), Cine(mask * (not empty), spacing, affine, times)


def texts(figure):
    return [t.get_text() for ax in figure.axes for t in ax.texts]


def frames_of(path):
    with Image.open(path) as picture:
        return [np.asarray(_at(picture, i).convert("RGB")) for i in range(picture.n_frames)]


def _at(picture, frame):
    picture.seek(frame)
    return picture


def has_colour(picture, label, tolerance=40):
    away = abs(picture.astype(int) - np.multiply(to_rgb(COLOURS[label]), 255)).max(axis=-1)
    return (away < tolerance).sum() > 50


def test_both_frames_show_every_slice_from_base_to_apex():
    figure = overlay_figure(*study(), frames=(0, 1))
    assert [ax.get_title() for ax in figure.axes] == ["ED, frame 0, 0 ms", "ES, frame 1, 40 ms"]
    names = ["base, slice 0", "slice 1", "slice 2", "slice 3", "apex, slice 4"]
    assert texts(figure) == names * 2


def test_a_stack_that_starts_at_the_apex_is_turned_round():
    image, mask = (Cine(c.array[:, :, ::-1], c.spacing, c.affine, TIMES) for c in study())
    assert texts(overlay_figure(image, mask, frames=(0,)))[0] == "base, slice 4"


def test_the_mosaic_is_cropped_around_the_heart():
    image, mask = study(slices=1)
    shown = overlay_figure(image, mask, frames=(0,)).axes[0].images[0].get_array()
    assert shown.shape[1] < 96
    assert shown.shape[1] >= 32 + 22  # the RV from 32 mm on the left, the wall until 22


def test_contours_have_the_colours_of_the_structures(tmp_path):
    path = tmp_path / "overlay.png"
    path.write_bytes(png_bytes(overlay_figure(*study(), frames=(0, 1)), dpi=100))
    (picture,) = frames_of(path)
    assert all(has_colour(picture, label) for label in STRUCTURES)


def test_one_frame_of_unknown_time_is_named_by_its_number():
    figure = overlay_figure(*study(times=()), frames=(2,))
    assert figure.axes[0].get_title() == "frame 2"


def test_an_empty_mask_shows_the_whole_image():
    image, mask = study(empty=True)
    figure = overlay_figure(image, mask, frames=(0, 1))
    assert figure.axes[0].images[0].get_array().shape[1] >= 5 * 96


@pytest.mark.parametrize(("frames", "shown"), [((), "[]"), ((0, 3), "[0, 3]")])
def test_frames_outside_the_cine_are_refused(frames, shown):
    with pytest.raises(ValueError, match="from 0 to 2") as complaint:
        overlay_figure(*study(), frames=frames)
    assert shown in str(complaint.value)


def test_a_mask_on_another_grid_is_refused(tmp_path):
    image, mask = study()[0], study(slices=4)[1]
    with pytest.raises(ValueError, match="one grid"):
        overlay_figure(image, mask, frames=(0, 1))
    with pytest.raises(ValueError, match="one grid"):
        write_animation(image, mask, tmp_path / "cine.webp")


@pytest.mark.parametrize("name", ["cine.webp", "cine.gif"])
def test_the_animation_plays_every_frame_with_contours(tmp_path, name):
    path = write_animation(*study(), tmp_path / name)
    pictures = frames_of(path)
    assert len(pictures) == 3
    assert all(has_colour(pictures[0], label) for label in STRUCTURES)
    assert not np.array_equal(pictures[0], pictures[1])
    with Image.open(path) as picture:
        assert picture.info["loop"] == 0
    assert [p.name for p in tmp_path.iterdir()] == [name]  # no temporary file is left


def test_the_heart_beats_at_its_own_pace(tmp_path):
    path = write_animation(*study(times=(0.0, 40.0, 120.0)), tmp_path / "cine.webp")
    with Image.open(path) as picture:
        durations = []
        for frame in range(3):
            _at(picture, frame).load()
            durations.append(picture.info["duration"])
    assert durations == [40, 80, 60]


@pytest.mark.parametrize("times", [(), (0.0, 0.0, 0.0)])
def test_frames_of_unknown_time_last_the_same(tmp_path, times):
    path = write_animation(*study(times=times), tmp_path / "cine.gif")
    with Image.open(path) as picture:
        assert picture.info["duration"] == 50


def test_pixels_that_are_not_square_are_shown_as_they_are(tmp_path):
    square, tall = (
        frames_of(write_animation(*study(spacing=(1.0, dy, 8.0)), tmp_path / f"{dy}.gif"))[0].shape
        for dy in (1.0, 2.0)
    )
    assert tall[1] == square[1]
    assert tall[0] > 1.9 * (square[0] - 18)


def test_one_slice_and_one_frame_are_enough(tmp_path):
    image, mask = study(slices=1, frames=1, times=(0.0,))
    assert len(frames_of(write_animation(image, mask, tmp_path / "cine.webp"))) == 1


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.webp or \.gif"):
        write_animation(*study(), tmp_path / "cine.mp4")
