"""A learner that fastai exported becomes a model file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmrseg.data.augment import flips_of
from cmrseg.io.checksum import sha256_of
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.model_file import ModelSpec, save_model

if TYPE_CHECKING:
    from cmrseg.legacy.learner import Learner


@dataclass(frozen=True)
class ImportOptions:
    """What a user knows about a learner; None leaves it to the file, then to the paper's values.

    Attributes
    ----------
    architecture
        Such as ``r34``.
    labels
        Label scheme by name or spelled out: which structure each output channel is.
    size
        Height and width of the training images in pixels.
    recipe
        Recipe name such as ``r34_CE_p5_s2``; it becomes the model's name.
    licence
        Of the weights.
    """

    architecture: str | None = None
    labels: str | None = None
    size: int | None = None
    recipe: str | None = None
    licence: str = "unstated"


@dataclass(frozen=True)
class ImportedModel:
    """A model file that came from a learner, and what was taken for granted."""

    path: Path
    spec: ModelSpec
    notes: tuple[str, ...]


def import_learner(file: Path, out: Path, options: ImportOptions | None = None) -> ImportedModel:
    """Turn the file of a fastai ``Learner.export`` into a model file.

    Parameters
    ----------
    file
        Written by any fastai 2 (or fastai2) with any torch; zip or stream format.
    out
        Model file to write, ``.safetensors``.
    options
        What the user names.

    Returns
    -------
    The file, its description and notes on what the learner did not say.

    Raises
    ------
    DataError
        If the file is no learner, is hostile or damaged, or holds another network than ours.
    """
    from cmrseg.legacy.learner import read_learner  # needs torch, which the names of models do not

    options = options or ImportOptions()
    learner = read_learner(file, architecture=options.architecture, labels=options.labels, size=options.size)
    spec = _described(learner, options, file)
    return ImportedModel(save_model(spec, learner.state, out), spec, learner.settings.notes)


def _described(learner: Learner, options: ImportOptions, file: Path) -> ModelSpec:
    """Description of the imported model."""
    architecture, settings = learner.architecture, learner.settings
    recipe = options.recipe or f"{architecture}_{settings.loss}_imported_{settings.augmentation}"
    if recipe.split("_")[0] != architecture:
        raise DataError(f"recipe '{recipe}' does not begin with {architecture}, which {file} holds")
    return ModelSpec(
        name=recipe,
        architecture=architecture,
        labels=settings.labels,
        preprocessing=Preprocessing(
            pixel_mm=None, size=settings.size, rgb=True, resize="longer_side", grey="png"
        ),
        recipe=recipe,
        flips=flips_of(recipe),
        licence=options.licence,
        training={
            "imported_from": file.name,
            "imported_sha256": sha256_of([file]),
            "import_notes": list(settings.notes),
        },
    )
