"""What a person calls from Python: `import cmrseg` and these names, few arguments, plain answers."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.io.images import load_image, load_mask
from cmrseg.labels import STRUCTURES
from cmrseg.problems import DataError

if TYPE_CHECKING:
    from cmrseg.evaluation import Evaluation
    from cmrseg.predict import Options, PredictionRun
    from cmrseg.training.fit import TrainingRun
    from cmrseg.training.options import TrainOptions
    from cmrseg.zoo import Model


def read_cine(path: str | Path) -> Cine:
    """A cine, stack or single image from a NIfTI or PNG file.

    Parameters
    ----------
    path
        Of the file.

    Returns
    -------
    Intensities ``(x, y, z, t)`` with their spacing in mm.

    Raises
    ------
    DataError
        If it cannot be read.

    Examples
    --------
    >>> import cmrseg
    >>> cmrseg.read_cine(cmrseg.synthetic_data() / "synthetic01" / "sa.nii.gz").array.ndim
    4
    """
    return load_image(Path(path))


def read_mask(path: str | Path, *, labels: str = "cmrseg") -> Cine:
    """A mask from a NIfTI or PNG file, as `Label` ids: 1 LV, 2 MYO, 3 RV.

    Parameters
    ----------
    path
        Of the file.
    labels
        Label scheme of the file, such as ``acdc`` or ``LV=3,MYO=2,RV=1``.

    Raises
    ------
    DataError
        If it cannot be read, or holds ids that the scheme does not know.

    Examples
    --------
    >>> import cmrseg
    >>> mask = cmrseg.read_mask(cmrseg.synthetic_data() / "synthetic01" / "truth.nii.gz")
    >>> int(mask.array.max())
    3
    """
    return load_mask(Path(path), labels)


def read_dicom(source: str | Path) -> dict[str, Cine]:
    """The short-axis cines in a folder or archive of DICOM files, curated.

    Parameters
    ----------
    source
        Folder tree or archive in any order; other series are left out.

    Returns
    -------
    Cine by the pseudonym of its examination; what could not be used lacks (`curate` says why).

    Raises
    ------
    DataError
        If there is no MR image in it.

    Examples
    --------
    >>> import cmrseg
    >>> (cine,) = cmrseg.read_dicom(cmrseg.synthetic_dicom()).values()
    >>> cine.array.shape[3]
    6
    """
    from cmrseg.curation.run import curate

    with TemporaryDirectory() as folder:
        studies = curate(Path(source), Path(folder)).studies
        paths = {study: Path(folder) / study / "sa.nii.gz" for study in studies["study"]}
        return {study: load_image(path) for study, path in paths.items() if path.exists()}


def segment(cine: Cine, model: str | Path | Model | None = None, *, options: Options | None = None) -> Cine:
    """The mask of a cine, on its own grid.

    Parameters
    ----------
    cine
        Intensities ``(x, y, z, t)``.
    model
        Name of the zoo, model file or loaded model; the embedded model by default.
    options
        How masks are made.

    Returns
    -------
    `Label` ids: 1 LV, 2 MYO, 3 RV.

    Raises
    ------
    DataError
        If there is no such model.

    Examples
    --------
    >>> import cmrseg
    >>> image, truth = cmrseg.synthetic_cine()
    >>> mask = cmrseg.segment(image)
    >>> mask.array.shape == image.array.shape
    True
    """
    from cmrseg.predict import DEFAULT_MODEL, segment_cine

    return segment_cine(cine, DEFAULT_MODEL if model is None else model, options)


def segment_all(source: str | Path, out: str | Path, model: str | Path | None = None) -> PredictionRun:
    """Masks and tables of every image of a data set, folder or file, as `cmrseg predict` makes them.

    Parameters
    ----------
    source
        Data set in any known layout, folder of NIfTI or PNG files, or one file.
    out
        Gets a folder per subject, volumes.csv and summary.csv.
    model
        Name of the zoo or model file; the embedded model by default.

    Raises
    ------
    DataError
        If nothing can be read or the model cannot be loaded.

    Examples
    --------
    >>> import cmrseg
    >>> data = cmrseg.synthetic_data(subjects=1)
    >>> len(cmrseg.segment_all(data, data.parent / "masks").summary)
    1
    """
    from cmrseg.predict import DEFAULT_MODEL, predict

    return predict(Path(source), Path(out), model=DEFAULT_MODEL if model is None else model)


def volumes(mask: Cine) -> pd.DataFrame:
    """Volume of every structure at every frame.

    Parameters
    ----------
    mask
        `Label` ids ``(x, y, z, t)``.

    Returns
    -------
    Columns frame, time_ms, LV_ml, MYO_ml and RV_ml; ``nan`` where the spacing is unknown.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> list(cmrseg.volumes(mask).columns)
    ['frame', 'time_ms', 'LV_ml', 'MYO_ml', 'RV_ml']
    """
    from cmrseg.metrics.volumes import volume_table

    return volume_table("", mask).drop(columns="study")


def summary(mask: Cine) -> dict[str, Any]:
    """Function of the left ventricle: volumes (ml), EF (%) and myocardial mass (g).

    Parameters
    ----------
    mask
        `Label` ids ``(x, y, z, t)``.

    Returns
    -------
    Values by the names of ``summary.csv``: EDV_ml, ESV_ml, SV_ml, EF_percent, MYO_mass_g, ED_frame, ES_frame.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> found = cmrseg.summary(mask)
    >>> found["EDV_ml"] > found["ESV_ml"] > 0
    True
    """
    from cmrseg.metrics.volumes import summary_row

    return {name: value for name, value in summary_row("", mask).items() if name != "study"}


def ejection_fraction(mask: Cine) -> float:
    """Ejection fraction of the left ventricle in percent; ``nan`` where there is none.

    Parameters
    ----------
    mask
        `Label` ids ``(x, y, z, t)`` of one heart beat.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> 30 < cmrseg.ejection_fraction(mask) < 80
    True
    """
    return float(summary(mask)["EF_percent"])


def indices(mask: Cine) -> pd.DataFrame:
    """The 11 LV indices of the middle slices: areas, diameters, regional wall thickness, phase.

    Parameters
    ----------
    mask
        `Label` ids ``(x, y, z, t)``.

    Returns
    -------
    One row per slice and frame, see `cmrseg.metrics.indices.lv_indices`.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> "frame" in cmrseg.indices(mask)
    True
    """
    from cmrseg.metrics.indices import lv_indices

    found = summary(mask)
    if found["ED_frame"] is None:
        raise DataError("the mask shows no LV, so it has no ED and ES and no indices; look at it")
    return lv_indices(mask, ed_frame=int(found["ED_frame"]), es_frame=int(found["ES_frame"]))


def dice(predicted: Cine, truth: Cine) -> dict[str, float]:
    """Dice of every structure over a whole mask, 0 to 1; absent from both is 1.

    Parameters
    ----------
    predicted, truth
        `Label` ids on one grid.

    Raises
    ------
    ValueError
        If their shapes differ.

    Examples
    --------
    >>> import cmrseg
    >>> image, truth = cmrseg.synthetic_cine()
    >>> cmrseg.dice(truth, truth)
    {'LV': 1.0, 'MYO': 1.0, 'RV': 1.0}
    """
    from cmrseg.metrics import overlap

    scores = overlap.dice(overlap.confusion_counts(predicted.array, truth.array))
    return {label.name: float(score) for label, score in zip(STRUCTURES, scores, strict=True)}


def hausdorff(predicted: Cine, truth: Cine) -> dict[str, float]:
    """Hausdorff distance of every structure in mm, the largest over the frames.

    Parameters
    ----------
    predicted, truth
        `Label` ids on one grid.

    Returns
    -------
    ``nan`` where a structure is absent from one of the two in a frame, or the spacing is unknown.

    Examples
    --------
    >>> import cmrseg
    >>> image, truth = cmrseg.synthetic_cine()
    >>> cmrseg.hausdorff(truth, truth)
    {'LV': 0.0, 'MYO': 0.0, 'RV': 0.0}
    """
    from cmrseg.metrics.surface import surface_distances

    def largest(label: int) -> float:
        frames = range(truth.array.shape[3])
        pairs = ((predicted.array[..., t] == label, truth.array[..., t] == label) for t in frames)
        return float(np.max([surface_distances(a, b, truth.spacing).hd for a, b in pairs]))

    return {label.name: largest(label) for label in STRUCTURES}


def evaluate(predicted: str | Path, truth: str | Path, out: str | Path) -> Evaluation:
    """Masks against masks: Dice, distances, volumes, EF and mass, with tables and a report.

    Parameters
    ----------
    predicted
        Folder of `segment_all`, or another reader's data set.
    truth
        Data set with masks.
    out
        Folder for metrics.csv, summary.csv, figures and report.html.

    Examples
    --------
    >>> import cmrseg
    >>> data = cmrseg.synthetic_data(subjects=1)
    >>> run = cmrseg.segment_all(data, data.parent / "masks")
    >>> found = cmrseg.evaluate(data.parent / "masks", data, data.parent / "scores")
    >>> sorted(set(found.summary["structure"]))
    ['LV', 'MYO', 'RV']
    """
    from cmrseg.workflows import evaluate as workflow

    return workflow.masks(Path(predicted), Path(truth), Path(out))


def train(
    recipe: str, data: str | Path, out: str | Path, *, options: TrainOptions | None = None
) -> TrainingRun:
    """Train a model from its recipe, with a report on the validation subjects.

    Parameters
    ----------
    recipe
        ``architecture_loss_set_augmentation``, such as ``r34_CE_p5_s2``.
    data
        Data set with masks.
    out
        Folder of the run.
    options
        What differs from the defaults of the architecture.

    Examples
    --------
    >>> import cmrseg
    >>> data = cmrseg.synthetic_data(subjects=4)
    >>> options = cmrseg.TrainOptions(epochs=1)
    >>> run = cmrseg.train("light2d_CE_toy_s1", data, data.parent / "run", options=options)
    >>> run.model_file.name
    'model.safetensors'
    """
    from cmrseg.training.config import train_config
    from cmrseg.workflows import train as workflow

    return workflow.train(train_config(recipe, options), Path(data), Path(out))


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
