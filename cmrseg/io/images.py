"""NIfTI and PNG files to `Cine` and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from cmrseg.cine import Cine
from cmrseg.io.atomic import atomic_path
from cmrseg.io.grid import UNKNOWN_SPACING, Grid
from cmrseg.io.nifti import read_nifti, read_nifti_grid, write_nifti
from cmrseg.io.png import read_png, read_png_grid
from cmrseg.io.same_place import Turn, turn_onto
from cmrseg.labels import get_scheme, remap
from cmrseg.problems import DataError

__all__ = [
    "UNKNOWN_SPACING", "fitted", "is_nifti", "load_image", "load_mask",
    "looks_like_mask", "read_grid", "save_image",
    "save_mask", "stem",
]  # fmt: skip
_MASK_BYTES_PER_PIXEL, _HEADER_BYTES = 0.05, 512  # images of a cine take 0.3 bytes and more
_MASK_VALUES, _MASK_LARGEST = 6, 10
NIFTI_SUFFIXES = (".nii", ".nii.gz")


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
        NIfTI with its axes in any order, or an 8- or 16-bit PNG (rows become y, columns x).

    Returns
    -------
    Cine with a ``float32`` array of shape ``(x, y, z, t)``.

    Raises
    ------
    DataError
        If the file is missing, damaged or of another format, holds NaN or infinite values, or has a header
        that contradicts itself.
    """
    grid, array = _load(path, np.float32)
    if not np.isfinite(array).all():
        raise DataError(f"{path} holds NaN or infinite intensities; export the image again")
    return grid.cine(array)


def load_mask(path: Path, scheme: str, *, image: Path | Grid | None = None) -> Cine:
    """Read a mask in `Label` ids.

    Parameters
    ----------
    path
        NIfTI or PNG, as for `load_image`.
    scheme
        Label scheme of the file, see `cmrseg.labels.get_scheme`.
    image
        The image that it belongs to, or its grid. A mask with flipped or exchanged axes is brought onto it.

    Returns
    -------
    Cine with a ``uint8`` array of shape ``(x, y, z, t)``.

    Raises
    ------
    DataError
        If the file cannot be read, holds a label value outside the scheme, or lies elsewhere than its image.
    """
    theirs = None if image is None else _grid_of(image)
    grid, array = _load(path, None, theirs)
    try:
        labels = remap(array, get_scheme(scheme))
    except ValueError as error:
        raise DataError(f"mask {path}: {error}; name the scheme of the data with --labels") from None
    if theirs is None:
        return grid.cine(labels)
    turn = turn_onto(grid, theirs, f"mask {path}")
    placed = turn(grid.axes.to_file(labels) if grid.axes else labels)
    times = theirs.frame_times_ms if placed.shape[3] == theirs.shape[3] else ()
    return replace(theirs, frame_times_ms=times).cine(placed)


def fitted(mask: Path, image: Path | Grid) -> Turn:
    """What brings the array of a mask's file onto the grid of its image, by the headers alone.

    Raises
    ------
    DataError
        If the mask lies elsewhere, has another size or spacing, or a file cannot be read.
    """
    theirs = _grid_of(image)
    return turn_onto(read_grid(mask, image=theirs), theirs, f"mask {mask}")


def read_grid(path: Path, *, image: Grid | None = None) -> Grid:
    """Shape ``(x, y, z, t)``, spacing and place, from the header; a mask may have that of its image."""
    if not path.exists():
        raise DataError(f"{path} does not exist; check the path")
    return read_nifti_grid(path, image and image.axes) if is_nifti(path) else read_png_grid(path)


def looks_like_mask(path: Path) -> bool:
    """Whether a file holds a few whole numbers in large areas, as masks do and images do not.

    Only files that are much smaller than their pixels, or not packed, are read for that.
    """
    try:
        grid = read_grid(path)
        pixels = int(np.prod(grid.shape))
        is_plain = path.suffix.lower() == ".nii"
        if not is_plain and path.stat().st_size > _MASK_BYTES_PER_PIXEL * pixels + _HEADER_BYTES:
            return False
        if is_nifti(path) and grid.axes.header.get_data_dtype().kind not in "iu":
            return False
        values = np.unique(_load(path, None)[1])
    except DataError:
        return False  # who reads it tells it
    return 2 <= len(values) <= _MASK_VALUES and values.min() >= 0 and values.max() <= _MASK_LARGEST


def save_mask(mask: Cine, path: Path) -> Path:
    """Write a mask atomically, NIfTI or PNG by the suffix, on the grid of the file of its cine.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> path = cmrseg.save_mask(mask, cmrseg.synthetic_data() / "mask.nii.gz")
    >>> (cmrseg.read_mask(path).array == mask.array).all().item()
    True
    """
    array = np.asarray(mask.array, np.uint8)
    with atomic_path(path) as temporary:
        if path.suffix == ".png":
            Image.fromarray(array[:, :, 0, 0].T).save(temporary)
        else:
            write_nifti(mask, array, temporary)
    return path


def save_image(cine: Cine, path: Path) -> Path:
    """Write intensities atomically as a NIfTI of the array's own type."""
    with atomic_path(path) as temporary:
        write_nifti(cine, cine.array, temporary)
    return path


def _grid_of(image: Path | Grid) -> Grid:
    """The grid of an image, or of its file."""
    return image if isinstance(image, Grid) else read_grid(image)


def _load(path: Path, dtype: type | None, image: Grid | None = None) -> tuple[Grid, np.ndarray]:
    """Read any supported file, a mask for its image; ``dtype`` None keeps the stored type."""
    if not path.exists():
        raise DataError(f"{path} does not exist; check the path")
    if is_nifti(path):
        return read_nifti(path, dtype, image and image.axes)
    grid, pixels = read_png(path, is_mask=dtype is None)
    return grid, pixels.astype(dtype or pixels.dtype)
