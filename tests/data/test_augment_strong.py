"""Strong augmentation on disks, whose size and place are known."""

import math
from dataclasses import replace

import pytest
import torch

from cmrseg.data.augment_strong import StrongAugment, augment_strong
from cmrseg.partial_labels import PADDING, code_of, join_codes

NONE = StrongAugment(
    crop_px=None,
    reverse_probability=0.0,
    rotation_max_degrees=0.0,
    flip_probability=0.0,
    scale_min_ratio=1.0,
    scale_max_ratio=1.0,
    stretch_max_ratio=1.0,
    shift_max_px=0.0,
    elastic_probability=0.0,
    gamma_probability=0.0,
    contrast_probability=0.0,
    bias_probability=0.0,
    blur_probability=0.0,
    noise_probability=0.0,
    breath_hold_probability=0.0,
    dropped_slice_probability=0.0,
)


def disks(radius=12.0, *, n=96, b=4, dx=0):
    """A batch of grey images of a ring around a bright disk, with their masks."""
    y, x = torch.meshgrid(torch.arange(n) - (n - 1) / 2, torch.arange(n) - (n - 1) / 2 - dx, indexing="ij")
    r = (x**2 + y**2).sqrt()
    mask = (r <= radius).to(torch.uint8) + 2 * ((r > radius) & (r <= 1.5 * radius)).to(torch.uint8)
    image = 0.2 + 0.6 * (mask == 1).float() + 0.2 * (mask == 2).float()
    return image.expand(b, 1, n, n).clone(), mask.expand(b, n, n).clone()


def test_nothing_changes_without_any_range():
    images, masks = disks()
    new_images, new_masks = augment_strong(images, masks, NONE)
    torch.testing.assert_close(new_images, images)
    assert torch.equal(new_masks, masks)


def test_slice_order_is_reversed_but_the_middle_slice_stays():
    images = torch.arange(3.0)[None, :, None, None].expand(2, 3, 8, 8) / 3
    masks = torch.zeros(2, 8, 8, dtype=torch.uint8)
    reversed_images, _ = augment_strong(images, masks, replace(NONE, reverse_probability=1.0))
    torch.testing.assert_close(reversed_images, images.flip(1))


def test_crop_is_taken_from_the_centre():
    images, masks = disks()
    new_images, new_masks = augment_strong(images, masks, replace(NONE, crop_px=64))
    torch.testing.assert_close(new_images, images[..., 16:80, 16:80])
    assert torch.equal(new_masks, masks[:, 16:80, 16:80])


@pytest.mark.parametrize("ratio", [0.7, 1.4])
def test_scaling_enlarges_the_area_by_its_square(ratio):
    images, masks = disks()
    spec = replace(NONE, scale_min_ratio=ratio, scale_max_ratio=ratio)
    _, scaled = augment_strong(images, masks, spec)
    assert (scaled == 1).sum() / (masks == 1).sum() == pytest.approx(ratio**2, rel=0.03)


def test_rotation_and_flip_keep_area_and_move_image_and_mask_together():
    torch.manual_seed(0)
    images, masks = disks(dx=15)
    spec = replace(NONE, rotation_max_degrees=180.0, flip_probability=0.5)
    turned, turned_masks = augment_strong(images, masks, spec)
    assert not torch.equal(turned_masks[0], turned_masks[1])
    assert (turned_masks == 1).sum() == pytest.approx((masks == 1).sum().item(), rel=0.02)
    cavity = turned[:, 0][turned_masks == 1]
    assert cavity.mean().item() == pytest.approx(0.8, abs=0.02)


def test_shift_stays_within_its_range():
    torch.manual_seed(0)
    images, masks = disks(b=16)
    _, shifted = augment_strong(images, masks, replace(NONE, shift_max_px=6.0))
    columns = torch.arange(96) - 47.5
    centres = ((shifted == 1) * columns).sum(dim=(1, 2)) / (shifted == 1).sum(dim=(1, 2))
    assert centres.abs().max() <= 6.5
    assert centres.std() == pytest.approx(6 / math.sqrt(3), rel=0.5)


def test_elastic_deformation_moves_edges_only():
    torch.manual_seed(0)
    images, masks = disks()
    _, bent = augment_strong(images, masks, replace(NONE, elastic_probability=1.0, elastic_max_px=3.0))
    changed = (bent != masks).float().mean().item()
    assert 0 < changed < 0.05


@pytest.mark.parametrize("name", ["gamma", "contrast", "bias", "blur", "noise"])
def test_grey_values_change_within_bounds_and_masks_do_not(name):
    torch.manual_seed(0)
    images, masks = disks()
    changed, same = augment_strong(images, masks, replace(NONE, **{f"{name}_probability": 1.0}))
    assert torch.equal(same, masks)
    assert (changed - images).abs().max() > 0.01
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_noise_has_the_deviation_that_was_asked_for():
    torch.manual_seed(0)
    images = torch.full((64, 1, 32, 32), 0.5)
    spec = replace(NONE, noise_probability=1.0, noise_max_sd_fraction=0.1)
    noisy, _ = augment_strong(images, torch.zeros(64, 32, 32, dtype=torch.uint8), spec)
    mean_square = ((noisy - 0.5) ** 2).mean().item()
    assert mean_square == pytest.approx(0.1**2 / 3, rel=0.3)  # the deviation is uniform in [0, 0.1]


def test_blur_keeps_the_mean_of_a_flat_image():
    images = torch.full((2, 3, 16, 16), 0.4)
    blurred, _ = augment_strong(images, torch.zeros(2, 16, 16).long(), replace(NONE, blur_probability=1.0))
    torch.testing.assert_close(blurred, images)


def test_channels_of_one_image_share_every_change():
    torch.manual_seed(0)
    images, masks = disks()
    spec = replace(StrongAugment(crop_px=64), noise_probability=0.0)
    changed, _ = augment_strong(images.repeat(1, 3, 1, 1), masks, spec)
    torch.testing.assert_close(changed[:, 0], changed[:, 2])


def test_global_seed_and_generator_repeat_the_batch():
    batch = disks()
    spec = StrongAugment(crop_px=64)
    torch.manual_seed(7)
    first = augment_strong(*batch, spec)
    torch.manual_seed(7)
    second = augment_strong(*batch, spec)
    third = augment_strong(*batch, spec, torch.Generator().manual_seed(7))
    for other in (second, third):
        assert torch.equal(first[0], other[0])
        assert torch.equal(first[1], other[1])


def test_dtypes_are_kept():
    images, masks = disks()
    changed, warped = augment_strong(images.half(), masks.int(), StrongAugment(crop_px=32))
    assert (changed.dtype, warped.dtype) == (torch.float16, torch.int32)


def test_mismatched_shapes_are_refused():
    images, masks = disks()
    with pytest.raises(ValueError, match=r"images must be \(b, c, h, w\) and masks \(b, h, w\)"):
        augment_strong(images, masks[:, :10], NONE)


def test_what_is_unknown_stays_unknown_wherever_it_is_moved():
    code = code_of([3])
    plain = torch.zeros(2, 64, 64, dtype=torch.uint8)
    plain[:, 24:40, 24:40] = 1
    coded = join_codes(plain, torch.tensor([code, 0]))
    images, spec = torch.rand(2, 1, 64, 64), StrongAugment(crop_px=48)
    _, expected = augment_strong(images, plain, spec, torch.Generator().manual_seed(0))
    _, masks = augment_strong(images, coded, spec, torch.Generator().manual_seed(0))
    assert set(masks[0].unique().tolist()) == {1, code}
    assert torch.equal(masks[0] == 1, expected[0] == 1)
    assert torch.equal(masks[1], expected[1])


def stacks(z=5, b=3):
    """Stacks of one disk in every slice, as masks and as grey values."""
    images, masks = disks(b=b * z)
    return images.view(b, z, *images.shape[2:]), masks.view(b, z, *masks.shape[1:])


def centres(masks):
    """Centre of the disk in every slice, ``(b, z, 2)``."""
    y, x = torch.meshgrid(*(torch.arange(n).float() for n in masks.shape[2:]), indexing="ij")
    shown = (masks == 1).float()
    return torch.stack([(shown * each).sum((2, 3)) / shown.sum((2, 3)) for each in (x, y)], dim=-1)


def test_breath_holds_shift_every_slice_with_its_mask_by_its_own_way_within_their_range():
    torch.manual_seed(0)
    images, masks = stacks()
    spec = replace(NONE, breath_hold_probability=1.0, breath_hold_max_px=4.0)
    moved, moved_masks = augment_strong(images, masks, spec)
    shifts = centres(moved_masks) - centres(masks)
    assert 0.5 < shifts.abs().max() <= 4.01
    assert shifts.std(dim=1).max() > 0.5  # not one shift for the stack
    assert (moved[moved_masks == 1] > 0.5).all()
    assert moved_masks.shape == masks.shape


def test_a_shift_of_one_warp_is_that_of_all_slices():
    torch.manual_seed(0)
    _, moved = augment_strong(*stacks(), replace(NONE, shift_max_px=10.0))
    assert centres(moved).std(dim=1).max() < 1e-3


def test_a_slice_is_dropped_and_what_fills_the_stack_up_counts_for_nobody():
    torch.manual_seed(0)
    images = (torch.arange(5.0) / 5)[None, :, None, None].expand(40, 5, 8, 8).clone()
    masks = torch.arange(5, dtype=torch.uint8)[None, :, None, None].expand(40, 5, 8, 8).clone() % 4
    masks[0, 2:] = PADDING  # two slices: none can be spared
    images[0, 2:] = images[0, 1]
    shown, kept = augment_strong(images, masks, replace(NONE, dropped_slice_probability=1.0))
    assert torch.equal(kept[0], masks[0])
    assert torch.equal(shown[0], images[0])
    assert (kept[1:, 4] == PADDING).all()
    assert (kept[1:, :4] != PADDING).all()
    order = (shown[1:, :, 0, 0] * 5).round()
    lost = {({0, 1, 2, 3, 4} - set(row[:4].tolist())).pop() for row in order}
    assert lost == {0, 1, 2, 3, 4}
    assert torch.equal(order[:, :4].diff(dim=1) > 0, torch.ones(39, 3, dtype=torch.bool))
    assert torch.equal(order[:, 4], torch.where(order[:, 3] == 3, 3.0, 4.0))


@pytest.mark.parametrize("z", [1, 3, 40])
def test_stacks_of_any_number_of_slices_are_augmented(z):
    torch.manual_seed(0)
    images, masks = stacks(z, b=2)
    images, masks = augment_strong(images, masks, StrongAugment(crop_px=64))
    assert images.shape == masks.shape == (2, z, 64, 64)
    assert (masks != PADDING).flatten(1).any(dim=1).all()
