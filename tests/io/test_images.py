"""NIfTI and PNG files to cines and back; every fault is one sentence that names the file."""

import gzip
import struct
import zlib
from contextlib import suppress

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from cmrseg.cine import Cine
from cmrseg.io.images import is_nifti, load_image, load_mask, read_grid, save_image, save_mask, stem
from cmrseg.labels import Label
from cmrseg.problems import DataError

AFFINE = np.array([[0, -1.5, 0, 10], [1.4, 0, 0, -20], [0, 0, 8, 30], [0, 0, 0, 1.0]])
SPACING = (1.4, 1.5, 8.0)


def nifti(path, array, zooms=None, units=("mm", "sec")):
    image = nib.Nifti1Image(array, np.eye(4))
    image.header.set_zooms(zooms or (1.4, 1.5, 8.0, 0.05)[: array.ndim])
    image.header.set_xyzt_units(*units)
    nib.save(image, path)
    return path


def png(path, array):
    Image.fromarray(array).save(path)
    return path


def cine(*shape, times=()):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Cine(array, SPACING, AFFINE, times)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_cine_comes_back_as_it_was_saved(tmp_path, name):
    saved = cine(3, 4, 2, 5, times=(0.0, 140.0, 280.0, 420.0, 560.0))
    loaded = load_image(save_image(saved, tmp_path / name))
    np.testing.assert_array_equal(loaded.array, saved.array)
    np.testing.assert_allclose(loaded.affine, AFFINE)
    assert loaded.spacing == SPACING
    assert loaded.frame_times_ms == pytest.approx(saved.frame_times_ms)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2), (3, 4, 2, 5)])
def test_missing_axes_are_added(tmp_path, shape):
    path = nifti(tmp_path / "a.nii.gz", np.zeros(shape, np.float32))
    four = (*shape, 1, 1)[:4]
    assert load_image(path).array.shape == four
    assert read_grid(path).shape == four


def test_five_axes_are_refused(tmp_path):
    path = nifti(tmp_path / "a.nii", np.zeros((2, 2, 2, 2, 2), np.float32), (1.0,) * 5)
    with pytest.raises(DataError, match=r"a\.nii has 5 dimensions"):
        load_image(path)


@pytest.mark.parametrize(
    ("unit", "step", "times"),
    [("sec", 0.5, (0, 500)), ("msec", 500.0, (0, 500)), ("usec", 5e5, (0, 500)), ("hz", 500.0, ())],
)
def test_frame_times_are_milliseconds_whatever_the_unit(tmp_path, unit, step, times):
    array = np.zeros((2, 2, 1, 2), np.float32)
    path = nifti(tmp_path / "a.nii", array, (1.4, 1.5, 8.0, step), ("mm", unit))
    assert load_image(path).frame_times_ms == pytest.approx(times)


def test_a_single_frame_has_no_times_and_is_saved_in_3d(tmp_path):
    path = save_mask(cine(3, 4, 1, 1).with_array(np.ones((3, 4, 1, 1))), tmp_path / "a.nii.gz")
    assert nib.load(path).shape == (3, 4, 1)
    assert load_mask(path, "cmrseg").frame_times_ms == ()


@pytest.mark.parametrize("zooms", [(1.0, 1.0, 1.0), (1.0, 1.0)])
def test_a_header_of_ones_means_unknown_spacing(tmp_path, zooms):
    path = nifti(tmp_path / "a.nii.gz", np.zeros((2,) * len(zooms), np.float32), zooms)
    assert not load_image(path).has_spacing
    assert np.isnan(read_grid(path).spacing).all()


def test_a_2d_image_has_no_slice_distance_and_keeps_its_pixel_size_when_saved(tmp_path):
    image = load_image(nifti(tmp_path / "a.nii", np.zeros((3, 4), np.float32)))
    mask = load_mask(save_mask(image.with_array(image.array), tmp_path / "m.nii.gz"), "cmrseg")
    for spacing in (image.spacing, mask.spacing, read_grid(tmp_path / "a.nii").spacing):
        assert spacing == pytest.approx((1.4, 1.5, np.nan), nan_ok=True)
    assert not image.has_spacing


def test_a_cine_of_one_slice_keeps_its_pixel_size_and_no_slice_distance(tmp_path):
    image = Cine(np.zeros((3, 4, 1, 5), np.float32), (1.4, 1.5, np.nan))
    loaded = load_image(save_image(image, tmp_path / "a.nii.gz"))
    again = load_mask(save_mask(loaded.with_array(loaded.array), tmp_path / "m.nii.gz"), "cmrseg")
    for cine in (loaded, again):
        assert cine.spacing == pytest.approx((1.4, 1.5, np.nan), nan_ok=True)
        assert not cine.has_spacing


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1000), ("mm", 1), ("micron", 0.001), ("unknown", 1)])
def test_lengths_are_mm_whatever_the_unit(tmp_path, unit, mm):
    zooms = tuple(s / mm for s in SPACING)
    path = nifti(tmp_path / "a.nii", np.zeros((2, 2, 2), np.float32), zooms, (unit, "sec"))
    assert load_image(path).spacing == pytest.approx(SPACING)
    assert load_image(path).affine[0, 0] == pytest.approx(nib.load(path).affine[0, 0] * mm)


def test_a_unit_that_nifti_does_not_have_is_unknown(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 2, 1), np.float32), np.eye(4))
    image.header.set_zooms(SPACING)
    image.header["xyzt_units"] = 7
    nib.save(image, tmp_path / "a.nii")
    assert load_image(tmp_path / "a.nii").spacing == SPACING


def test_unknown_spacing_stays_unknown_when_saved(tmp_path):
    unknown = Cine(np.zeros((2, 2, 1, 1), np.float32), (np.nan,) * 3)
    assert not load_image(save_image(unknown, tmp_path / "a.nii")).has_spacing


def test_rows_of_a_png_are_y(tmp_path):
    pixels = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)  # 2 rows, 3 columns
    path = png(tmp_path / "a.png", pixels)
    loaded = load_image(path)
    assert loaded.array.shape == read_grid(path).shape == (3, 2, 1, 1)
    assert loaded.array[2, 1, 0, 0] == 5
    assert not loaded.has_spacing


def test_a_png_mask_comes_back_as_it_was_saved(tmp_path):
    array = np.array([[0, 1, 2], [3, 0, 1]], np.uint8)[:, :, None, None]
    path = save_mask(Cine(array, (np.nan,) * 3), tmp_path / "a.png")
    np.testing.assert_array_equal(load_mask(path, "cmrseg").array, array)


def test_a_16_bit_png_keeps_its_grey_values(tmp_path):
    path = png(tmp_path / "a.png", np.array([[0, 65535], [1000, 300]], np.uint16))
    np.testing.assert_array_equal(load_image(path).array[..., 0, 0].T, [[0, 65535], [1000, 300]])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_grey_png_in_colour_format_is_read_as_grey(tmp_path, mode):
    Image.fromarray(np.array([[7, 200]], np.uint8)).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png").array[:, 0, 0, 0], [7, 200])


def test_a_palette_png_mask_is_read_by_its_ids(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_mask(tmp_path / "a.png", "cmrseg").array[:, 0, 0, 0], [0, 1, 2])


def test_a_palette_png_image_is_read_by_its_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    image.putpalette([200, 200, 200, 10, 10, 10])
    image.save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").array.ravel().tolist() == [200, 10]


@pytest.mark.parametrize("load", [load_image, lambda path: load_mask(path, "cmrseg")])
def test_a_colour_png_is_refused(tmp_path, load):
    path = png(tmp_path / "a.png", np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8))
    with pytest.raises(DataError, match=r"a\.png is a colour image; grey values .* 8-bit grey"):
        load(path)


@pytest.mark.parametrize("load", [load_image, read_grid])
def test_a_colour_nifti_is_refused(tmp_path, load):
    colours = np.zeros((2, 2, 1), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = nifti(tmp_path / "a.nii", colours)
    with pytest.raises(DataError, match=r"a\.nii is a colour image"):
        load(path)


def test_a_mask_is_translated_to_our_labels(tmp_path):
    path = nifti(tmp_path / "a.nii.gz", np.array([[[1], [3]]], np.uint8))
    assert load_mask(path, "acdc").array.ravel().tolist() == [Label.RV, Label.LV]


def test_a_label_outside_the_scheme_names_the_file_and_the_option(tmp_path):
    path = nifti(tmp_path / "m.nii", np.full((2, 2, 1), 4, np.uint8))
    with pytest.raises(DataError, match=r"mask .*m\.nii: label values 4 .*--labels"):
        load_mask(path, "cmrseg")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_intensities_are_refused(tmp_path, bad):
    path = nifti(tmp_path / "a.nii", np.full((2, 2, 1), bad, np.float32))
    with pytest.raises(DataError, match=r"a\.nii holds NaN"):
        load_image(path)


def truncated(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    return path


def truncated_nifti(folder, name, keep):
    noise = np.random.default_rng(0).normal(size=(32, 32, 4)).astype(np.float32)
    return truncated(nifti(folder / name, noise), keep)


def garbage(folder, name):
    (folder / name).write_bytes(b"this is no image at all" * 50)
    return folder / name


def cut_png(folder):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    return truncated(png(folder / "a.png", noise), 2000)


DAMAGED = {
    "missing NIfTI": lambda f: f / "a.nii.gz",
    "missing PNG": lambda f: f / "a.png",
    "truncated nii.gz": lambda f: truncated_nifti(f, "a.nii.gz", 5000),
    "truncated header": lambda f: truncated_nifti(f, "a.nii.gz", 30),
    "truncated nii": lambda f: truncated_nifti(f, "a.nii", 5000),
    "empty": lambda f: truncated_nifti(f, "a.nii", 0),
    "empty gz": lambda f: truncated_nifti(f, "a.nii.gz", 0),
    "no NIfTI": lambda f: garbage(f, "a.nii"),
    "no gzip": lambda f: garbage(f, "a.nii.gz"),
    "no PNG": lambda f: garbage(f, "a.png"),
    "truncated PNG": cut_png,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_told_in_one_sentence_that_names_it(tmp_path, kind):
    path = DAMAGED[kind](tmp_path)
    with pytest.raises(DataError) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def packed_noise(folder):
    """A NIfTI and a PNG of noise."""
    noise = np.random.default_rng(0).integers(0, 250, (32, 32, 4)).astype(np.int16)
    return nifti(folder / "a.nii.gz", noise), png(folder / "a.png", noise[..., 0].astype(np.uint8))


@pytest.mark.parametrize("number", [0, 1], ids=["nii.gz", "png"])
def test_one_flipped_bit_is_noticed_wherever_it_is(tmp_path, number):
    path = packed_noise(tmp_path)[number]
    whole, right = path.read_bytes(), load_image(path).array
    places = np.random.default_rng(1).integers(0, 8 * len(whole), 80)
    for place in places:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << int(place % 8)
        path.write_bytes(damaged)
        with suppress(DataError):  # else it is the name or the time in the header of gzip
            np.testing.assert_array_equal(load_image(path).array, right)


FIELDS = {
    "dim": [(1, -32768), (1, 0), (2, 32767), (0, 9)],
    "datatype": [(None, 2048), (None, 32), (None, 3), (None, 1536)],
    "bitpix": [(None, 8)],
    "vox_offset": [(None, np.inf), (None, 256), (None, np.nan), (None, 1e9)],
    "scl_inter": [(None, np.nan)],
    "srow_x": [(0, np.nan)],
    "sizeof_hdr": [(None, 0)],
    "magic": [(None, b"xxx")],
}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    ("field", "place", "value"), [(f, *v) for f, values in FIELDS.items() for v in values]
)
def test_a_hostile_header_is_told_and_nothing_else_happens(tmp_path, name, field, place, value):
    path = nifti(tmp_path / name, np.ones((8, 8, 4), np.int16))
    image = nib.load(path)
    raw, header = image.to_bytes(), image.header.copy()
    header["scl_slope"], header["scl_inter"], header["vox_offset"], header["magic"] = 1, 0, 352, b"n+1"
    if place is None:
        header[field] = value
    else:
        header[field][place] = value
    changed = header.binaryblock + raw[348:]
    path.write_bytes(gzip.compress(changed) if name.endswith("gz") else changed)
    with pytest.raises(DataError, match=name):
        load_image(path)


def test_a_file_that_unpacks_to_more_than_its_header_tells_is_damaged(tmp_path):
    path = nifti(tmp_path / "a.nii", np.ones((8, 8, 4), np.int16))
    path.write_bytes(path.read_bytes() + bytes(1000))
    with pytest.raises(DataError, match=r"a\.nii is damaged: it holds more bytes"):
        load_image(path)


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png_of(width, height, pixels, *more):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


ROWS = zlib.compress(bytes(9 * 8))


@pytest.mark.parametrize(
    "data",
    [
        png_of(2**31 - 1, 257, ROWS),
        png_of(8, 9, ROWS),
        png_of(7, 8, ROWS),
        png_of(8, 8, zlib.compress(bytes(10**8))),
        png_of(8, 8, b"no deflate"),
        png_of(8, 8, ROWS, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))),
    ],
    ids=[
        "bomb in the header",
        "too few rows",
        "too many columns",
        "bomb of pixels",
        "garbage",
        "bomb of text",
    ],
)
def test_a_hostile_png_is_told(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.png"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["missing NIfTI", "missing PNG", "no NIfTI", "no PNG", "truncated header"])
def test_a_header_that_cannot_be_read_is_a_data_error(tmp_path, kind):
    path = DAMAGED[kind](tmp_path)
    with pytest.raises(DataError, match=path.name):
        read_grid(path)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.b.nii.gz", "a.b"), ("a.nii", "a"), ("a.PNG", "a"), ("a.dcm", "a")]
)
def test_stem_drops_the_image_suffix(tmp_path, name, expected):
    assert stem(tmp_path / name) == expected


def test_names_of_nifti_files_are_recognised_in_capitals(tmp_path):
    assert is_nifti(tmp_path / "A.NII.GZ")
    assert not is_nifti(tmp_path / "a.png")
