"""Predicted studies with the contours that people drew on some of their images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cmrseg.cine import Cine
from cmrseg.contours.draw import DrawnImage, draw
from cmrseg.contours.images import source_images
from cmrseg.contours.truth_check import DISPLACED, nesting, truth_problems
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.io.images import load_image, load_mask
from cmrseg.io.outlines import Outline, label_map
from cmrseg.labels import Label
from cmrseg.problems import DataError, Problem, existing_folder

_NEEDED = {
    Label.LV: {Outline.ENDOCARDIUM},
    Label.MYO: {Outline.ENDOCARDIUM, Outline.EPICARDIUM},
    Label.RV: {Outline.RV},
}
_WORKSPACES = (".cvi42wsx", ".xml")


@dataclass(frozen=True)
class ContourOptions:
    """Which contours belong to which study, and what they are measured in.

    Attributes
    ----------
    study
        Evaluate this study only; by default all.
    curated
        Folder of the curation, where it is not that of the predictions.
    dicom
        The source that was curated; needed for cvi42 and where curation resampled the images.
    first_pixel
        What text files call the centre of the first pixel.
    """

    study: str | None = None
    curated: Path | None = None
    dicom: Path | None = None
    first_pixel: int = 0


@dataclass(frozen=True)
class ContouredExamination:
    """A study with contours.

    Attributes
    ----------
    name
        Of the study.
    predicted
        Predicted `Label` ids, ``(x, y, z, t)``.
    truth
        The contours as `Label` ids on the same grid; background where nothing is contoured.
    drawn
        The contoured images.
    cine
        File of the intensities, None where it is not there.
    """

    name: str
    predicted: Cine
    truth: Cine
    drawn: tuple[DrawnImage, ...]
    cine: Path | None = None

    @property
    def frames(self) -> list[int]:
        """Frames with contours."""
        return sorted({d.image.t for d in self.drawn})

    def images(self, label: Label, t: int) -> list[DrawnImage]:
        """Images of a frame in which a structure is contoured."""
        return [d for d in self.drawn if d.image.t == t and d.polygons.keys() >= _NEEDED[label]]

    def slices(self, label: Label, t: int) -> list[int]:
        """Slices of a frame in which a structure is contoured."""
        return [d.image.z for d in self.images(label, t)]


def contour_truth(drawn: Iterable[DrawnImage], grid: Cine) -> Cine:
    """Contours as a mask.

    Parameters
    ----------
    drawn
        Contoured images, in pixels of the grid.
    grid
        A cine or mask on the grid.

    Returns
    -------
    `Label` ids, ``uint8``; background in images without contours.
    """
    truth = np.zeros(grid.array.shape, np.uint8)
    for d in drawn:
        truth[:, :, d.image.z, d.image.t] = label_map(d.polygons, truth.shape[:2])
    return grid.with_array(truth)


def read_studies(
    predicted: Path, contours: Path, options: ContourOptions
) -> tuple[list[ContouredExamination], list[Problem]]:
    """Read predictions and the contours that belong to them.

    Parameters
    ----------
    predicted
        Folder with ``<study>/seg.nii.gz``, as `cmrseg predict` writes it.
    contours
        Folder or workspace; see `cmrseg.evaluation.contours.evaluate_contours`.
    options
        Which contours belong to which study.

    Returns
    -------
    Studies without displaced epicardia, and what is wrong with the contours. A study whose contours cannot be
    read is a problem where there are others.

    Raises
    ------
    DataError
        If there are no predictions or contours, or none of them belong together.
    """
    sources = _sources(existing_folder(predicted, "prediction"), contours, options.study)
    studies, problems = [], []
    for name, source in sources.items():
        try:
            study, found = _read_study(predicted, name, source, options)
        except DataError as error:
            if len(sources) == 1:
                raise
            problems.append(Problem(name, "no contours", NOT_EVALUATED, "", str(error)))
            continue
        studies.append(study)
        problems += found
    if not studies:
        raise DataError(f"no study of {predicted} could be evaluated: {problems[0].extra_info}")
    return studies, problems


def _sources(predicted: Path, contours: Path, study: str | None) -> dict[str, Path]:
    """Contours of every study: those of its name, or all where there is only one study."""
    studies = sorted(path.parent.name for path in predicted.glob("*/seg.nii.gz"))
    if not studies:
        raise DataError(f"{predicted} holds no <study>/seg.nii.gz; predict the study first")
    if study is not None and study not in studies:
        raise DataError(f"{predicted} has no study {study}; it has: {', '.join(studies)}")
    if not contours.exists():
        raise DataError(f"contours {contours} do not exist; check the path")
    wanted = studies if study is None else [study]
    named = {name: path for name in wanted if (path := _named(contours, name)).exists()}
    if not named and len(wanted) > 1:
        raise DataError(
            f"{contours} has no folder or workspace of the name of a study ({', '.join(wanted[:5])}); "
            "name the study that the contours belong to with --study"
        )
    return {name: named.get(name, contours / name if named else contours) for name in wanted}


def _named(contours: Path, study: str) -> Path:
    """Contours that bear the name of a study: its workspace, else its folder."""
    workspaces = [contours / f"{study}{suffix}" for suffix in _WORKSPACES]
    return next((path for path in workspaces if path.is_file()), contours / study)


def _read_study(
    predicted: Path, name: str, source: Path, options: ContourOptions
) -> tuple[ContouredExamination, list[Problem]]:
    """Prediction and contours of one study, and what is wrong with the contours."""
    mask = load_mask(predicted / name / "seg.nii.gz", "cmrseg")
    curated = options.curated or predicted
    images = source_images(curated, name, mask, options.dicom)
    drawn, problems = draw(images, source, study=name, first_pixel=options.first_pixel)
    if not any(Outline.ENDOCARDIUM in d.polygons or Outline.RV in d.polygons for d in drawn):
        raise DataError(f"{source} has no contour of an LV or RV cavity of {name}; nothing to evaluate")
    drawn, displaced = _without_displaced(drawn, name)
    truth, cine = contour_truth(drawn, mask), curated / name / "sa.nii.gz"
    study = ContouredExamination(name, mask, truth, tuple(drawn), cine if cine.is_file() else None)
    return study, [*problems, *displaced, *_against_image(study)]


def _without_displaced(drawn: list[DrawnImage], study: str) -> tuple[list[DrawnImage], list[Problem]]:
    """Images without an epicardium that is not around its endocardium."""
    sound, problems = [], []
    for d in drawn:
        if d.polygons.keys() >= _NEEDED[Label.MYO]:
            found = nesting(d.polygons[Outline.ENDOCARDIUM], d.polygons[Outline.EPICARDIUM])
            if not found.is_sound:
                problems.append(Problem(study, DISPLACED, "epicardium left out", d.image.file, str(found)))
                kept = {kind: p for kind, p in d.polygons.items() if kind != Outline.EPICARDIUM}
                d = replace(d, polygons=kept)
        sound.append(d)
    return sound, problems


def _against_image(study: ContouredExamination) -> list[Problem]:
    """Contours that are displaced against their images."""
    if study.cine is None:
        return []
    image, truth = load_image(study.cine).array, study.truth.array
    if image.shape != truth.shape:
        raise DataError(f"{study.cine} is not on the grid of the prediction; curate and predict again")
    return [
        problem
        for t in study.frames
        for problem in truth_problems(
            truth[..., t], image[..., t], subject=study.name, name=f"{study.cine.name} frame {t}"
        )
    ]
