"""The augmentations of the paper, against the numbers of the authors' scripts."""

import pytest
import torch
from fastai.torch_core import TensorImage, TensorMask

from cmrseg.data.augment import AUGMENTATIONS

SIZE = 64


@pytest.mark.parametrize(("name", "degrees", "flips"), [("s1", 20, 0), ("s2", 90, 1)])
def test_warp_rotation_zoom_and_light_have_the_authors_ranges_and_chances(name, degrees, flips):
    shape, light = AUGMENTATIONS[name].transforms(SIZE)
    *flip, rotation, zoom = (f.keywords for f in shape.aff_fs)
    (warp,) = shape.coord_fs
    assert [f["p"] for f in flip] == [0.5] * flips
    assert (rotation["max_deg"], rotation["p"]) == (degrees, 0.75)
    assert (zoom["min_zoom"], zoom["max_zoom"], zoom["p"]) == (1, 1.2, 0.75)
    assert (warp.magnitude, warp.p) == (0.2, 0.75)
    assert [(f.max_lighting, f.p) for f in light.fs] == [(0.4, 0.75)] * 2
    assert shape.pad_mode == "zeros"


def test_a_warp_makes_a_square_a_trapezium_in_image_and_mask():
    shape, _ = AUGMENTATIONS["s1"].transforms(SIZE)
    shape.aff_fs = []  # what rotates and zooms keeps parallel sides parallel
    shape.coord_fs[0].draw_x, shape.coord_fs[0].draw_y, shape.coord_fs[0].p = 0.2, 0.0, 1.0
    square = torch.zeros(1, SIZE, SIZE)
    square[:, 16:48, 16:48] = 1
    found = shape((TensorImage(square[:, None]), TensorMask(square.long())), split_idx=0)
    image, mask = (each.as_subclass(torch.Tensor) for each in found)
    widths = mask[0].sum(dim=1)
    assert widths[widths > 0].max() - widths[widths > 0].min() > 5
    assert ((image[0, 0] > 0.5) != (mask[0] == 1)).float().mean() < 0.01
