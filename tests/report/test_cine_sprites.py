"""Images and mask come out of the page's data as they went in."""

from __future__ import annotations

import io
import json
import zlib
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from cmrseg.cine import Cine
from cmrseg.labels import Label
from cmrseg.report import cine_sprites as sprites
from cmrseg.report.cine_sprites import cine_sprites, heart_region

SHAPE = (96, 80, 4, 3)  # x y z t


def study(*, apex_first=False):
    """Smooth images; a mask that tapers and loses its RV towards the apex."""
    x, y, z, t = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2], : SHAPE[3]]
    image = (10 + x + 2 * y + 20 * z + 5 * t).astype(np.float32)
    radius = 14 - 3 * z - t
    mask = np.where((x - 40) ** 2 + (y - 36) ** 2 <= radius**2, Label.LV, 0).astype(np.uint8)
    mask[60:66, 30:40, 0] = Label.RV
    order = slice(None, None, -1 if apex_first else 1)
    return tuple(Cine(a[:, :, order], (1.5, 1.0, 8.0)) for a in (image, mask))


def unpacked(data):
    """Grey values and mask of the data, both ``(t, z, y, x)``."""
    strips = [np.asarray(Image.open(io.BytesIO(b64decode(s)))) for s in data["strips"]]
    grey = np.stack(strips).reshape(SHAPE[3], SHAPE[2], data["height"], data["width"])
    mask = np.frombuffer(zlib.decompress(b64decode(data["mask"])), np.uint8)
    return grey, mask.reshape(SHAPE[3], SHAPE[2], data["mask_height"], data["mask_width"])


@pytest.mark.parametrize("apex_first", [False, True])
def test_pixels_come_back_from_base_to_apex(apex_first):
    image, mask = study(apex_first=apex_first)
    data = cine_sprites(image, mask)
    box = heart_region(mask.array)
    order = slice(None, None, -1 if apex_first else 1)
    grey, labels = unpacked(data)
    np.testing.assert_array_equal(labels, mask.array[box][:, :, order].transpose(3, 2, 1, 0))
    intensity = data["low"] + grey / 255 * (data["high"] - data["low"])
    difference = intensity - image.array[box][:, :, order].transpose(3, 2, 1, 0)
    assert np.abs(difference).mean() < 0.01 * (data["high"] - data["low"])
    assert data["z"] == list(range(4))[order]


def test_aspect_is_that_of_the_patient():
    data = cine_sprites(*study())
    assert data["aspect"] == pytest.approx(data["mask_width"] * 1.5 / (data["mask_height"] * 1.0))


def test_heart_region_holds_every_label_with_a_margin():
    _, mask = study()
    x, y = heart_region(mask.array)
    assert mask.array[x, y].sum() == mask.array.sum()
    assert x.start <= 40 - 14 - sprites.MIN_MARGIN_PX or x.start == 0
    assert (x.stop - x.start) % sprites.BLOCK_PX == 0


def test_whole_image_is_kept_where_the_mask_is_empty():
    assert heart_region(np.zeros(SHAPE, np.uint8)) == (slice(0, 96), slice(0, 80))


def test_many_images_are_stored_coarser_but_the_mask_is_not(monkeypatch):
    image, mask = study()
    full = cine_sprites(image, mask)
    monkeypatch.setattr(sprites, "MAX_PIXELS", 0.3 * full["width"] * full["height"] * 12)
    data = cine_sprites(image, mask)
    assert data["width"] * data["height"] * 12 <= sprites.MAX_PIXELS
    assert (data["mask_width"], data["mask_height"]) == (full["mask_width"], full["mask_height"])
    grey, _ = unpacked(data)
    assert grey.mean() == pytest.approx(unpacked(full)[0].mean(), abs=2)


def test_a_constant_image_can_be_shown():
    image, mask = study()
    data = cine_sprites(image.with_array(np.full(SHAPE, 7.0, np.float32)), mask)
    json.dumps(data, allow_nan=False)
