"""From the native grid to the network and exactly back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cmrseg.cine import Cine, fit
from cmrseg.preprocess import (
    DIVISOR,
    Preprocessing,
    mask_to_slices,
    most_likely,
    neighbour_table,
    network_images,
    network_input,
    network_shape,
    normalise,
    padded_shape,
    restore,
    to_slices,
    to_unit_range,
)
from cmrseg.problems import DataError

AS_IT_IS = Preprocessing(pixel_mm=None)


def disk(x, y, radius, *, z=1, t=1, spacing=(1.5, 1.5, 8.0)):
    """Cine of a ring of myocardium (2) around a cavity (1), a little off the centre."""
    px, py = np.ogrid[:x, :y]
    r = np.hypot((px - 0.45 * x) * spacing[0], (py - 0.55 * y) * spacing[1])
    mask = np.where(r <= 0.6 * radius, 1, np.where(r <= radius, 2, 0)).astype(np.uint8)
    return Cine(np.repeat(np.repeat(mask[:, :, None, None], z, 2), t, 3), spacing)


def padded(images, spec):
    """Images as a network sees them."""
    return fit(images, padded_shape(images.shape[-2:], spec))


def round_trip(mask, spec):
    """Mask to the network's grid, padded one-hot as a perfect answer, and back."""
    labels = mask_to_slices(mask, spec, 4)
    answer = np.stack([padded(labels, spec) == label for label in range(4)], axis=1).astype(np.float32)
    back, _ = restore(answer, mask, spec)
    x, y, z, t = mask.array.shape
    return most_likely(back).reshape(t, z, y, x).transpose(3, 2, 1, 0)


@pytest.mark.parametrize("shape", [(64, 64), (65, 64), (64, 71), (33, 95), (5, 130)])
def test_without_resampling_a_mask_comes_back_exactly(shape):
    mask = disk(*shape, 20.0, z=2, t=3)
    np.testing.assert_array_equal(round_trip(mask, AS_IT_IS), mask.array)


def test_pixels_of_the_models_own_size_come_back_exactly():
    mask = disk(81, 70, 30.0)
    np.testing.assert_array_equal(round_trip(mask, Preprocessing(pixel_mm=1.5)), mask.array)


@pytest.mark.parametrize("spacing", [(0.9, 0.9, 8.0), (1.2, 1.9, 8.0), (0.7, 1.1, 10.0)])
@pytest.mark.parametrize("label", [1, 2])
def test_resampled_masks_come_back_at_a_dice_above_098(spacing, label):
    mask = disk(151, 140, 35.0, spacing=spacing)
    back, truth = round_trip(mask, Preprocessing(pixel_mm=1.0)) == label, mask.array == label
    assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) > 0.98


def test_resampling_shifts_nothing():
    px, py = np.ogrid[:101, :93]
    shifts = []
    for x, y in np.random.default_rng(0).uniform(40, 60, (60, 2)):  # one mask is only exact to a pixel
        disk_px = np.hypot((px - x) * 0.8, (py - y) * 1.1) < 20
        mask = Cine(disk_px[:, :, None, None].astype(np.uint8), (0.8, 1.1, 8.0))
        back = round_trip(mask, Preprocessing(pixel_mm=1.5))
        shifts.append(
            [n.mean() - m.mean() for n, m in zip(back.nonzero()[:2], mask.array.nonzero(), strict=False)]
        )
    np.testing.assert_allclose(np.mean(shifts, axis=0), 0, atol=0.1)


def test_rows_of_a_network_image_are_y():
    array = np.zeros((40, 30, 1, 1), np.float32)
    array[7, 3] = 1
    (image,) = to_slices(Cine(array, (1.5, 1.5, 8.0)), Preprocessing(high_percentile=100))
    assert image.shape == (30, 40)
    assert image[3, 7] == 1


def test_slices_of_one_frame_are_side_by_side():
    array = np.arange(6, dtype=np.float32).reshape(1, 1, 3, 2)  # value 2 z + t
    slices = to_slices(Cine(array, (1.5, 1.5, 8.0)), Preprocessing(low_percentile=0, high_percentile=100))
    np.testing.assert_allclose(slices.ravel() * 5, [0, 2, 4, 1, 3, 5], atol=1e-6)


@pytest.mark.parametrize(
    ("spacing", "pixel_mm", "expected"),
    [
        ((1.5, 3.0, 8.0), 1.5, (200, 100)),
        ((0.75, 0.75, 8.0), 1.5, (50, 50)),
        ((np.nan, np.nan, np.nan), 1.5, (100, 100)),
        ((1.5, 3.0, 8.0), None, (100, 100)),
        ((0.001, 0.001, 8.0), 1.5, (1, 1)),
    ],
)
def test_network_shape_keeps_the_field_of_view(spacing, pixel_mm, expected):
    cine = Cine(np.zeros((100, 100, 1, 1)), spacing)
    assert network_shape(cine, Preprocessing(pixel_mm=pixel_mm)) == expected


def test_the_longer_side_gets_the_size_and_the_shorter_one_is_padded():
    cine = Cine(np.full((512, 472, 1, 1), 50.0), (0.66, 0.66, 6.0))
    cine.array[0, 0] = 51  # or there were no contrast
    spec = Preprocessing(pixel_mm=None, size=256, rgb=True, resize="longer_side", grey="png")
    images = network_images(cine, spec)
    assert network_shape(cine, spec) == (236, 256)
    assert images.shape == (256, 256)
    np.testing.assert_allclose(images.slices[0, :10], 0)
    np.testing.assert_allclose(images.slices[0, 246:], 0)


@pytest.mark.parametrize(("x", "y"), [(512, 472), (472, 512), (192, 192), (120, 160), (93, 250)])
def test_a_mask_comes_back_from_an_image_that_was_resized_as_a_whole(x, y):
    mask = disk(x, y, 0.18 * min(x, y), spacing=(1.0, 1.0, 6.0))
    back = round_trip(mask, Preprocessing(pixel_mm=None, size=256, resize="longer_side"))
    for label in (1, 2):
        found, truth = back == label, mask.array == label
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) >= 0.98


@pytest.mark.parametrize("shape", [(512, 472), (120, 160), (192, 192)])
def test_the_image_is_the_one_that_fastai_resizes_and_pads(shape):
    fastai = pytest.importorskip("fastai.vision.all")
    array = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    array = np.kron(array, np.ones((8, 8), np.uint8))[: shape[0], : shape[1]]
    resize = fastai.Resize(128, method="pad", pad_mode="zeros")
    theirs = np.asarray(resize(fastai.PILImageBW.create(array), split_idx=1)) / 255
    spec = Preprocessing(pixel_mm=None, size=128, resize="longer_side", grey="png")
    ours = network_images(Cine(array.T[..., None, None].astype(np.float32), (1.0, 1.0, 1.0)), spec).slices[0]
    assert ours.shape == theirs.shape
    inner = [128 * side // max(shape) - 2 for side in shape]
    assert np.abs(fit(ours, inner) - fit(theirs, inner)).max() < 1.5 / 255  # its edge is mixed with padding


def test_a_mode_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="resize must be one of pixel_mm, longer_side, got 'squish'"):
        Preprocessing(resize="squish")
    with pytest.raises(
        ValueError, match="grey must be one of percentiles, slice_percentiles, png, got 'window'"
    ):
        Preprocessing(grey="window")
    with pytest.raises(ValueError, match=r"no pixel_mm of its own, got 1\.5"):
        Preprocessing(resize="longer_side")


def test_8_bit_grey_values_are_divided_by_255():
    array = np.array([0, 51, 102, 204.0]).reshape(2, 2, 1, 1)
    spec = Preprocessing(grey="png")
    np.testing.assert_allclose(to_unit_range(array, spec), array / 255, atol=1e-7)


def test_other_grey_values_are_stretched_slice_by_slice_to_8_bits():
    array = np.array([[[100, 100], [200, 300]], [[400, 1100], [160, 100]]], float)[..., None]  # 2 x 2 x 2
    unit = to_unit_range(array, Preprocessing(grey="png"))
    expected = [[[0, 0], [0.333333, 0.2]], [[1, 1], [0.2, 0]]]
    np.testing.assert_allclose(unit[..., 0], expected, atol=1e-5)
    assert not to_unit_range(np.full((2, 2, 1, 1), 300.0), Preprocessing(grey="png")).any()


@pytest.mark.parametrize("n", [1, 31, 32, 33, 64, 95])
def test_padding_is_to_the_next_multiple_and_even(n):
    padded = fit(np.ones((1, n, 32), np.float32), padded_shape((n, 32), AS_IT_IS))
    size = -(-n // DIVISOR) * DIVISOR
    assert padded.shape == (1, size, 32)
    before = int(padded[0, :, 0].argmax())
    assert before == (size - n) // 2
    assert padded.sum() == n * 32


def test_the_ends_repeat_and_frames_do_not_mix():
    assert neighbour_table(3, 2, 3).tolist() == [
        [0, 0, 1], [0, 1, 2], [1, 2, 2], [3, 3, 4], [3, 4, 5], [4, 5, 5],
    ]  # fmt: skip


def test_a_single_slice_is_its_own_neighbour():
    assert neighbour_table(1, 2, 5).tolist() == [[0] * 5, [1] * 5]


def test_without_neighbours_every_slice_is_alone():
    assert neighbour_table(2, 2, 1).tolist() == [[0], [1], [2], [3]]


def test_every_slice_has_percentiles_of_its_own():
    spec = Preprocessing(low_percentile=10, high_percentile=90, grey="slice_percentiles")
    first = np.arange(101.0).reshape(101, 1)
    study = np.stack([first, 5 * first + 40], axis=2)[..., None]
    values = to_unit_range(study, spec)
    np.testing.assert_allclose(values[:, 0, 0, 0], values[:, 0, 1, 0], atol=1e-6)
    assert values[10, 0, 0, 0] == 0
    assert values[90, 0, 0, 0] == 1


def test_percentiles_become_zero_and_one():
    values = to_unit_range(np.arange(101.0), Preprocessing(low_percentile=10, high_percentile=90))
    np.testing.assert_allclose(values[[0, 10, 50, 90, 100]], [0, 0, 0.5, 1, 1])
    assert values.dtype == np.float32


def test_an_image_without_contrast_becomes_zero():
    assert not to_unit_range(np.full((4, 4), 1000.0), Preprocessing()).any()


def test_an_image_without_contrast_gives_finite_input():
    cine = Cine(np.full((40, 40, 2, 1), 7.0, np.float32), (1.5, 1.5, 8.0))
    spec = Preprocessing()
    assert not network_input(network_images(cine, spec), slice(None)).any()


def test_every_image_has_zero_mean_and_unit_sd():
    grey = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = grey * torch.tensor([1, 5, 0.1])[:, None, None, None]
    out = normalise(images, Preprocessing(neighbours=3))
    torch.testing.assert_close(out.mean(dim=(1, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(dim=(1, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


def test_rgb_is_imagenets_convention():
    out = normalise(torch.ones(2, 1, 4, 4), Preprocessing(rgb=True))
    assert out.shape == (2, 3, 4, 4)
    expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(out[0, :, 0, 0], expected)


SPECS = [
    (Preprocessing(), 1),
    (Preprocessing(neighbours=5), 5),
    (Preprocessing(rgb=True), 3),
    (Preprocessing(rgb=True, neighbours=3), 3),
]


def noise(*shape, spacing=(1.4, 1.4, 8.0)):
    return Cine(np.random.default_rng(0).uniform(0, 900, shape).astype(np.float32), spacing)


@pytest.mark.parametrize(("spec", "channels"), SPECS)
def test_the_input_has_the_channels_that_the_network_expects(spec, channels):
    assert spec.channels == channels
    images = network_images(noise(70, 40, 5, 1), replace(spec, pixel_mm=None))
    assert network_input(images, slice(2, 4)).shape == (2, channels, 64, 96)


@pytest.mark.parametrize(("spec", "_channels"), SPECS)
def test_prediction_sees_what_training_shows(spec, _channels):
    cine = noise(50, 45, 3, 2)
    images = network_images(cine, spec)
    shown = normalise(torch.from_numpy(images.slices[images.neighbours]), spec)
    torch.testing.assert_close(
        torch.from_numpy(network_input(images, slice(None))), shown, atol=1e-5, rtol=1e-5
    )


def test_a_part_of_the_field_looks_as_in_the_whole():
    images = network_images(noise(90, 100, 3, 2), Preprocessing(neighbours=3))
    box = slice(32, 64), slice(0, 32)
    whole = network_input(images, slice(None))
    np.testing.assert_array_equal(network_input(images, slice(None), box), whole[:, :, *box])


# Interpolation against torch's


@pytest.mark.parametrize(("n", "m"), [(256, 280), (70, 95), (40, 40), (7, 1)])
def test_enlarged_images_are_those_of_torch(n, m):
    cine = noise(n, 33, 2, 1, spacing=(m / n, 1.0, 8.0))
    spec = Preprocessing(pixel_mm=1.0)
    ours = to_slices(cine, spec)
    grey = torch.from_numpy(to_slices(cine, replace(spec, pixel_mm=None)))
    theirs = F.interpolate(grey[:, None], (33, m), mode="bilinear", align_corners=False)[:, 0]
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_images_that_shrink_are_antialiased_as_torch_does():
    cine = noise(101, 90, 2, 1, spacing=(0.6, 0.4, 8.0))
    ours = to_slices(cine, Preprocessing(pixel_mm=1.0))
    grey = torch.from_numpy(to_slices(cine, AS_IT_IS))
    theirs = F.interpolate(grey[:, None], (36, 61), mode="bilinear", antialias=True)[:, 0]
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("spacing", [(0.8, 1.1, 8.0), (1.9, 1.3, 8.0)])
def test_probabilities_come_back_as_torch_would_interpolate_them(spacing):
    cine, spec = Cine(np.zeros((61, 77, 1, 1), np.float32), spacing), Preprocessing(pixel_mm=1.5)
    h, w = network_shape(cine, spec)
    random = np.random.default_rng(0).uniform(size=(2, 3, h, w)).astype(np.float32)
    ours, area = restore(padded(random, spec), cine, spec)
    theirs = F.interpolate(torch.from_numpy(random), (77, 61), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
    assert area == (slice(0, 77), slice(0, 61))


def test_a_part_comes_back_as_in_the_whole():
    cine, spec = Cine(np.zeros((150, 140, 1, 1), np.float32), (0.8, 1.1, 8.0)), Preprocessing(pixel_mm=1.0)
    random = np.random.default_rng(0).uniform(size=(2, 3, 160, 128)).astype(np.float32)
    box = (slice(32, 96), slice(64, 128))
    whole, _ = restore(random, cine, spec)
    part, area = restore(random[:, :, *box], cine, spec, box)
    np.testing.assert_allclose(part, whole[:, :, *area], atol=1e-6)
    assert [a.stop - a.start for a in area] == [57, 74]


def test_of_equally_likely_classes_the_first_is_taken():
    probabilities = np.array([[0.2, 0.4, 0.4], [0.3, 0.3, 0.1], [0.1, 0.2, 0.7]], np.float32)
    assert most_likely(probabilities[:, :, None, None]).ravel().tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pixel_mm": 0.0}, "pixel_mm must be positive"),
        ({"size": 100}, "multiple of 32"),
        ({"size": 0}, "multiple of 32"),
        ({"neighbours": 2}, "odd number"),
        ({"neighbours": -1}, "odd number"),
        ({"rgb": True, "neighbours": 5}, "3 channels"),
        ({"pixel_mm": 1e-6}, "pixel_mm must be positive, from 0.05 to 10"),
        ({"pixel_mm": float("nan")}, "pixel_mm must be positive"),
        ({"pixel_mm": float("inf")}, "pixel_mm must be positive"),
        ({"size": 3_200_000_000}, "multiple of 32 up to 2048"),
        ({"neighbours": 20_001}, "up to 63"),
        ({"low_percentile": 99.5, "high_percentile": 0.5}, "low_percentile must be below"),
        ({"low_percentile": 5.0, "high_percentile": 5.0}, "low_percentile must be below"),
        ({"high_percentile": 101.0}, "from 0 to 100"),
        ({"low_percentile": float("nan")}, "from 0 to 100"),
    ],
)
def test_a_wrong_setting_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**wrong)


def test_an_image_that_the_model_would_blow_up_is_refused_before_memory_is_taken():
    cine = Cine(np.zeros((100, 100, 1, 1), np.float32), (15.0, 15.0, 8.0))
    with pytest.raises(DataError, match=r"15 x 15 mm are far larger than the model's 0\.05 mm"):
        network_images(cine, Preprocessing(pixel_mm=0.05))
    assert network_shape(Cine(cine.array, (5.0, 5.0, 8.0)), Preprocessing(pixel_mm=1.25)) == (400, 400)
