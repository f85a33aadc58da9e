"""From files to masks and models: what a person does with images."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cmrseg.cine import Cine
from cmrseg.io.images import load_image, load_mask

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
        Name of the zoo, model file or loaded model; the default model.
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
        Name of the zoo or model file; the default model.

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
