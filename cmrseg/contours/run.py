"""Contours of all studies of a curation as masks beside their cines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cmrseg.cine import Cine
from cmrseg.contours.belong import studies_of
from cmrseg.contours.images import source_images
from cmrseg.contours.truth import ContourTruth, make_truth
from cmrseg.curation.run import Planes
from cmrseg.io.atomic import write_table
from cmrseg.io.drawn import ContourFile
from cmrseg.io.images import load_image
from cmrseg.io.truth_file import TRUTH, is_own_truth, save_truth
from cmrseg.parallel import StepProgress
from cmrseg.problems import DataError, Problem
from cmrseg.report.figures import Example

CONTOURS = "contours.tsv"
CONTOUR_COLUMNS = ("study", "frame", "slice", "file", "structures", "format")
STUDY_COLUMNS = ("study", "format", "frames", "images", "structures", "left_out")
NO_TRUTH = "no contours used"
_STRANGERS = (
    "{} file(s) or folder(s) of contours are about no study of the source, or do not say about which: give "
    "them the name of the folder of its images, or curate one study at a time"
)
_SHOWN = 6  # studies with pictures
_FRAMES = 2  # of a study in the pictures


@dataclass(frozen=True)
class ContourRun:
    """What became of contours.

    Attributes
    ----------
    studies
        `STUDY_COLUMNS`: one row per study with a mask; ``structures`` tells them by frame.
    problems
        What was left out, and studies whose contours could not be used.
    notes
        What a user should know.
    pictures
        Contours on images of some studies.
    complaints
        On files and studies of which no contour could be used; paths that a user gave may stand in them, so
        they are for the screen only.
    """

    studies: pd.DataFrame
    problems: list[Problem]
    notes: list[str]
    pictures: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


def write_truths(
    sources: Mapping[str, Planes],
    files: Sequence[ContourFile],
    target: Path,
    *,
    progress: StepProgress | None = None,
) -> ContourRun:
    """Write ``truth.nii.gz`` beside the cine of every study that has contours, and ``contours.tsv``.

    A mask of that name that is not of an earlier run, or that somebody has changed, is kept.

    Parameters
    ----------
    sources
        File, and number of the plane in it, of every slice and frame, by study; they can be read still.
    files
        From `cmrseg.contours.files.read_contour_files`.
    target
        Folder of the curation.
    progress
        Told after every study.
    """
    studies = {study: planes for study, planes in sources.items() if planes}
    known = studies_of(studies)
    belonging: defaultdict[str, list[ContourFile]] = defaultdict(list)
    strangers = 0
    for file in files:
        of_file = known.of(file)
        strangers += not of_file
        for study in of_file:
            belonging[study].append(file)
    summaries: list[tuple] = []
    rows: list[tuple] = []
    problems: list[Problem] = []
    pictures: dict[str, tuple[Example, ...]] = {}
    complaints = [_STRANGERS.format(strangers)] if strangers else []
    for number, study in enumerate(sorted(belonging), start=1):
        try:
            cine = load_image(target / study / "sa.nii.gz")
            images = source_images(target, study, cine, planes=studies[study])
            truth = make_truth(study, belonging[study], images, cine)
            _save(truth, target / study)
        except DataError as error:
            complaints.append(f"no contour of {study} was used: {error}")
            problems.append(Problem(study, NO_TRUTH, f"no {TRUTH}", "", str(error)))
        else:
            summaries.append(_summary(truth))
            rows += _rows(truth)
            problems += truth.problems
            if len(pictures) < _SHOWN:
                pictures[study] = tuple(_examples(truth, cine))
        if progress:
            progress("contours", number, len(belonging))
    write_table(pd.DataFrame(rows, columns=list(CONTOUR_COLUMNS)), target / CONTOURS)
    table = pd.DataFrame(summaries, columns=list(STUDY_COLUMNS))
    return ContourRun(table, problems, _notes(table, len(studies)), pictures, complaints)


def _save(truth: ContourTruth, folder: Path) -> None:
    """Write a mask, unless somebody's is there."""
    path = folder / TRUTH
    if path.exists() and not is_own_truth(path):
        raise DataError(f"the {TRUTH} that is there is somebody's and is kept; move it to have it made anew")
    save_truth(truth.mask, folder, {(t, z): k for (t, z), k in truth.known.items()}, told=truth.told)


def _summary(truth: ContourTruth) -> tuple:
    """The row of a study."""
    frames = sorted({d.image.t for d in truth.drawn})
    structures = (
        f"{t}: " + " ".join(label.name for label in next(k for (n, _), k in truth.known.items() if n == t))
        for t in frames
    )
    told = "; ".join(structures)
    formats = ", ".join(truth.formats)
    return truth.study, formats, len(frames), len(truth.drawn), told, len(truth.problems)


def _rows(truth: ContourTruth) -> Iterator[tuple]:
    """One row per image with contours that are used."""
    for d in truth.drawn:
        z, t = d.image.z, d.image.t
        shown = " ".join(label.name for label in truth.known[t, z])
        yield truth.study, t, z, d.image.file, shown, ", ".join(truth.formats)


def _examples(truth: ContourTruth, cine: Cine) -> Iterator[Example]:
    """Contours on the first, the middle and the last image of the frames of the largest and smallest mask."""
    sizes = (truth.mask.array > 0).sum(axis=(0, 1, 2))
    frames = sorted({d.image.t for d in truth.drawn}, key=lambda t: -sizes[t])
    for t in sorted({frames[0], frames[-1]}, key=frames.index)[:_FRAMES]:
        slices = sorted(d.image.z for d in truth.drawn if d.image.t == t)
        for z in dict.fromkeys((slices[0], slices[len(slices) // 2], slices[-1])):
            mask = truth.mask.array[:, :, z, t]
            yield Example(cine.array[:, :, z, t], mask * 0, mask, truth.study, f"frame {t}", z)


def _notes(table: pd.DataFrame, studies: int) -> list[str]:
    """What a user should know."""
    notes = [
        f"contours of {len(table)} of {studies} studies became {TRUTH}: {int(table['images'].sum())} images; "
        "papillary muscles and trabeculae count as blood of the LV"
    ]
    if left := int(table["left_out"].sum()):
        notes.append(f"{left} contour(s) or image(s) were left out, see problems.tsv")
    return notes
