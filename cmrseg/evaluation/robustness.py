"""How much distortion a model bears: Dice and EF on images that are turned, zoomed, noisy and so on.

Every level of every distortion is applied to the test images, the model segments them, its masks are brought
back to the untouched grid and compared with the untouched truth. The ceiling is the Dice of the truth itself
after the same way there and back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_image, load_volume_mask
from cmrseg.data.distortions import DISTORTIONS, Distortion, distort, distort_mask, restore_mask
from cmrseg.evaluation.summary import NO_EF_ERROR_POINTS
from cmrseg.labels import Label, near_matches, structures_of
from cmrseg.metrics.overlap import confusion_counts, dice, predicted_pixels, true_pixels
from cmrseg.metrics.volumes import ed_es_frames, ejection_fraction
from cmrseg.parallel import Progress
from cmrseg.predict import Options, segmenter
from cmrseg.problems import DataError, Problem, left_out
from cmrseg.zoo.model_file import Model

SCORE_COLUMNS = (
    "sweep", "level", "unit", "subject", "structure", "dice", "ceiling", "ef_error", "ef_abs_error",
)  # fmt: skip
ROBUSTNESS_COLUMNS = (
    "sweep", "level", "unit", "structure", "mean", "low", "high", "n", "ceiling", "ef_abs_error",
)  # fmt: skip
BAND = (0.1, 0.9)  # quantiles over subjects: low and high

Segment = Callable[[Cine], Cine]
Study = tuple[VolumeRef, ...]


class Volumes(NamedTuple):
    """Contoured frames that share their files: where they are, their images and their truth."""

    refs: Study
    image: Cine
    truth: Cine


@dataclass(frozen=True)
class SweepOptions:
    """What is swept.

    Attributes
    ----------
    sweeps
        Names of the distortions; all by default.
    subjects
        At most so many, evenly spread over the data set.
    splits
        Only these splits.
    labels
        Label scheme of the truth, where the layout does not tell.
    resume
        Keep the scores that are in the folder already.
    """

    sweeps: tuple[str, ...] = ()
    subjects: int | None = None
    splits: tuple[str, ...] = ()
    labels: str | None = None
    resume: bool = False


@dataclass(frozen=True)
class Robustness:
    """What the sweeps found.

    Attributes
    ----------
    scores
        Columns `SCORE_COLUMNS`: per subject the mean Dice of its volumes, and the error of its EF in points
        where end-diastole and end-systole are known.
    summary
        Columns `ROBUSTNESS_COLUMNS`: mean over subjects, 10th and 90th percentile, number of subjects, mean
        ceiling and mean absolute error of the EF.
    problems
        Subjects that could not be read, with the reason.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)


def chosen_distortions(names: Sequence[str] = ()) -> tuple[Distortion, ...]:
    """Distortions by their names; all of them without a name.

    Raises
    ------
    DataError
        If there is no such distortion.
    """
    for name in names:
        if name not in DISTORTIONS:
            raise DataError(f"unknown sweep '{name}'; {near_matches(name, list(DISTORTIONS))}")
    return tuple(each for each in DISTORTIONS.values() if each.name in names or not names)


def some_subjects(catalog: Catalog, n: int | None) -> Catalog:
    """Up to ``n`` subjects, evenly spread over the list: data sets are sorted by disease or scanner."""
    subjects = sorted(catalog.table["subject"].unique())
    if n is None or n >= len(subjects):
        return catalog
    kept = [subjects[i] for i in np.linspace(0, len(subjects) - 1, n).round().astype(int)]
    return replace(catalog, table=catalog.table[catalog.table["subject"].isin(kept)])


def measure_robustness(
    model: Model,
    catalog: Catalog,
    *,
    distortions: Sequence[Distortion] = tuple(DISTORTIONS.values()),
    done: pd.DataFrame | None = None,
    save: Callable[[pd.DataFrame], object] | None = None,
    progress: Progress | None = None,
) -> Robustness:
    """Dice and EF of a model on distorted images.

    Masks are made in one pass, without averaging over flips, as `cmrseg predict --fast` does. Of a cine only
    the contoured frames are looked at.

    Parameters
    ----------
    model
        From `cmrseg.zoo.load_model`.
    catalog
        Images, of which those with masks are used.
    distortions
        See `chosen_distortions`.
    done
        Scores that are there already, as an earlier run saved them; only subjects of which one is missing
        are measured, and those of other subjects or sweeps are left out.
    save
        Gets the scores so far after every subject.
    progress
        Told after every level.

    Returns
    -------
    Scores and problems; a subject that cannot be read is a problem, the others go on.

    Raises
    ------
    DataError
        If there is no image with a mask.
    """
    subjects = [tuple(g) for _, g in groupby(catalog.with_masks().studies(), key=lambda s: s[0].subject)]
    if not subjects:
        raise DataError(f"no masks in {catalog.root}; a data set with true masks is needed")
    segment = segmenter(model, Options(flips=False))
    known = [Label[name] for name in model.spec.labels]
    scores = _asked_for(done, [studies[0][0].subject for studies in subjects], distortions)
    problems, levels = list(catalog.problems), sum(len(d.levels) for d in distortions)
    for number, studies in enumerate(subjects):
        tell = _teller(progress, number * levels, len(subjects) * levels)
        try:
            scores = _with_subject(scores, studies, distortions, _Scorer(segment, known, tell))
        except DataError as error:
            problems.append(left_out(studies[0][0].subject, studies[0][0].image, error))
            continue
        if save:
            save(scores)
    return Robustness(scores, summarise_robustness(scores), problems)


def summarise_robustness(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and band over subjects.

    Parameters
    ----------
    scores
        Columns `SCORE_COLUMNS`.

    Returns
    -------
    Columns `ROBUSTNESS_COLUMNS`, by sweep, level and structure.
    """
    groups = scores.groupby(["sweep", "level", "unit", "structure"], sort=False)
    table = groups.agg(
        mean=("dice", "mean"),
        low=("dice", lambda values: values.quantile(BAND[0])),
        high=("dice", lambda values: values.quantile(BAND[1])),
        n=("dice", "count"),
        ceiling=("ceiling", "mean"),
        ef_abs_error=("ef_abs_error", "mean"),
    )
    return table.reset_index()[list(ROBUSTNESS_COLUMNS)]


def load_contoured(study: Study) -> Volumes:
    """Images and truth of the contoured frames of a study.

    Raises
    ------
    DataError
        If a file cannot be read, or no frame has a contour.
    """
    contoured = load_volume_mask(*study).array.any(axis=(0, 1, 2))
    refs = tuple(ref for ref, drawn in zip(study, contoured, strict=True) if drawn)
    if not refs:
        raise DataError(f"{study[0].masks[0]} holds no contour")
    return Volumes(refs, load_volume_image(*refs), load_volume_mask(*refs))


def _asked_for(
    done: pd.DataFrame | None, subjects: Sequence[str], distortions: Sequence[Distortion]
) -> pd.DataFrame:
    """Those of the earlier scores that this run would measure too."""
    if done is None:
        return pd.DataFrame(columns=list(SCORE_COLUMNS))
    return done[done["subject"].isin(subjects) & done["sweep"].isin([d.name for d in distortions])]


class _Scorer(NamedTuple):
    """What measures a level: the model, the labels it knows, and who is told."""

    segment: Segment
    known: Sequence[Label]
    tell: Callable[[], None]


def _teller(progress: Progress | None, before: int, total: int) -> Callable[[], None]:
    """A function that counts levels."""
    count = iter(range(before + 1, total + 1))
    return lambda: progress(next(count), total) if progress else None


def _with_subject(
    scores: pd.DataFrame, studies: Sequence[Study], distortions: Sequence[Distortion], scorer: _Scorer
) -> pd.DataFrame:
    """The scores with those of a subject, which are measured unless all are there."""
    subject = studies[0][0].subject
    own = scores[scores["subject"] == subject]
    wanted = {(d.name, float(level)) for d in distortions for level in d.levels}
    if wanted <= set(zip(own["sweep"], own["level"], strict=True)):
        return scores
    rows = list(_subject_rows([load_contoured(study) for study in studies], distortions, scorer))
    measured = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    others = scores[(scores["subject"] != subject) | ~scores["sweep"].isin(measured["sweep"])]
    return measured if others.empty else pd.concat([others, measured], ignore_index=True)


def _subject_rows(
    volumes: Sequence[Volumes], distortions: Sequence[Distortion], scorer: _Scorer
) -> Iterator[tuple]:
    """Rows of one subject; the untouched images are segmented once."""
    refs = [ref for each in volumes for ref in each.refs]
    untouched = None
    for d in distortions:
        for level in d.levels:
            tables = untouched if level == d.untouched else None
            if tables is None:
                tables = _tables(volumes, scorer.segment, d, level)
            if level == d.untouched:
                untouched = tables
            ceilings = _ceilings(volumes, d, level)
            for structure, values in _scores(refs, tables, ceilings, scorer.known).items():
                yield (d.name, float(level), d.unit, refs[0].subject, structure.name, *values)
            scorer.tell()


def _tables(volumes: Sequence[Volumes], segment: Segment, d: Distortion, level: float) -> list[np.ndarray]:
    """Confusion table of every volume: the model's masks of distorted images, brought back."""
    masks = (restore_mask(segment(distort(v.image, d, level)), d, level, v.image) for v in volumes)
    return _counts(volumes, masks)


def _ceilings(volumes: Sequence[Volumes], d: Distortion, level: float) -> np.ndarray:
    """Dice of the truth that went there and back, mean over volumes."""
    masks = (restore_mask(distort_mask(v.truth, d, level), d, level, v.truth) for v in volumes)
    return dice(np.stack(_counts(volumes, masks))).mean(axis=0)


def _counts(volumes: Sequence[Volumes], masks: Iterator[Cine]) -> list[np.ndarray]:
    """Confusion tables of all volumes."""
    return [
        confusion_counts(mask.array[..., t], v.truth.array[..., t])
        for v, mask in zip(volumes, masks, strict=True)
        for t in range(len(v.refs))
    ]


def _scores(
    refs: Sequence[VolumeRef], tables: list[np.ndarray], ceilings: np.ndarray, known: Sequence[Label]
) -> dict[Label, tuple[float, float, float, float]]:
    """Dice, its ceiling, and error of the EF, by structure."""
    values = dice(np.stack(tables)).mean(axis=0)
    pair = _ed_es(refs, tables)
    structures = [label for label in structures_of({ref.labels for ref in refs}) if label in known]
    return {
        label: (float(values[label - 1]), float(ceilings[label - 1]), *_ef_errors(tables, pair, label))
        for label in structures
    }


def _ed_es(refs: Sequence[VolumeRef], tables: list[np.ndarray]) -> tuple[int, int] | None:
    """Positions of end-diastole and end-systole: the data set's, or else those of the true LV."""
    named = {ref.phase: i for i, ref in reversed(list(enumerate(refs))) if ref.phase}
    if (named and not {"ED", "ES"} <= set(named)) or len(refs) < 2:
        return None
    lv = [true_pixels(table)[Label.LV] for table in tables]
    ed, es = (named["ED"], named["ES"]) if named else ed_es_frames(lv, smooth=False)  # of the truth
    return (ed, es) if refs[ed].slices == refs[es].slices else None


def _ef_errors(tables: list[np.ndarray], pair: tuple[int, int] | None, label: Label) -> tuple[float, float]:
    """Error of the EF in points and its absolute value; a ventricle that was lost counts as 100 points."""
    if pair is None or label == Label.MYO:
        return math.nan, math.nan
    true, predicted = (
        ejection_fraction(*(float(pixels(tables[i])[label]) for i in pair))
        for pixels in (true_pixels, predicted_pixels)
    )
    lost = math.isnan(predicted) and not math.isnan(true)
    return predicted - true, NO_EF_ERROR_POINTS if lost else abs(predicted - true)
