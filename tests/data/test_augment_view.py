"""Turned, scaled and cropped images, and what becomes of lengths and areas."""

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from cmrseg.data.augment import AUGMENTATIONS
from cmrseg.data.augment_view import RandomView, random_view

STILL = RandomView(crop_px=64, rotation_max_degrees=0, scale_min_ratio=1, scale_max_ratio=1, field_ratio=1)


def disks(n=4, side=96, radius=12):
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    disk = torch.hypot(x - (side - 1) / 2, y - (side - 1) / 2) <= radius
    masks = disk.to(torch.uint8).expand(n, -1, -1).clone()
    return masks[:, None].float(), masks


def test_a_view_that_changes_nothing_is_the_middle():
    images = torch.rand(2, 1, 96, 96)
    masks = torch.randint(0, 3, (2, 96, 96), dtype=torch.uint8)
    seen, plain, scale = random_view(images, masks, STILL)
    torch.testing.assert_close(seen, images[..., 16:80, 16:80])
    assert torch.equal(plain, masks[:, 16:80, 16:80])
    assert plain.dtype == torch.uint8
    assert scale.tolist() == [1, 1]


def test_areas_grow_with_the_square_of_the_scale():
    images, masks = disks()
    spec = RandomView(crop_px=64, field_ratio=1)
    _, seen, scale = random_view(images, masks, spec, Generator().manual_seed(1))
    assert scale.min() < 0.95
    assert scale.max() > 1.05
    before, after = (each.flatten(1).sum(1).float() for each in (masks, seen))
    torch.testing.assert_close(after / before, scale**2, rtol=0.03, atol=0)


def test_parts_are_taken_from_the_field_only():
    images, masks = disks(n=64, radius=1)
    spec = replace(STILL, field_ratio=1.25)  # 80 pixels: the middle of a part is at most 8 beside its own
    _, seen, _ = random_view(images, masks, spec, Generator().manual_seed(0))
    places = torch.stack([part.nonzero().float().mean(0) for part in seen]) - 31.5
    assert places.abs().max() <= 8.6
    assert places.abs().max() > 6


def test_every_direction_is_seen():
    images = torch.zeros(64, 1, 96, 96)
    images[:, :, 47:49, 60:] = 1
    still = replace(STILL, rotation_max_degrees=180)
    seen, _, _ = random_view(images, torch.zeros(64, 96, 96, dtype=torch.uint8), still)
    line = torch.arange(64) - 31.5
    x, y = seen[:, 0].sum(1) @ line, seen[:, 0].sum(2) @ line
    quarters = (torch.atan2(y, x) // (torch.pi / 2)).unique()
    assert len(quarters) == 4


def test_numbers_beside_images_are_scaled_with_them():
    (view,) = AUGMENTATIONS["s5"].transforms(64)
    images, masks = disks()
    pixels = masks.flatten(1).sum(1).float()
    numbers = torch.stack([pixels, pixels.sqrt(), torch.ones(4)], dim=1)
    powers = torch.tensor([2.0, 1, 0]).expand(4, 3)
    torch.manual_seed(2)
    _, seen, found = view.encodes((images, masks, torch.stack([numbers, powers], dim=1)))
    after = seen.as_subclass(Tensor).flatten(1).sum(1).float()
    torch.testing.assert_close(found[:, 0, 0], after, rtol=0.03, atol=0)
    torch.testing.assert_close(found[:, 0, 1], after.sqrt(), rtol=0.02, atol=0)
    assert found[:, 0, 2].tolist() == [1] * 4


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_only_s5_scales_numbers(name):
    assert AUGMENTATIONS[name].scales_numbers == (name == "s5")
