"""Synthetic images, to try everything with."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from cmrseg.cine import Cine


def synthetic_cine(seed: int = 1) -> tuple[Cine, Cine]:
    """A synthetic cine of six frames and its true mask.

    Parameters
    ----------
    seed
        Of the noise.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> image.array.shape == mask.array.shape
    True
    """
    from cmrseg.phantom import SCANNERS, PhantomSpec, make_study

    study = make_study(PhantomSpec(n_slices=8, n_frames=6, slice_spacing_mm=14.0), SCANNERS["A"], seed)
    return study.cine, study.mask


def synthetic_data(folder: str | Path | None = None, *, subjects: int = 2) -> Path:
    """A synthetic data set with masks at end-diastole and end-systole.

    Parameters
    ----------
    folder
        Gets the studies; a new temporary folder by default.
    subjects
        How many.

    Returns
    -------
    The folder.

    Examples
    --------
    >>> import cmrseg
    >>> (cmrseg.synthetic_data() / "catalog.csv").exists()
    True
    """
    from cmrseg.phantom import SCANNERS
    from cmrseg.workflows.demo import DemoSize, write_studies

    folder = Path(mkdtemp()) / "synthetic" if folder is None else Path(folder)
    return write_studies(folder, SCANNERS["A"], subjects, DemoSize(n_frames=4), seed=1)


def synthetic_dicom(folder: str | Path | None = None) -> Path:
    """A synthetic examination as DICOM files.

    Parameters
    ----------
    folder
        Gets the files; a new temporary folder by default.

    Returns
    -------
    The folder.

    Examples
    --------
    >>> import cmrseg
    >>> any(cmrseg.synthetic_dicom().iterdir())
    True
    """
    from cmrseg.phantom.dicom import dicom_datasets, write_datasets

    folder = Path(mkdtemp()) / "dicom" if folder is None else Path(folder)
    image, _ = synthetic_cine()
    write_datasets(dicom_datasets(image), folder, np.random.default_rng(0))
    return folder
