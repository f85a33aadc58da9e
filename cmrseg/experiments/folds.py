"""Cross-validation of networks for indices: every subject is answered by models that have not seen it.

The subjects are divided once, those of one patient together. A model of a fold is trained on the subjects of
the other folds, of which some choose its epoch. What all folds of a recipe answer, together, is what
`cmrseg.experiments.ensembles` chooses from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.data.splits import VALIDATION_SHARE, draw_folds, patients_of
from cmrseg.data.twins import twins
from cmrseg.evaluation.indices import MEAN, TRUE, IndexEvaluation, compare_values
from cmrseg.experiments.ensembles import FOLDS
from cmrseg.experiments.keys import begin, finish, is_scored, settings, sha256
from cmrseg.io.atomic import write_table
from cmrseg.io.checksum import sha256_of
from cmrseg.io.in_use import works_in
from cmrseg.io.tables import read_table
from cmrseg.metrics.index_errors import PHASE
from cmrseg.metrics.indices import INDICES
from cmrseg.predict import predict
from cmrseg.problems import DataError, Problem, check_apart
from cmrseg.recipe import Recipe
from cmrseg.tasks import get_task
from cmrseg.tasks.quantification import Quantification
from cmrseg.tasks.quantification.truth import PLACE, TABLE, read_indices, true_indices
from cmrseg.training.config import TrainConfig, train_config
from cmrseg.training.fit import MODEL_FILE, train
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions

TEST = "test"
_LEAST = 3  # patients: one to train on, one to choose the epoch, one to answer


@dataclass(frozen=True)
class FoldSetup:
    """What all runs of a cross-validation share.

    Attributes
    ----------
    recipes
        Networks for indices, by their names.
    folds
        How many.
    options
        Of every run; their seed draws the folds.
    """

    recipes: tuple[str, ...]
    folds: int = 5
    options: TrainOptions = field(default_factory=TrainOptions)

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, got {self.folds}")
        if not self.recipes:
            raise ValueError("recipes must name at least one network for indices, got none")
        for name in self.recipes:
            if not isinstance(get_task(Recipe.parse(name).network.task), Quantification):
                raise ValueError(
                    f"folds are for networks for indices, such as sq11-2D_MSE_any_s5; {name} is none"
                )

    def configs(self) -> dict[str, TrainConfig]:
        """Configuration of every recipe, by its full name."""
        found = [train_config(name, self.options) for name in self.recipes]
        return {str(config.recipe): config for config in found}


@dataclass(frozen=True)
class FoldRun:
    """What a cross-validation found.

    Attributes
    ----------
    folds
        Columns subject and fold, from 1.
    evaluation
        Errors of the recipes over all subjects, and tests between them; its ``values`` are the table
        ``predictions.csv``. The method that knows no image answers the mean of the other folds.
    notes
        What a user should know.
    """

    folds: pd.DataFrame
    evaluation: IndexEvaluation
    notes: Sequence[str] = ()


@works_in("out", "study search")
def cross_validate(data: Path, out: Path, setup: FoldSetup, *, listener: Listener | None = None) -> FoldRun:
    """Train every recipe once for every fold, and answer the subjects of the fold.

    Parameters
    ----------
    data
        Data set with masks or with ``indices.csv``; subjects of its split ``test`` stay out.
    out
        Gets ``folds.csv``, and for every recipe a folder with a run per fold and ``indices.csv``, its answers
        about all subjects. Finished runs are kept, a stopped one goes on.
    setup
        Recipes, number of folds, options of the training.
    listener
        Who is told how it goes.

    Raises
    ------
    DataError
        If the data cannot be used, there are fewer patients than folds, or ``out`` holds other folds.

    References
    ----------
    Gessert and Schlaefer, STACOM (2019), 2.1 and 2.2 (Ensembling).
    """
    check_apart(out, data, around=True)
    configs, listener = setup.configs(), listener or Listener()
    catalog, notes = _to_divide(read_catalog(data, labels=setup.options.labels))
    known, problems = true_indices(catalog)
    folds, patients = _divided(catalog, known, setup, out)
    for sentence in notes:
        listener.note(sentence)
    names = [name for name in (*INDICES, PHASE) if name in known]
    true = known.rename(columns={name: f"{name}{TRUE}" for name in names})
    parts = []
    for recipe, config in configs.items():
        answers = []
        for fold in range(1, setup.folds + 1):
            listener.note(f"{recipe}, fold {fold} of {setup.folds}")
            held_out = set(folds.loc[folds["fold"] == fold, "subject"])
            splits = _splits(patients, held_out, config.seed)
            answers.append(_answered(config, catalog, out / recipe / f"fold_{fold}", splits, listener))
        found = pd.concat(answers, ignore_index=True)
        write_table(found, out / recipe / TABLE)
        parts.append(true.merge(found, on=list(PLACE)).assign(method=recipe))
    parts.append(_means(true, folds, names))
    wrong = [*catalog.problems, *problems, *_unanswered(true, parts[:-1])]
    values = pd.concat(parts, ignore_index=True)
    return FoldRun(folds, compare_values(values, list(dict.fromkeys(wrong))), notes)


def _to_divide(catalog: Catalog) -> tuple[Catalog, list[str]]:
    """The images of subjects that may be trained on."""
    is_test = catalog.table["split"] == TEST
    left_out = catalog.table.loc[is_test, "subject"].nunique()
    notes = [f"{left_out} subject(s) of the split {TEST} are not used"] * bool(left_out)
    return replace(catalog, table=catalog.table[~is_test]), notes


def _divided(
    catalog: Catalog, known: pd.DataFrame, setup: FoldSetup, out: Path
) -> tuple[pd.DataFrame, Mapping[str, str]]:
    """The fold of every subject whose indices are known, as ``folds.csv`` tells it, and its patient."""
    table = catalog.table[catalog.table["subject"].isin(known["subject"])]
    owners = patients_of(table, catalog.root, twins(table))
    patients = dict(zip(table["subject"], owners, strict=True))
    count = len(set(patients.values()))
    if count < max(setup.folds, _LEAST):
        raise DataError(
            f"{count} patient(s) of {catalog.root} have indices, too few for {setup.folds} folds; at least "
            f"{max(setup.folds, _LEAST)} are needed"
        )
    seed = 0 if setup.options.seed is None else setup.options.seed
    drawn = draw_folds(patients.values(), setup.folds, seed=seed)
    rows = [(subject, drawn[patients[subject]]) for subject in sorted(patients)]
    folds = pd.DataFrame(rows, columns=["subject", "fold"])
    path = out / FOLDS
    if path.exists() and not read_table(path, {"subject": str}).equals(folds):
        raise DataError(f"{path} holds other folds, of another seed, number or data; name another --out")
    write_table(folds, path)
    return folds, patients


def _splits(patients: Mapping[str, str], held_out: set[str], seed: int) -> pd.DataFrame:
    """Who trains, who chooses the epoch, and who is answered."""
    others = {patient for subject, patient in patients.items() if subject not in held_out}
    parts = draw_folds(others, min(round(1 / VALIDATION_SHARE), len(others)), seed=seed)
    split = {patient: "val" if part == 1 else "train" for patient, part in parts.items()}
    rows = [(s, TEST if s in held_out else split[patient]) for s, patient in sorted(patients.items())]
    return pd.DataFrame(rows, columns=["subject", "split"])


def _answered(
    config: TrainConfig, catalog: Catalog, folder: Path, splits: pd.DataFrame, listener: Listener
) -> pd.DataFrame:
    """Train a model and let it answer the subjects that it has not seen, unless that has been done."""
    start = Path(config.start)
    weights = sha256_of([start]) if start.is_file() else ""
    key = sha256(settings(config), str(catalog.root.resolve()), weights, splits.to_csv(index=False))
    answers = folder / "answers"
    if not is_scored(folder, key):
        begun = begin(folder, key)
        write_table(splits, folder / "splits.csv")
        train(config, catalog.root, folder, resume=begun, listener=listener)
        wanted = set(splits.loc[splits["split"] == TEST, "subject"])
        held_out = replace(catalog, table=catalog.table[catalog.table["subject"].isin(wanted)])
        predict(held_out, answers, model=folder / MODEL_FILE)
        finish(folder, key)
    return read_indices(answers / TABLE)


def _means(true: pd.DataFrame, folds: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """What is answered without looking at an image: the mean of the other folds."""
    fold = true["subject"].map(dict(zip(folds["subject"], folds["fold"], strict=True)))
    parts = []
    for number in sorted(fold.unique()):
        others = true.loc[fold != number, [f"{name}{TRUE}" for name in names]].mean()
        parts.append(true[fold == number].assign(**dict(zip(names, others, strict=True))))
    return pd.concat(parts, ignore_index=True).assign(method=MEAN)


def _unanswered(true: pd.DataFrame, parts: Sequence[pd.DataFrame]) -> list[Problem]:
    """Images with indices that a recipe has not answered, such as those that could not be read."""
    told = []
    for part in parts:
        lacking = set(true["subject"]) - set(part["subject"])
        told += [Problem(subject, "no answer", "not evaluated", "", "unreadable") for subject in lacking]
    return sorted(told, key=lambda problem: problem.study)
