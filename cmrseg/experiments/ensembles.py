"""Which configurations to average: every subset of the best is looked at, for every group and the phase.

A subset that is chosen by the subjects that it is then measured on looks better than it is. Beside that, the
subjects of every fold are halved: the first half chooses, the second measures (marked with a star).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.tables import numbers_of
from cmrseg.evaluation.indices import MEAN, TRUE, IndexEvaluation, compare_values
from cmrseg.io.tables import read_table
from cmrseg.metrics.ensembles import MOST_MEMBERS, BestSubsets, best_of_means, best_of_votes
from cmrseg.metrics.index_errors import GROUPS, PHASE
from cmrseg.problems import DataError
from cmrseg.tasks.quantification.truth import PLACE

FILES = ("predictions.csv", "values.csv")  # of a search, or of `cmrseg evaluate indices`
FOLDS = "folds.csv"
AVERAGE, OPTIMAL = "Ensemble Average", "Ensemble Optimal"
STAR = "*"


@dataclass(frozen=True)
class EnsembleStudy:
    """What a search for ensembles found.

    Attributes
    ----------
    evaluation
        Errors and tests of all configurations and of the ensembles; starred ones are those of the second
        halves of the folds.
    members
        Columns group, ensemble, method: who is in the best subsets.
    sizes
        Columns group, members, error: the least error of every number of members, on all subjects.
    notes
        What a user should know.
    """

    evaluation: IndexEvaluation
    members: pd.DataFrame
    sizes: pd.DataFrame
    notes: Sequence[str] = ()


def read_predictions(folder: Path) -> tuple[pd.DataFrame, dict[str, object]]:
    """What configurations predicted, and the fold of every subject.

    Parameters
    ----------
    folder
        With ``predictions.csv`` of a search or ``values.csv`` of `cmrseg evaluate indices`, columns as of
        `cmrseg.evaluation.indices.compare_values`; and perhaps ``folds.csv`` (subject, fold).

    Returns
    -------
    Table without the method that knows nothing; folds by subject, all one without ``folds.csv``.

    Raises
    ------
    DataError
        If there is no such table, or it lacks a column.
    """
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        raise DataError(
            f"{folder} has neither {' nor '.join(FILES)}; run cmrseg evaluate indices with --also"
        )
    table = read_table(path, {"subject": str, "method": str})
    if missing := [name for name in ("method", *PLACE) if name not in table]:
        raise DataError(f"{path} has no column {', '.join(missing)}")
    for name in set(table) - {"method", "subject"}:
        table[name] = numbers_of(table[name])
    folds: dict[str, object] = {}
    if (folder / FOLDS).is_file():
        given = read_table(folder / FOLDS, str)
        if missing := [name for name in ("subject", "fold") if name not in given]:
            raise DataError(f"{folder / FOLDS} has no column {', '.join(missing)}")
        folds = dict(zip(given["subject"], given["fold"], strict=True))
    return table[table["method"] != MEAN].reset_index(drop=True), folds


def search_ensembles(
    values: pd.DataFrame,
    folds: Mapping[str, object] | None = None,
    *,
    most: int = MOST_MEMBERS,
    seed: int = 0,
) -> EnsembleStudy:
    """Look at every subset of the best configurations.

    Parameters
    ----------
    values
        As of `cmrseg.evaluation.indices.compare_values`.
    folds
        Fold of every subject; all one where it is not said.
    most
        Configurations that are looked at: the best of each group, up to `MOST_MEMBERS`.
    seed
        Of the halves.

    Raises
    ------
    DataError
        If fewer than two configurations answer the same images.

    References
    ----------
    Gessert and Schlaefer, STACOM (2019), 2.2 (Ensembling), table 1.
    """
    if not 2 <= most <= MOST_MEMBERS:
        raise ValueError(f"most must be from 2 to {MOST_MEMBERS} (configurations), got {most}")
    second = second_halves(values["subject"].unique(), folds or {}, seed)
    ensembles: list[_Ensemble] = []
    notes: list[str] = []
    for group, names in {**GROUPS, PHASE: (PHASE,)}.items():
        known = _answers(values, names)
        if known is not None:
            notes += [f"{group}: {known.left_out} image(s) are not answered by all"] * bool(known.left_out)
            ensembles += _ensembles(group, known, second, most)
    if not ensembles:
        raise DataError("no two configurations answer the same images; predict the same data with more")
    if not any(each.name.endswith(STAR) for each in ensembles):
        notes.append("too few subjects to choose with one half and to measure with the other")
    pairs = [(AVERAGE, OPTIMAL), (f"{AVERAGE}{STAR}", f"{OPTIMAL}{STAR}")]
    members = [(each.group, each.name, name) for each in ensembles for name in each.chosen]
    sizes = [
        (each.group, n, error)
        for each in ensembles
        for n, error in enumerate(each.by_size, start=1)
        if each.name == OPTIMAL
    ]
    return EnsembleStudy(
        compare_values(_joined(values, ensembles), pairs=pairs),
        pd.DataFrame(members, columns=["group", "ensemble", "method"]),
        pd.DataFrame(sizes, columns=["group", "members", "error"]),
        notes,
    )


@dataclass(frozen=True)
class _Ensemble:
    """An ensemble for a group: its mean answers, who was chosen, and the least error by number of members."""

    group: str
    name: str
    means: pd.DataFrame
    chosen: tuple[str, ...] = ()
    by_size: tuple[float, ...] = ()


def _ensembles(group: str, known: _Answers, second: Collection[str], most: int) -> list[_Ensemble]:
    """The average and the best of a group, of all subjects and of the halves."""
    found = []
    halves = known.only(second, wanted=False), known.only(second, wanted=True)
    for star, (chooses, measures) in {"": (known, known), STAR: halves}.items():
        if len(chooses.places) and len(measures.places):
            best, chosen = _choose(chooses, most)
            average = measures.mean_of(range(len(known.methods)))
            names = tuple(known.methods[place] for place in chosen)
            found += [
                _Ensemble(group, f"{AVERAGE}{star}", average),
                _Ensemble(group, f"{OPTIMAL}{star}", measures.mean_of(chosen), names, best.by_size),
            ]
    return found


def second_halves(subjects: Sequence[str], folds: Mapping[str, object], seed: int = 0) -> set[str]:
    """Half of the subjects of every fold, at random; the first half is larger where their number is odd."""
    rng, second = np.random.default_rng(seed), set()
    by_fold: dict[object, list[str]] = {}
    for subject in sorted(subjects):
        by_fold.setdefault(folds.get(subject), []).append(subject)
    for names in by_fold.values():
        order = rng.permutation(len(names))
        second |= {names[place] for place in order[-(-len(names) // 2) :]}
    return second


@dataclass(frozen=True)
class _Answers:
    """What configurations answer about the images that all of them answer.

    Attributes
    ----------
    methods
        Their names.
    names
        Of the numbers.
    places
        Subject, frame and slice of every image.
    predicted, true
        ``(methods, images, names)`` and ``(images, names)``.
    left_out
        Images that some of them do not answer.
    """

    methods: tuple[str, ...]
    names: tuple[str, ...]
    places: pd.MultiIndex
    predicted: np.ndarray
    true: np.ndarray
    left_out: int = 0

    def only(self, subjects: Collection[str], *, wanted: bool) -> _Answers:
        """The images of some subjects, or those of all others."""
        rows = self.places.get_level_values("subject").isin(list(subjects)) == wanted
        return replace(
            self, places=self.places[rows], predicted=self.predicted[:, rows], true=self.true[rows]
        )

    def search(self, rows: Sequence[int]) -> BestSubsets:
        """The best subset of some configurations."""
        flat = self.predicted[list(rows)].reshape(len(rows), -1)
        if self.names == (PHASE,):
            return best_of_votes(flat, self.true.ravel() >= 0.5)
        return best_of_means(flat, self.true.ravel())

    def mean_of(self, rows: Sequence[int]) -> pd.DataFrame:
        """Mean of some configurations, and the truth beside it, by place."""
        mean = pd.DataFrame(self.predicted[list(rows)].mean(axis=0), self.places, list(self.names))
        return mean.join(pd.DataFrame(self.true, self.places, [f"{name}{TRUE}" for name in self.names]))


def _answers(values: pd.DataFrame, names: Sequence[str]) -> _Answers | None:
    """Answers about a group of numbers; None if fewer than two configurations give all of them."""
    columns = [column for name in names for column in (name, f"{name}{TRUE}") if column in values]
    shared = tuple(name for name in names if {name, f"{name}{TRUE}"} <= set(columns))
    by_method = {
        str(name): part.set_index(list(PLACE))[columns].dropna()
        for name, part in values.groupby("method", sort=False)
    }
    by_method = {name: part for name, part in by_method.items() if len(part)}
    if not shared or len(by_method) < 2:
        return None
    together = pd.concat({name: part[list(shared)] for name, part in by_method.items()}, axis=1)
    complete = together.dropna()
    if complete.empty:
        return None
    true = next(iter(by_method.values())).loc[complete.index, [f"{name}{TRUE}" for name in shared]]
    predicted = complete.to_numpy().reshape(len(complete), len(by_method), len(shared)).swapaxes(0, 1)
    left_out = len(together) - len(complete)
    return _Answers(tuple(by_method), shared, complete.index, predicted, true.to_numpy(), left_out)


def _choose(known: _Answers, most: int) -> tuple[BestSubsets, list[int]]:
    """The best subset of the best configurations, and its members."""
    errors = [known.search([row]).error for row in range(len(known.methods))]
    candidates = sorted(np.argsort(errors, kind="stable")[:most].tolist())
    best = known.search(candidates)
    return best, [candidates[place] for place in best.members]


def _joined(values: pd.DataFrame, ensembles: Sequence[_Ensemble]) -> pd.DataFrame:
    """Values of configurations, then those of ensembles, whose groups have members of their own."""
    names = (f"{name}{star}" for star in ("", STAR) for name in (AVERAGE, OPTIMAL))
    parts = {name: [each.means for each in ensembles if each.name == name] for name in names}
    tables = [
        pd.concat(means, axis=1).rename_axis(list(PLACE)).reset_index().assign(method=name)
        for name, means in parts.items()
        if means
    ]
    return pd.concat([values, *tables], ignore_index=True)
