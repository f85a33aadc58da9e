"""Every way in which a scanner stores an image gives the pixels that plain pydicom reads."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.pixels import apply_rescale, pixel_array
from pydicom.sequence import Sequence

from cmrseg.cine import Cine
from cmrseg.io.dicom import DicomImage, NotAnImage, read_headers
from cmrseg.io.dicom_pixels import read_pixels
from cmrseg.phantom.dicom import Acquisition, compress, dicom_datasets
from cmrseg.phantom.other_views import NON_IMAGES, other_series
from cmrseg.problems import DataError
from tests.phantom.jpeg_lossless import compressed

SHAPE = (40, 36, 3, 4)  # x y z t


def cine() -> Cine:
    """A smooth cine on an oblique grid."""
    x, y, z, t = np.ogrid[tuple(slice(n) for n in SHAPE)]
    array = 1500 + 700 * np.sin(x / 7 + t / 3) * np.cos(y / 5 + z) + 40 * z
    affine = np.array([[-1.4, 0, 0, 9.5], [0, -1.28, 4.8, -3.25], [0, -0.96, -6.4, 70], [0, 0, 0, 1]])
    return Cine(array, (1.4, 1.6, 8.0), affine, (0.0, 200.0, 400.0, 600.0))


def classic(style: str = "siemens", **options) -> Dataset:
    """The second phase of the first slice."""
    return dicom_datasets(cine(), style=style, **options)[1]


def enhanced(**options) -> Dataset:
    return dicom_datasets(cine(), style="enhanced", **options)[0]


def saved(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def read(path: Path) -> tuple[list[DicomImage], list[np.ndarray]]:
    images = read_headers(path)
    return images, list(read_pixels(images))


def assert_like_pydicom(path: Path) -> list[DicomImage]:
    """Pixels equal those of pydicom, rescaled as it rescales them."""
    images, pixels = read(path)
    dataset = pydicom.dcmread(path)
    expected = np.atleast_3d(dataset.pixel_array) if len(images) == 1 else dataset.pixel_array
    expected = expected[None, ..., 0] if len(images) == 1 else expected
    np.testing.assert_array_equal(np.stack(pixels), expected)
    return images


def with_pixels(dataset: Dataset, stored: np.ndarray, *, bits_stored: int | None = None) -> Dataset:
    """Another depth, signed where the array is."""
    out = deepcopy(dataset)
    bits = 8 * stored.dtype.itemsize
    out.BitsAllocated, out.BitsStored = bits, bits_stored or bits
    out.HighBit, out.PixelRepresentation = out.BitsStored - 1, int(stored.dtype.kind == "i")
    out.Rows, out.Columns = stored.shape
    data = stored.tobytes()
    out.PixelData = data + b"\0" * (len(data) % 2)
    out["PixelData"].VR = "OB" if bits == 8 else "OW"
    return out


def random_pixels(dtype: str, shape: tuple[int, int] = (33, 35)) -> np.ndarray:
    limits = np.iinfo(dtype)
    noise = np.random.default_rng(0).integers(limits.min, limits.max, shape, dtype, endpoint=True)
    noise.ravel()[:2] = limits.min, limits.max
    return noise


# What is stored where


@pytest.mark.parametrize("style", ["siemens", "ge"])
def test_a_classic_image_is_read_as_pydicom_reads_it(tmp_path, style):
    (image,) = assert_like_pydicom(saved(classic(style), tmp_path / "a"))
    assert (image.rows, image.columns, image.frame) == (36, 40, 0)


def test_every_frame_of_an_enhanced_file_is_read(tmp_path):
    images = assert_like_pydicom(saved(enhanced(), tmp_path / "a"))
    assert [image.frame for image in images] == list(range(12))


@pytest.mark.parametrize("order", ["slices", "phases"])
def test_frames_of_an_enhanced_file_have_their_own_place_and_time(tmp_path, order):
    dataset = enhanced(acquisition=Acquisition(order=order))
    images = read_headers(saved(dataset, tmp_path / "a"))
    for image, group in zip(images, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        assert image.position == tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))
        beat = group.CardiacSynchronizationSequence[0]
        assert image.trigger_ms == beat.NominalCardiacTriggerDelayTime


def test_the_header_of_a_classic_image_is_told(tmp_path):
    dataset = classic("ge")
    (image,) = read_headers(saved(dataset, tmp_path / "a"), "called")
    assert image.name == "called"
    assert image.study_uid == dataset.StudyInstanceUID
    assert image.series_uid == dataset.SeriesInstanceUID
    assert image.instance_uid == dataset.SOPInstanceUID
    assert (image.series_number, image.instance) == (10, 2)
    assert image.description == "cine_sax"
    assert image.spacing == pytest.approx((1.4, 1.6))
    assert image.trigger_ms == pytest.approx(200.0)
    assert image.slice_spacing_mm == pytest.approx(8.0)
    assert image.sequence == "GR/SS+SP"
    assert image.kind == "CARDIAC"


def test_the_pixel_spacing_of_dicom_names_the_distance_of_rows_first(tmp_path):
    dataset = classic()
    dataset.PixelSpacing = [2.0, 1.25]
    (image,) = read_headers(saved(dataset, tmp_path / "a"))
    assert image.spacing == (1.25, 2.0)


# Transfer syntaxes


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("style", ["siemens", "ge", "enhanced"])
def test_rle_and_jpeg_2000_are_read(tmp_path, style, syntax):
    plain = enhanced() if style == "enhanced" else classic(style)
    images = assert_like_pydicom(saved(compress(plain, syntax), tmp_path / "a"))
    np.testing.assert_array_equal(
        np.stack(list(read_pixels(images))).reshape(pixel_array(plain).shape), pixel_array(plain)
    )


@pytest.mark.parametrize("style", ["siemens", "ge"])
def test_lossless_jpeg_is_read(tmp_path, style):
    plain = classic(style)
    images = assert_like_pydicom(saved(compressed(plain), tmp_path / "a"))
    np.testing.assert_array_equal(next(read_pixels(images)), pixel_array(plain))


def test_frames_of_two_compressed_files_may_be_asked_in_turns(tmp_path):
    one, other = (enhanced(acquisition=Acquisition(order=order)) for order in ("slices", "phases"))
    paths = [saved(compress(d, uid.RLELossless), tmp_path / str(n)) for n, d in enumerate((one, other))]
    images = [image for pair in zip(*map(read_headers, paths), strict=True) for image in pair]
    expected = [frame for pair in zip(pixel_array(one), pixel_array(other), strict=True) for frame in pair]
    np.testing.assert_array_equal(list(read_pixels(images)), expected)


def test_a_deflated_file_is_read(tmp_path):
    plain = classic()
    packed = deepcopy(plain)
    packed.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    assert_like_pydicom(saved(packed, tmp_path / "a"))


@pytest.mark.parametrize("style", ["ge", "enhanced"])
def test_a_big_endian_file_is_read(tmp_path, style):
    plain = enhanced() if style == "enhanced" else classic(style)
    turned = deepcopy(plain)
    turned.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    turned.PixelData = np.frombuffer(plain.PixelData, "<u2").astype(">u2").tobytes()
    turned["PixelData"].VR = "OW"
    path = tmp_path / "a"
    pydicom.dcmwrite(path, turned, enforce_file_format=True)
    images = assert_like_pydicom(path)
    np.testing.assert_array_equal(
        np.stack(list(read_pixels(images))).reshape(pixel_array(plain).shape), pixel_array(plain)
    )


@pytest.mark.parametrize("style", ["siemens", "enhanced"])
def test_an_implicit_file_is_read(tmp_path, style):
    dataset = enhanced() if style == "enhanced" else classic(style)
    dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    assert_like_pydicom(saved(dataset, tmp_path / "a"))


@pytest.mark.parametrize("is_implicit", [True, False])
def test_a_file_without_preamble_is_read(tmp_path, is_implicit):
    dataset = classic()
    bare = Dataset()
    bare.update({tag: dataset[tag] for tag in dataset.keys()})  # noqa: SIM118
    path = tmp_path / "a"
    pydicom.dcmwrite(path, bare, implicit_vr=is_implicit, little_endian=True, enforce_file_format=False)
    assert path.read_bytes()[128:132] != b"DICM"
    (pixels,) = read(path)[1]
    np.testing.assert_array_equal(pixels, pixel_array(dataset))


def test_a_file_without_preamble_but_with_meta_information_is_read(tmp_path):
    dataset = classic()
    path = saved(dataset, tmp_path / "a")
    path.write_bytes(path.read_bytes()[132:])
    (pixels,) = read(path)[1]
    np.testing.assert_array_equal(pixels, pixel_array(dataset))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_a_missing_transfer_syntax_is_guessed(tmp_path, syntax):
    dataset = classic()
    dataset.file_meta.TransferSyntaxUID = syntax
    whole = saved(dataset, tmp_path / "whole").read_bytes()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    head = saved_meta(meta)
    body = whole[144 + pydicom.dcmread(tmp_path / "whole").file_meta.FileMetaInformationGroupLength :]
    (tmp_path / "a").write_bytes(b"\0" * 128 + b"DICM" + head + body)
    assert "TransferSyntaxUID" not in pydicom.dcmread(tmp_path / "a").file_meta
    (pixels,) = read(tmp_path / "a")[1]
    np.testing.assert_array_equal(pixels, pixel_array(dataset))


def saved_meta(meta: FileMetaDataset) -> bytes:
    """File meta information with its group length."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    meta.FileMetaInformationGroupLength = 0
    write_file_meta_info(buffer, meta, enforce_standard=False)
    return buffer.getvalue()


# Depth and scale


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4"])
def test_8_16_and_32_bits_signed_or_not(tmp_path, dtype):
    assert_like_pydicom(saved(with_pixels(classic(), random_pixels(dtype)), tmp_path / "a"))


def test_an_odd_number_of_8_bit_pixels_is_padded_but_not_read(tmp_path):
    path = saved(with_pixels(classic(), random_pixels("u1", (33, 35))), tmp_path / "a")
    (image,) = assert_like_pydicom(path)
    assert image.rows * image.columns % 2


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<i2"])
def test_compressed_depths(tmp_path, dtype, syntax):
    plain = with_pixels(classic(), random_pixels(dtype, (40, 36)))
    assert_like_pydicom(saved(compress(plain, syntax), tmp_path / "a"))


def test_12_signed_bits_in_16(tmp_path):
    values = np.random.default_rng(0).integers(-2048, 2048, (34, 36)).astype("<i2")
    assert_like_pydicom(saved(with_pixels(classic(), values, bits_stored=12), tmp_path / "a"))


# What lies beside the values, and what they mean

STORED = {  # how an image is stored -> header, and the places of 16 bits that hold the values
    "overlay above": ({}, lambda v: v | (v % 7 << 12)),
    "overlay in the highest bit": ({}, lambda v: v | (v % 2 << 15)),
    "values in the highest bits": ({"HighBit": 15}, lambda v: v << 4 | v % 5),
    "values in the middle": ({"HighBit": 13}, lambda v: v << 2 | v % 3 | (v % 2 << 15)),
    "values in the lowest bits, whatever is said": ({"HighBit": 15}, lambda v: v),
    "small is bright": ({"PhotometricInterpretation": "MONOCHROME1"}, lambda v: 4095 - v),
}


def unspoilt() -> np.ndarray:
    return np.rint(cine().array[:, :, 0, 1].T).astype("<u2")


def stored_strangely(how: str, **header) -> Dataset:
    """The second phase of the first slice with foreign bits, or inverted."""
    elements, place = STORED[how]
    out = with_pixels(classic(**header), place(unspoilt()).astype("<u2"), bits_stored=12)
    for keyword, value in elements.items():
        setattr(out, keyword, value)
    return out


@pytest.mark.parametrize("how", STORED)
def test_every_pixel_is_that_of_the_unspoilt_image(tmp_path, how):
    (pixels,) = read(saved(stored_strangely(how), tmp_path / "a"))[1]
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, unspoilt())


@pytest.mark.parametrize("how", STORED)
@pytest.mark.parametrize(
    "syntax", [uid.RLELossless, uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian]
)
def test_the_same_in_other_transfer_syntaxes(tmp_path, how, syntax):
    plain = stored_strangely(how)
    if syntax == uid.RLELossless:
        high, plain.HighBit = plain.HighBit, 11  # which the encoder does not look at but checks
        dataset = compress(plain, syntax)
        dataset.HighBit = high
    else:
        dataset = plain
        dataset.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(read(saved(dataset, tmp_path / "a"))[1][0], unspoilt())


def test_jpeg_2000_turns_bright_and_dark_too(tmp_path):
    dataset = compress(stored_strangely("small is bright"), uid.JPEG2000Lossless)
    np.testing.assert_array_equal(read(saved(dataset, tmp_path / "a"))[1][0], unspoilt())


def test_jpeg_with_another_high_bit_is_refused(tmp_path):
    dataset = compress(classic(), uid.JPEG2000Lossless)
    dataset.HighBit = 15
    with pytest.raises(DataError, match="JPEG pixels whose high bit is 15 cannot be read; decompress them"):
        read_headers(saved(dataset, tmp_path / "a"))


@pytest.mark.parametrize(("stored", "high"), [(17, 16), (12, 16), (16, 11), (0, 0)])
def test_bits_that_do_not_fit_are_told(tmp_path, stored, high):
    dataset = classic()
    dataset.BitsStored, dataset.HighBit = stored, high
    with pytest.raises(DataError, match=r"bits from bit -?\d+ on are no part of 16 bits"):
        read_headers(saved(dataset, tmp_path / "a"))


@pytest.mark.parametrize("inverted", [False, True])
def test_12_signed_bits_with_an_overlay_above_keep_their_sign(tmp_path, inverted):
    values = np.random.default_rng(0).integers(-2048, 2048, (34, 36))
    told = -1 - values if inverted else values
    place = (told & 0xFFF | (values % 3 << 12)).astype("<u2").view("<i2")
    dataset = with_pixels(classic(), place, bits_stored=12)
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    (pixels,) = read(saved(dataset, tmp_path / "a"))[1]
    assert pixels.dtype == np.int16
    np.testing.assert_array_equal(pixels, values)


def test_inverted_values_are_turned_before_they_are_rescaled(tmp_path):
    rescaled = classic("ge", acquisition=Acquisition(rescale=(0.5, -20)))
    expected = read(saved(rescaled, tmp_path / "a"))[1][0]
    inverted = with_pixels(rescaled, -1 - rescaled.pixel_array)
    inverted.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(read(saved(inverted, tmp_path / "b"))[1][0], expected)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(("dtype", "padding"), [("<i2", -2000), ("<u2", 63536), ("<i2", 0)])
def test_pixels_that_were_not_measured_are_dark(tmp_path, dtype, padding, inverted):
    highest = -1 if dtype == "<i2" else 65535
    values = unspoilt().clip(1, 1500).astype(dtype)
    place = (highest - values if inverted else values).astype(dtype)
    place[:5] = padding
    dataset = with_pixels(classic(), place)
    dataset.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    (pixels,) = read(saved(dataset, tmp_path / "a"))[1]
    np.testing.assert_array_equal(pixels[5:], values[5:])
    assert set(pixels[:5].ravel().tolist()) == ({0} if padding == 0 and not inverted else {values[5:].min()})


def test_64_bits_are_a_clear_reason(tmp_path):
    dataset = classic()
    dataset.BitsAllocated = 64
    with pytest.raises(DataError, match="pixels of 64 bits cannot be read; 8, 16 or 32 can"):
        read_headers(saved(dataset, tmp_path / "a"))


@pytest.mark.parametrize("style", ["siemens", "ge", "enhanced"])
def test_the_header_rescales(tmp_path, style):
    dataset = dicom_datasets(cine(), style=style, acquisition=Acquisition(rescale=(0.5, -20)))[0]
    path = saved(dataset, tmp_path / "a")
    expected = np.rint(cine().array[:, :, 0, 0].T)
    first = read(path)[1][0]
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, expected)


def test_a_compressed_image_is_rescaled_too(tmp_path):
    plain = classic("ge", acquisition=Acquisition(rescale=(0.5, -20)))
    (pixels,) = read(saved(compress(plain, uid.RLELossless), tmp_path / "a"))[1]
    np.testing.assert_array_equal(pixels, apply_rescale(pixel_array(plain), plain))


def test_without_rescaling_the_stored_integers_come_out(tmp_path):
    (pixels,) = read(saved(classic("ge"), tmp_path / "a"))[1]
    assert pixels.dtype == np.dtype("<u2") or pixels.dtype == np.dtype("<i2")


@pytest.mark.parametrize("text", ["1", "1.0", "1.000000e+00", ""])
def test_a_rescaling_by_one_changes_no_type(tmp_path, text):
    dataset = classic("ge")
    dataset.add_new("RescaleSlope", "DS", text)
    dataset.add_new("RescaleIntercept", "DS", "0")
    (pixels,) = read(saved(dataset, tmp_path / "a"))[1]
    assert pixels.dtype.kind in "iu"


# What scanners really write


def test_empty_functional_groups_in_a_classic_image_are_no_frames(tmp_path):
    dataset = classic("ge")
    dataset.PerFrameFunctionalGroupsSequence = Sequence([])
    dataset.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    assert len(assert_like_pydicom(saved(dataset, tmp_path / "a"))) == 1


def test_one_empty_functional_group_in_a_classic_image_is_its_frame(tmp_path):
    dataset = classic("ge")
    dataset.NumberOfFrames = 1
    dataset.PerFrameFunctionalGroupsSequence = Sequence([Dataset()])
    (image,) = assert_like_pydicom(saved(dataset, tmp_path / "a"))
    assert image.instance == dataset.InstanceNumber


def test_real_ge_images_are_read_as_pydicom_reads_them(test_data):
    files = sorted((test_data / "sunnybrook_dicom").rglob("*.dcm"))[::97]
    if not files:
        pytest.skip("no sunnybrook_dicom")
    for path in files:
        assert_like_pydicom(path)


def test_an_enhanced_file_of_one_frame(tmp_path):
    one = cine()
    dataset = dicom_datasets(Cine(one.array[:, :, :1, :1], one.spacing, one.affine), style="enhanced")[0]
    (image,) = read_headers(saved(dataset, tmp_path / "a"))
    np.testing.assert_array_equal(next(read_pixels([image])), np.rint(one.array[:, :, 0, 0].T))


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "王^小東"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 13", "ﾔﾏﾀﾞﾀﾛｳ"),
        ("GB18030", "王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞"),
    ],
)
def test_texts_in_any_writing_are_known(tmp_path, charset, name):
    dataset = classic()
    dataset.SpecificCharacterSet = charset
    dataset.SeriesDescription = name
    (image,) = read_headers(saved(dataset, tmp_path / "a"))
    assert image.description == name


@pytest.mark.parametrize(
    "charset", ["ISO_IR 999", "utf-8", "", "ISO 2022 IR 999\\ISO 2022 IR 87", "\x01\x02"]
)
def test_an_unknown_character_set_costs_no_image(tmp_path, charset):
    dataset = classic()
    path = saved(dataset, tmp_path / "a")
    raw = path.read_bytes()
    old = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"
    assert old in raw
    data = charset.encode() + b" " * (len(charset) % 2)
    raw = raw.replace(old, b"\x08\x00\x05\x00CS" + len(data).to_bytes(2, "little") + data)
    path.write_bytes(raw.replace(b"Mustermann^Erika", b"M\xfcstermann^Erik\xe4"))
    (pixels,) = read(path)[1]
    np.testing.assert_array_equal(pixels, pixel_array(dataset))


def test_an_unnamed_sop_class_is_known_by_its_modality(tmp_path):
    dataset = classic()
    path = saved(dataset, tmp_path / "a")
    del dataset.SOPClassUID
    dataset.save_as(path)
    assert len(read_headers(path)) == 1


def test_sequences_of_undefined_length_are_read(tmp_path):
    dataset = enhanced()
    for name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        dataset[name].is_undefined_length = True
    assert len(assert_like_pydicom(saved(dataset, tmp_path / "a"))) == 12


def test_private_elements_before_the_pixels_do_no_harm(tmp_path):
    dataset = classic()
    block = dataset.private_block(0x7FDF, "SOMEBODY", create=True)
    block.add_new(0x01, "OB", b"\xe0\x7f\x10\x00OW" * 20)
    assert_like_pydicom(saved(dataset, tmp_path / "a"))


def test_elements_after_the_pixels_are_no_pixels(tmp_path):
    dataset = classic()
    dataset.add_new(0xFFFCFFFC, "OB", b"\x01" * 500)  # data set trailing padding
    assert_like_pydicom(saved(dataset, tmp_path / "a"))


def test_the_pixels_of_a_file_that_vanished_are_an_error(tmp_path):
    path = saved(classic(), tmp_path / "a")
    images = read_headers(path)
    path.unlink()
    (found,) = read_pixels(images)
    assert isinstance(found, DataError)
    assert str(tmp_path) not in str(found)


def test_an_unreadable_plane_does_not_stop_the_others(tmp_path):
    good, bad = (saved(d, tmp_path / n) for d, n in ((classic(), "good"), (classic("ge"), "bad")))
    images = [*read_headers(bad), *read_headers(good)]
    bad.write_bytes(bad.read_bytes()[:-10])
    first, second = read_pixels(images)
    assert isinstance(first, DataError)
    np.testing.assert_array_equal(second, pixel_array(classic()))


# What is no image


def not_an_image(path: Path) -> str:
    with pytest.raises(NotAnImage) as caught:
        read_headers(path)
    return str(caught.value)


def test_a_text_file_is_no_dicom_file(tmp_path):
    (tmp_path / "a.dcm").write_text("Patient: Mustermann, Erika\n" * 50)
    assert not_an_image(tmp_path / "a.dcm") == "no DICOM file"


@pytest.mark.parametrize("size", [0, 1, 100, 131, 132, 200, 5000])
def test_an_empty_file_or_one_of_zeros_is_no_dicom_file(tmp_path, size):
    (tmp_path / "a").write_bytes(b"\0" * size)
    assert not_an_image(tmp_path / "a") == "no DICOM file"


def test_noise_is_no_dicom_file(tmp_path):
    (tmp_path / "a").write_bytes(np.random.default_rng(0).bytes(5000))
    assert not_an_image(tmp_path / "a") == "no DICOM file"


def test_a_folder_called_like_an_image_is_an_error_and_no_crash(tmp_path):
    (tmp_path / "x.dcm").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_headers(tmp_path / "x.dcm")


def test_a_missing_file_is_an_error_that_does_not_tell_its_path(tmp_path):
    with pytest.raises(DataError, match="cannot be read") as caught:
        read_headers(tmp_path / "Mustermann")
    assert "Mustermann" not in str(caught.value)


def test_a_colour_image_is_no_mr_image(tmp_path):
    dataset = classic()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    assert not_an_image(saved(dataset, tmp_path / "a")) == "a colour image (RGB)"


@pytest.mark.parametrize("style", ["siemens", "enhanced"])
def test_indices_of_a_palette_are_no_grey_values(tmp_path, style):
    dataset = enhanced() if style == "enhanced" else classic()
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    assert not_an_image(saved(dataset, tmp_path / "a")) == "a colour image (PALETTE COLOR)"


@pytest.mark.parametrize("name", NON_IMAGES)
def test_screenshots_and_presentation_states_are_no_images(tmp_path, name):
    (dataset,) = other_series(cine(), name)
    not_an_image(saved(dataset, tmp_path / "a"))


def test_a_report_is_no_image(tmp_path):
    dataset = classic()
    for name in ("Rows", "Columns", "BitsAllocated", "PixelData", "ImagePositionPatient"):
        del dataset[name]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.BasicTextSRStorage
    dataset.Modality = "SR"
    assert not_an_image(saved(dataset, tmp_path / "a")) == "no image"


def test_a_dicomdir_is_no_image(tmp_path):
    paths = FileSet()
    paths.add(FileDataset(None, classic(), file_meta=classic().file_meta))
    paths.write(tmp_path / "set")
    assert not_an_image(tmp_path / "set" / "DICOMDIR") == "no image"


def test_spectra_and_raw_data_are_no_images(tmp_path):
    dataset = classic()
    for name in ("Rows", "Columns", "BitsAllocated", "PixelData"):
        del dataset[name]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.RawDataStorage
    not_an_image(saved(dataset, tmp_path / "a"))


# What cannot be used says why


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Rows", 0, "a matrix of 0 x 40 pixels is not plausible"),
        ("Columns", 5000, "a matrix of 36 x 5000 pixels is not plausible"),
        ("PixelSpacing", ["0", "1"], "pixels of 1 x 0 mm are not plausible"),
        ("PixelSpacing", ["1"], "PixelSpacing is missing or damaged"),
        ("ImagePositionPatient", ["1", "2"], "ImagePositionPatient is missing or damaged"),
        ("ImagePositionPatient", ["1e5", "0", "0"], "more than 10000 mm away"),
        ("ImageOrientationPatient", ["1", "0", "0", "1", "0", "0"], "not that of a rectangle"),
        ("ImageOrientationPatient", ["0"] * 6, "not that of a rectangle"),
        ("NumberOfFrames", 7, "7 frames but 0 descriptions of frames"),
        ("NumberOfFrames", 30000, "30000 frames in one file are not plausible"),
        ("RescaleSlope", "0", "a rescale slope of 0"),
        ("BitsAllocated", 12, "pixels of 12 bits"),
    ],
)
def test_absurd_values_are_named(tmp_path, name, value, reason):
    dataset = classic()
    dataset.PixelData = dataset.PixelData * 8
    setattr(dataset, name, value)
    with pytest.raises(DataError, match=reason) as caught:
        read_headers(saved(dataset, tmp_path / "a"))
    assert not isinstance(caught.value, NotAnImage)


@pytest.mark.parametrize(
    "name", ["Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"]
)
def test_what_an_image_needs_is_named_when_it_is_missing(tmp_path, name):
    dataset = classic()
    del dataset[name]
    with pytest.raises(DataError) as caught:
        read_headers(saved(dataset, tmp_path / "a"))
    assert not isinstance(caught.value, NotAnImage)


@pytest.mark.parametrize(
    "name",
    ["TriggerTime", "SliceLocation", "InstanceNumber", "SeriesNumber", "SpacingBetweenSlices", "ImageType",
     "SeriesDescription", "StudyInstanceUID", "SeriesInstanceUID", "AcquisitionTime", "PatientName"],
)  # fmt: skip
def test_what_an_image_does_not_need_may_be_missing(tmp_path, name):
    dataset = classic()
    del dataset[name]
    assert_like_pydicom(saved(dataset, tmp_path / "a"))


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_truncated_pixels_say_how_many_are_there(tmp_path, kept):
    path = saved(classic(), tmp_path / "a")
    raw = path.read_bytes()
    size = 36 * 40 * 2
    path.write_bytes(raw[: len(raw) - size + int(size * kept)])
    with pytest.raises(DataError, match=f"truncated: {int(size * kept)} of {size} bytes of pixels are there"):
        read_headers(path)


def test_an_image_without_pixels_says_so(tmp_path):
    dataset = classic()
    del dataset.PixelData
    with pytest.raises(DataError, match="holds no pixels"):
        read_headers(saved(dataset, tmp_path / "a"))


def test_compressed_pixels_of_another_size_do_not_fit(tmp_path):
    dataset = compress(classic(), uid.JPEG2000Lossless)
    dataset.Rows += 2
    found = next(read_pixels(read_headers(saved(dataset, tmp_path / "a"))))
    assert isinstance(found, DataError)


def test_reading_leaves_the_settings_of_pydicom_alone(tmp_path):
    before = pydicom.config.settings.reading_validation_mode
    read(saved(compress(classic(), uid.RLELossless), tmp_path / "a"))
    assert pydicom.config.settings.reading_validation_mode == before
