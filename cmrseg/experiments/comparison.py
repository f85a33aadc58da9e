"""Models beside each other on the same subjects, as the table of Patravali et al. (2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.catalog import Catalog, assign_splits, read_catalog
from cmrseg.evaluation import Evaluation, evaluate_masks
from cmrseg.evaluation.phases import clinical_table, phase_table, phase_values
from cmrseg.experiments.costs import COST_COLUMNS, cost_of, usual_stack
from cmrseg.experiments.keys import begin
from cmrseg.experiments.search import SearchSetup, run_key
from cmrseg.io.in_use import works_in
from cmrseg.io.tables import read_table
from cmrseg.metrics.agreement import mean_interval, paired_p_value
from cmrseg.predict import AS_PUBLISHED, predict
from cmrseg.problems import DataError, Problem, check_apart
from cmrseg.tasks import get_task
from cmrseg.tasks.options import Pieces
from cmrseg.training.config import train_config
from cmrseg.training.fit import MODEL_FILE, train
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.manifest import resolve
from cmrseg.zoo.resolved import ModelName, ResolvedModel

PIECES: tuple[Pieces, ...] = (
    "all",
    "heart",
)  # as the network gives them (the poster), and one heart by the rules of anatomy
TEST_COLUMNS = (
    "pieces", "compared", "first", "second", "metric", "structure", "phase", "n", "first_mean", "second_mean",
    "difference", "low", "high", "p", "p_holm",
)  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """One model of a comparison.

    Attributes
    ----------
    name
        In tables, and of its folder.
    model
        What it is.
    """

    name: str
    model: ResolvedModel

    @property
    def architecture(self) -> str:
        """Entry of the registry."""
        return self.model.spec.architecture

    @property
    def loss(self) -> str:
        """As its recipe says; empty where it says nothing."""
        parts = self.model.spec.recipe.split("_")
        return parts[1] if len(parts) > 1 else ""


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes
    ----------
    arms
        The models.
    evaluations
        By pieces (`PIECES`) and name of the model.
    costs
        `COST_COLUMNS`.
    which
        The subjects, for people.
    problems, notes
        What could not be used, and what a reader should know.
    """

    arms: tuple[Arm, ...]
    evaluations: Mapping[str, Mapping[str, Evaluation]]
    costs: pd.DataFrame
    which: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def phases(self, pieces: str) -> dict[str, pd.DataFrame]:
        """`cmrseg.evaluation.phases.phase_table` of every model."""
        return {name: phase_table(phase_values(found)) for name, found in self.evaluations[pieces].items()}

    def table(self) -> pd.DataFrame:
        """``table.csv``: the phase tables of all models, with columns pieces and model."""
        return self._joined(self.phases)

    def clinical(self) -> pd.DataFrame:
        """``clinical.csv``: volumes, EF and mass of all models, with columns pieces and model."""
        return self._joined(
            lambda pieces: {n: clinical_table(e.measurements) for n, e in self.evaluations[pieces].items()}
        )

    def tests(self) -> pd.DataFrame:
        """``tests.csv``, see `paired_tests`."""
        parts = [paired_tests(self.arms, found).assign(pieces=p) for p, found in self.evaluations.items()]
        return pd.concat(parts, ignore_index=True)[list(TEST_COLUMNS)]

    def _joined(self, tables: Callable[[str], Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
        """Tables by model of all pieces as one."""
        parts = [
            table.assign(pieces=pieces, model=name)
            for pieces in self.evaluations
            for name, table in tables(pieces).items()
        ]
        joined = pd.concat(parts, ignore_index=True)
        return joined[["pieces", "model", *(c for c in joined if c not in ("pieces", "model"))]]


@dataclass(frozen=True)
class ComparisonSetup:
    """What is compared, and on what.

    Attributes
    ----------
    models
        Names, files or folders of runs.
    recipes
        Are trained first, on the training subjects of the data.
    options
        Of every training.
    splits
        The subjects.
    """

    models: tuple[ModelName, ...] = ()
    recipes: tuple[str, ...] = ()
    options: TrainOptions = field(default_factory=TrainOptions)
    splits: tuple[str, ...] = ("val", "test")

    def __post_init__(self) -> None:
        if not self.models and not self.recipes:
            raise ValueError("name models or recipes to compare (--models, --recipes)")


@works_in("out", "study table")
def compare(data: Path, out: Path, setup: ComparisonSetup, *, listener: Listener | None = None) -> Comparison:
    """Train what has to be trained, and evaluate all models on the same subjects.

    Masks are made in one pass over the whole image, without flips, as the network gives them and once more as
    one heart. What is there already is kept, so that a stopped comparison goes on.

    Parameters
    ----------
    data
        Data set with masks.
    out
        Gets a folder per recipe, ``predicted/<model>/<pieces>`` and ``costs/<model>``.
    setup
        What is compared.
    listener
        Who is told how it goes.

    Raises
    ------
    DataError
        If the data or a model cannot be used, a model gives no masks, or no subject is in the splits.

    References
    ----------
    Patravali, Jain, Chilamkurthy, STACOM 2017, doi:10.1007/978-3-319-75541-0_14.
    """
    check_apart(out, data, around=True)
    listener = listener or Listener()
    given = [resolve(model) for model in setup.models]
    arms = name_arms([*given, *_trained(data, out, setup, listener)])
    for arm in arms:
        if get_task(arm.model.spec.task).gives != "masks":
            raise DataError(f"{arm.model} gives no masks (its task is {arm.model.spec.task})")
    catalog = assign_splits(
        read_catalog(data, labels=setup.options.labels).with_masks(), seed=setup.options.seed or 0
    ).select(setup.splits)
    if catalog.table.empty:
        raise DataError(f"no subject of {data} with masks is in {', '.join(setup.splits)} (splits.csv)")
    found: dict[str, dict[str, Evaluation]] = {pieces: {} for pieces in PIECES}
    problems: list[Problem] = list(catalog.problems)
    notes: list[str] = [sentence for arm in arms for sentence in _seen(arm, catalog)]
    for arm in arms:
        listener.note(f"evaluating {arm.name}")
        for pieces in PIECES:
            folder = out / "predicted" / arm.name / pieces
            options = replace(AS_PUBLISHED, pieces=pieces, resume=True)
            problems += predict(catalog, folder, model=arm.model, options=options).problems
            found[pieces][arm.name] = evaluate_masks(folder, catalog)
            problems += found[pieces][arm.name].problems
    if all(phase_values(each).empty for each in found["all"].values()):
        notes.append("no frame is known to be end-diastole or end-systole, so there is no table of them")
    stack = usual_stack(catalog)
    rows = [
        {"model": arm.name, "loss": arm.loss, **cost_of(arm.model, stack, out / "costs" / arm.name)}
        for arm in arms
    ]
    costs = pd.DataFrame(rows)[list(COST_COLUMNS)]
    which = f"{catalog.table['subject'].nunique()} subjects of {', '.join(setup.splits)}"
    return Comparison(arms, found, costs, which, list(dict.fromkeys(problems)), notes)


def _trained(data: Path, out: Path, setup: ComparisonSetup, listener: Listener) -> Iterator[ResolvedModel]:
    """The models of the recipes; a stopped training goes on, a finished one is kept."""
    configs = [train_config(recipe, setup.options) for recipe in setup.recipes]  # before hours of training
    for config in configs:
        folder = out / str(config.recipe)
        listener.note(f"training {config.recipe}")
        begun = begin(folder, run_key(config, data, SearchSetup(setup.options)))
        train(config, data, folder, resume=begun, listener=listener)
        yield resolve(folder / MODEL_FILE)


def _seen(arm: Arm, catalog: Catalog) -> list[str]:
    """A sentence where a model was trained with subjects of the comparison, as far as its run tells."""
    path = arm.model.path.with_name("splits.csv")
    if not path.exists():
        return []
    splits = read_table(path, str)
    here = set(catalog.table["subject"])
    of = {
        split: len(here & set(splits.loc[splits["split"] == split, "subject"])) for split in ("train", "val")
    }
    said = {"train": "were trained on", "val": "chose the epoch"}
    return [
        f"{n} of the subjects {said[split]} by {arm.name}"
        if split == "train"
        else f"{n} of the subjects {said[split]} of {arm.name}"
        for split, n in of.items()
        if n
    ]


def name_arms(models: Sequence[ResolvedModel]) -> tuple[Arm, ...]:
    """Models with names of their own: that in the file, where several have it that of their run or file.

    Raises
    ------
    DataError
        If a model is named twice.
    """
    told: dict[str, str] = {}
    names = [model.spec.name for model in models]
    arms: list[Arm] = []
    for model in models:
        if model.sha256 in told:
            raise DataError(f"{model} and {told[model.sha256]} are the same model; name it once")
        told[model.sha256] = str(model)
        place = model.path.parent.name if model.path.name == MODEL_FILE else model.path.stem
        name = model.spec.name if names.count(model.spec.name) == 1 else place
        same = sum(arm.name == name or arm.name.startswith(f"{name}-") for arm in arms)
        arms.append(Arm(f"{name}-{same + 1}" if same else name, model))
    return tuple(arms)


def paired_tests(arms: Sequence[Arm], evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Differences between models that differ in the loss alone, or in the architecture alone.

    Parameters
    ----------
    arms
        The models.
    evaluations
        On the same subjects, by name.

    Returns
    -------
    A row per pair, metric, structure and phase: means and mean difference (second minus first) over the
    volumes that both have a value of, its 95 % bootstrap interval, and the p value of Wilcoxon's signed-rank
    test, as it is and after Holm's correction for all rows of this table.
    """
    values = {name: phase_values(found) for name, found in evaluations.items()}
    rows = []
    for one, two in combinations(arms, 2):
        unlike = [what for what in ("architecture", "loss") if getattr(one, what) != getattr(two, what)]
        if len(unlike) > 1:
            continue
        place = ["metric", "structure", "phase"]
        both = values[one.name].merge(values[two.name], on=["subject", *place], suffixes=("_1", "_2"))
        both = both.dropna(subset=["value_1", "value_2"])
        for key, part in both.groupby(place, sort=False):
            first, second = part["value_1"].to_numpy(float), part["value_2"].to_numpy(float)
            difference = second - first
            rows.append({
                "compared": unlike[0] if unlike else "training", "first": one.name, "second": two.name,
                **dict(zip(place, key, strict=True)), "n": len(part), "first_mean": first.mean(),
                "second_mean": second.mean(), "difference": difference.mean(),
                **dict(zip(("low", "high"), mean_interval(difference), strict=True)),
                "p": paired_p_value(first, second),
            })  # fmt: skip
    table = pd.DataFrame(rows, columns=[c for c in TEST_COLUMNS if c not in ("pieces", "p_holm")])
    return table.assign(p_holm=holm(table["p"].to_numpy(float)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of p values for their number; nan stays and is not counted.

    References
    ----------
    Holm, Scand J Stat 6:65 (1979), https://www.jstor.org/stable/4615733.
    """
    corrected = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return corrected
