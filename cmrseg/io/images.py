"""NIfTI and PNG files to `Cine` and back."""

from __future__ import annotations

import zlib
from gzip import BadGzipFile
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.filebasedimages import ImageFileError
from PIL import Image, UnidentifiedImageError

from cmrseg.cine import Cine
from cmrseg.io.atomic import atomic_path
from cmrseg.labels import get_scheme, remap
from cmrseg.problems import DataError

NIFTI_SUFFIXES = (".nii", ".nii.gz")
UNKNOWN_SPACING = (np.nan, np.nan, np.nan)
_MM_PER_UNIT = {"meter": 1e3, "micron": 1e-3}
_TIME_UNITS_PER_MS = {"sec": 1e-3, "msec": 1.0, "usec": 1e3}


def is_nifti(path: Path) -> bool:
    """Whether the name says NIfTI."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def stem(path: Path) -> str:
    """File name without its suffixes (``a.nii.gz`` -> ``a``)."""
    name = path.name
    for suffix in (".nii.gz", ".nii", ".png"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem


def load_image(path: Path) -> Cine:
    """Read an image as a cine of intensities.

    Parameters
    ----------
    path
        NIfTI of 2 to 4 dimensions, or an 8- or 16-bit PNG (rows become y, columns x).

    Returns
    -------
    Cine with a ``float32`` array of shape ``(x, y, z, t)``.

    Raises
    ------
    DataError
        If the file is missing, truncated, of another format, or holds NaN or infinite values.
    """
    cine = _load(path, np.float32)
    if not np.isfinite(cine.array).all():
        raise DataError(f"{path} holds NaN or infinite intensities; export the image again")
    return cine


def load_mask(path: Path, scheme: str) -> Cine:
    """Read a mask in `Label` ids.

    Parameters
    ----------
    path
        NIfTI or PNG, as for `load_image`.
    scheme
        Label scheme of the file, see `cmrseg.labels.get_scheme`.

    Returns
    -------
    Cine with a ``uint8`` array of shape ``(x, y, z, t)``.

    Raises
    ------
    DataError
        If the file cannot be read or holds a label value outside the scheme.
    """
    cine = _load(path, None)
    try:
        labels = remap(cine.array, get_scheme(scheme))
    except ValueError as error:
        raise DataError(f"mask {path}: {error}; name the scheme of the data with --labels") from None
    return cine.with_array(labels)


def read_grid(path: Path) -> tuple[tuple[int, int, int, int], tuple[float, float, float]]:
    """Shape ``(x, y, z, t)`` and spacing (mm) from the header alone."""
    if is_nifti(path):
        image = _open_nifti(path)
        return _four_axes(image.shape, path), _nifti_spacing(image)
    with _open_png(path) as image:
        return (*image.size, 1, 1), UNKNOWN_SPACING


def save_mask(mask: Cine, path: Path) -> Path:
    """Write a mask atomically, NIfTI or PNG by the suffix; a single frame becomes a 3D NIfTI."""
    array = np.asarray(mask.array, np.uint8)
    with atomic_path(path) as temporary:
        if path.suffix == ".png":
            Image.fromarray(array[:, :, 0, 0].T).save(temporary)
        else:
            _write_nifti(_nifti(mask, array), temporary)
    return path


def save_image(cine: Cine, path: Path) -> Path:
    """Write intensities atomically as a NIfTI of the array's own type."""
    with atomic_path(path) as temporary:
        _write_nifti(_nifti(cine, cine.array), temporary)
    return path


def _write_nifti(image: nib.Nifti1Image, path: Path) -> None:
    """Write an image; equal images give equal bytes, and ISA-L compresses five times faster than zlib."""
    with path.open("wb") as file:
        if path.suffix != ".gz":
            image.to_stream(file)
            return
        with igzip.IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed:
            image.to_stream(packed)


def _load(path: Path, dtype: type | None) -> Cine:
    """Read any supported file; ``dtype`` None keeps the stored type."""
    if not path.exists():
        raise DataError(f"{path} does not exist; check the path")
    if is_nifti(path):
        return _load_nifti(path, dtype)
    return _load_png(path, dtype)


def _load_nifti(path: Path, dtype: type | None) -> Cine:
    image = _open_nifti(path)
    shape = _four_axes(image.shape, path)
    try:
        array = np.asarray(image.dataobj, dtype=dtype).reshape(shape)
    except (OSError, EOFError, BadGzipFile, zlib.error, ValueError) as error:
        raise DataError(f"{path} is truncated or damaged ({_first_line(error)}); copy it again") from None
    affine = np.diag([*[_mm_per_unit(image)] * 3, 1.0]) @ image.affine
    return Cine(array, _nifti_spacing(image), affine, _frame_times_ms(image, shape[3]))


def _open_nifti(path: Path) -> nib.Nifti1Image:
    """Header of a NIfTI file."""
    try:
        image = nib.load(path)
    except (ImageFileError, OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path} is no readable NIfTI file ({_first_line(error)}); export it again") from None
    if image.get_data_dtype().fields:
        raise _colour_error(path)
    return image


def _four_axes(shape: tuple[int, ...], path: Path) -> tuple[int, int, int, int]:
    """Shape with missing slice and time axes added."""
    if not 2 <= len(shape) <= 4:
        raise DataError(f"{path} has {len(shape)} dimensions; 2 to 4 (x y z t) are needed")
    return (*shape, *(1,) * (4 - len(shape)))  # type: ignore[return-value]


def _nifti_spacing(image: nib.Nifti1Image) -> tuple[float, float, float]:
    """Spacing in mm; a header of exactly 1 x 1 x 1 says nothing about a short-axis stack: unknown.

    A 2D image has no distance between slices.
    """
    zooms = [float(z) for z in image.header.get_zooms()[:3]]
    if set(zooms) == {1.0} or min(zooms) <= 0 or not np.isfinite(zooms).all():
        return UNKNOWN_SPACING
    mm = [round(z * _mm_per_unit(image), 6) for z in zooms]
    return (*mm, *UNKNOWN_SPACING[len(mm) :])  # type: ignore[return-value]


def _mm_per_unit(image: nib.Nifti1Image) -> float:
    """Length of the header's unit; an unknown one is taken to be mm."""
    return _MM_PER_UNIT.get(_units(image)[0], 1.0)


def _units(image: nib.Nifti1Image) -> tuple[str, str]:
    """Units of length and time by the header; unknown where it holds a code that NIfTI does not have."""
    try:
        return image.header.get_xyzt_units()
    except KeyError:
        return "unknown", "unknown"


def _frame_times_ms(image: nib.Nifti1Image, frames: int) -> tuple[float, ...]:
    """Evenly spaced frame times, where the header gives the step and its unit."""
    zooms = image.header.get_zooms()
    unit = _units(image)[1]
    if frames == 1 or len(zooms) < 4 or unit not in _TIME_UNITS_PER_MS or zooms[3] <= 0:
        return ()
    step_ms = float(zooms[3]) / _TIME_UNITS_PER_MS[unit]
    return tuple(frame * step_ms for frame in range(frames))


def _load_png(path: Path, dtype: type | None) -> Cine:
    with _open_png(path) as image:
        try:
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path} is truncated or damaged ({_first_line(error)}); copy it again") from None
        pixels = _grey(image, path, is_mask=dtype is None)
    return Cine(pixels.T[:, :, None, None].astype(dtype or pixels.dtype), UNKNOWN_SPACING)


def _grey(image: Image.Image, path: Path, *, is_mask: bool) -> np.ndarray:
    """Grey values, or the ids of a mask: the indices of a palette, not its colours."""
    if image.mode in ("P", "PA") and not is_mask:
        image = image.convert("L")
    pixels = np.atleast_3d(np.asarray(image))
    colours = pixels[..., : 3 if image.mode in ("RGB", "RGBA") else 1]
    if (colours != colours[..., :1]).any():
        raise _colour_error(path)
    return colours[..., 0]


def _colour_error(path: Path) -> DataError:
    """What a file of colours lacks."""
    return DataError(f"{path} is a colour image; grey values or label ids are needed, save it as 8-bit grey")


def _open_png(path: Path) -> Image.Image:
    """Header of a PNG file."""
    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{path} is no readable PNG file ({_first_line(error)}); export it again") from None


def _nifti(cine: Cine, array: np.ndarray) -> nib.Nifti1Image:
    """NIfTI image with spacing in mm and time in seconds."""
    frames = array.shape[3]
    is_2d = array.shape[2:] == (1, 1) and np.isfinite(cine.spacing[:2]).all() and not cine.has_spacing
    axes = 4 if frames > 1 else 2 if is_2d else 3  # in 3D, a header would invent the distance of slices
    image = nib.Nifti1Image(array.reshape(array.shape[:axes]), cine.affine)
    spacing = cine.spacing if cine.has_spacing or is_2d else (1.0, 1.0, 1.0)
    times = cine.frame_times_ms
    step_s = (times[-1] - times[0]) / (len(times) - 1) / 1000 if len(times) > 1 else 1.0
    image.header.set_zooms((*spacing, step_s)[:axes])
    image.header.set_xyzt_units("mm", "sec" if len(times) > 1 else "unknown")
    return image


def _first_line(error: Exception) -> str:
    """The message of an error without its tail."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
