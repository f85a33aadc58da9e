"""Contours of a study as a mask to train on: what cannot be right is left out, what is unknown stays so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cmrseg.cine import Cine
from cmrseg.contours.draw import DrawnImage, Faults, draw_files
from cmrseg.contours.images import SourceImage
from cmrseg.contours.truth_check import DISPLACED, nesting
from cmrseg.io.drawn import ContourFile
from cmrseg.io.outlines import Outline, label_map, polygon_area, rasterise
from cmrseg.io.qmass import FORMAT as QMASS
from cmrseg.labels import Label
from cmrseg.metrics.contrast import MIN_CONTRAST, blood_contrast
from cmrseg.problems import DataError, Problem

CONTRADICTORY = "contours contradict each other"
GAP = "slice not contoured"
LEFT_OUT = "left out of truth.nii.gz"
PAPILLARY = "in the LV cavity"
_OF = {Outline.ENDOCARDIUM: Label.LV, Outline.EPICARDIUM: Label.MYO, Outline.RV: Label.RV}
_MOST_OVERLAP = 0.1  # of the RV that may lie in the LV
_MOST_LOST = 0.5  # of the contours of a structure in a frame; with more lost it is unknown in all of them
_BETTER = 0.1  # contrast that a stack must gain where its slices are counted from the other end
_LV = {Outline.ENDOCARDIUM, Outline.EPICARDIUM}
Images = dict[tuple[int, int], DrawnImage]


@dataclass(frozen=True)
class ContourTruth:
    """The contours of a study as a mask.

    Attributes
    ----------
    study
        Name.
    mask
        `Label` ids, shape ``(x, y, z, t)``; background where nothing is drawn.
    known
        Frame and slice of every image that may be used, with the structures that were looked for in it.
        Slices above and below all contours of a frame show no heart.
    drawn
        The images with contours that are used.
    problems
        What was left out, and why.
    formats
        What the contours were written by.
    unused
        How many contours are of other structures, such as papillary muscles.
    """

    study: str
    mask: Cine
    known: dict[tuple[int, int], tuple[Label, ...]]
    drawn: tuple[DrawnImage, ...]
    problems: list[Problem]
    formats: tuple[str, ...]
    unused: int

    @property
    def told(self) -> dict[str, object]:
        """What a person should know of the contours, for ``truth.json``."""
        return {
            "contours": ", ".join(self.formats),
            "papillary_muscles": PAPILLARY,
            "contours_not_used": self.unused,
        }


def make_truth(
    study: str, files: Sequence[ContourFile], images: Sequence[SourceImage], cine: Cine
) -> ContourTruth:
    """Contours as a mask of their cine.

    An epicardium that is not around its endocardium, an RV in the LV, and frames whose contours lie elsewhere
    than blood and muscle are left out. A structure that no image of a frame has is unknown in that frame; an
    image of which a contour was left out, or that has none between others that have, is not used.

    Parameters
    ----------
    study
        Its name.
    files
        Contours.
    images
        Images of the cine, as their source had them.
    cine
        Intensities, shape ``(x, y, z, t)``.

    Raises
    ------
    DataError
        If no contour can be used, or two are of one structure and image.
    """
    drawn, problems, faults = _drawn(study, files, images, cine)
    if not drawn:
        raise DataError(problems[0].extra_info if problems else "no contour is about its images")
    frames: defaultdict[int, Images] = defaultdict(dict)
    for image in drawn:
        frames[image.image.t][image.image.z, image.image.t] = image
    mask = np.zeros(cine.array.shape, np.uint8)
    width, height, slices = (int(n) for n in cine.array.shape[:3])
    known: dict[tuple[int, int], tuple[Label, ...]] = {}
    used: list[DrawnImage] = []
    for t, of_frame in sorted(frames.items()):
        sound, unusable, wrong = _sound(study, of_frame, {z: k for (z, n), k in faults.items() if n == t})
        structures = tuple(sorted({_OF[kind] for image in sound.values() for kind in image.polygons}))
        problems += wrong
        labels = np.zeros((width, height, slices), np.uint8)
        for z, image in sound.items():
            labels[..., z] = label_map(image.polygons, (width, height))
        if displaced := _displaced(study, t, labels, cine.array[..., t]):
            problems.append(displaced)
            continue
        if not sound:
            continue
        used += sound.values()
        mask[..., t] = labels
        known |= {(t, z): structures for z in range(slices) if z not in unusable}
    if not used:
        raise DataError(f"all of its contours were left out: {problems[0].extra_info}")
    formats = tuple(dict.fromkeys(file.format for file in files))
    unused = sum(file.unused for file in files)
    return ContourTruth(study, cine.with_array(mask), known, tuple(used), problems, formats, unused)


def _drawn(
    study: str, files: Sequence[ContourFile], images: Sequence[SourceImage], cine: Cine
) -> tuple[list[DrawnImage], list[Problem], Faults]:
    """Images with contours; slices that a program counts are counted from the end that fits the images."""
    drawn, problems, faults = draw_files(images, files, study=study, resolution=LEFT_OUT)
    if not any(file.format == QMASS for file in files):
        return drawn, problems, faults
    other, found, theirs = draw_files(images, files, study=study, resolution=LEFT_OUT, reverse=True)
    if not _contrast(other, cine) > _contrast(drawn, cine) + _BETTER:
        return drawn, problems, faults
    info = "they fit the images only so; look at them"
    told = Problem(study, "slices counted from the highest SliceLocation", "kept", "", info)
    return other, [*found, told], theirs


def _contrast(drawn: Sequence[DrawnImage], cine: Cine) -> float:
    """How well contours tell blood from muscle, 0 where they do not tell it."""
    shape = cine.array.shape[:2]
    labels = [label_map(d.polygons, shape) for d in drawn]
    greys = [cine.array[:, :, d.image.z, d.image.t] for d in drawn]
    if not labels:
        return 0.0
    contrast = blood_contrast(np.stack(labels, axis=2), np.stack(greys, axis=2))
    return 0.0 if np.isnan(contrast) else contrast


def _displaced(study: str, t: int, labels: np.ndarray, grey: np.ndarray) -> Problem | None:
    """The problem of a frame whose contours do not lie on blood and muscle."""
    contrast = blood_contrast(labels, grey)
    if not contrast < MIN_CONTRAST:
        return None
    info = (
        f"LV and myocardium of the contours have the same grey values (contrast {contrast:.2f} of 1, "
        f"expected above {MIN_CONTRAST}): they lie beside the heart, or are another patient's"
    )
    return Problem(study, DISPLACED, f"frame {LEFT_OUT}", f"frame {t}", info)


def _sound(
    study: str, images: Images, faults: Mapping[int, set[Outline]]
) -> tuple[dict[int, DrawnImage], set[int], list[Problem]]:
    """The contours of a frame that can be right by slice, slices that are not used, and what is wrong."""
    sound, lost, problems = _checked(study, images)
    for z, kinds in faults.items():
        for kind in kinds:
            lost[kind].add(z)
    if any(Outline.EPICARDIUM in image.polygons for image in sound.values()):
        lost[Outline.EPICARDIUM] |= {
            z for z, i in sound.items() if i.polygons.keys() & _LV == {Outline.ENDOCARDIUM}
        }
    unusable: set[int] = set()
    frame = f"frame {next(t for _, t in images)}"
    for kind, slices in lost.items():
        others = [z for z, image in sound.items() if kind in image.polygons and z not in slices]
        if len(slices) < _MOST_LOST * (len(slices) + len(others)):
            unusable |= slices
            continue
        sound = {z: _without(image, kind) for z, image in sound.items()}
        if others:
            told = f"{len(slices)} of {len(slices) + len(others)} of the frame are wrong or missing"
            problems.append(Problem(study, CONTRADICTORY, f"{kind} {LEFT_OUT}", frame, told))
    sound = {z: image for z, image in sound.items() if image.polygons and z not in unusable}
    gaps = set(range(min(sound), max(sound))) - set(sound) - unusable if sound else set()
    for z in sorted(gaps | unusable):
        why = (
            "slices above and below it have contours" if z in gaps else "it lacks a contour that others have"
        )
        problems.append(Problem(study, GAP, "image not used", f"{frame}, slice {z}", why))
    return sound, unusable | gaps, problems


def _checked(
    study: str, images: Images
) -> tuple[dict[int, DrawnImage], defaultdict[Outline, set[int]], list[Problem]]:
    """The images of a frame by slice, in which slices a contour was left out, and why."""
    ends = {min(z for z, _ in images), max(z for z, _ in images)}
    sound: dict[int, DrawnImage] = {}
    lost: defaultdict[Outline, set[int]] = defaultdict(set)
    problems = []
    for (z, _), image in sorted(images.items()):
        neighbours = [images[key] for key in images if abs(key[0] - z) == 1] if z in ends else []
        kept = dict(image.polygons)
        for kind, problem, info in _faults(image, neighbours):
            kept.pop(kind)
            lost[kind].add(z)
            problems.append(Problem(study, problem, f"{kind} {LEFT_OUT}", image.image.file, info))
        sound[z] = replace(image, polygons=kept)
    return sound, lost, problems


def _faults(image: DrawnImage, neighbours: Sequence[DrawnImage]) -> Iterator[tuple[Outline, str, str]]:
    """Contours of one image that cannot be right, and why."""
    endo, epi, rv = (image.polygons.get(kind) for kind in Outline)
    if epi is not None and endo is not None and not (found := nesting(endo, epi)).is_sound:
        yield Outline.EPICARDIUM, DISPLACED, str(found)
    elif epi is not None and endo is None and not _is_tip(image, neighbours):
        yield Outline.EPICARDIUM, CONTRADICTORY, "an epicardium without an endocardium in it"
    if rv is not None and endo is not None and (share := _overlap(rv, endo)) > _MOST_OVERLAP:
        yield Outline.RV, CONTRADICTORY, f"{100 * share:.0f} % of the RV lie in the LV"


def _is_tip(image: DrawnImage, neighbours: Sequence[DrawnImage]) -> bool:
    """Whether an image shows the apex, whose cavity may be closed: a smaller epicardium than the next has."""
    others = [n.polygons[Outline.EPICARDIUM] for n in neighbours if n.polygons.keys() >= _LV]
    own = polygon_area(image.polygons[Outline.EPICARDIUM])
    return any(own < polygon_area(other) for other in others)


def _overlap(rv: np.ndarray, lv: np.ndarray) -> float:
    """Share of the RV that lies in the LV."""
    points = np.concatenate([rv, lv])
    low = np.floor(points.min(axis=0)) - 1
    size = (int(np.ptp(points[:, 0])) + 4, int(np.ptp(points[:, 1])) + 4)
    right, left = (rasterise(polygon - low, size) for polygon in (rv, lv))
    return int(np.count_nonzero(right & left)) / max(int(np.count_nonzero(right)), 1)


def _without(image: DrawnImage, kind: Outline) -> DrawnImage:
    return replace(image, polygons={k: p for k, p in image.polygons.items() if k != kind})
