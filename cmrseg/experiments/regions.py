"""What is worth more at base and apex: to draw them more often, or a network for each region of the heart."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, load_volume_mask
from cmrseg.evaluation.region_classes import region_counts
from cmrseg.evaluation.regions import RegionEvaluation, evaluate_regions
from cmrseg.experiments.keys import begin, contents, settings, sha256
from cmrseg.experiments.transfer_plan import as_many_images
from cmrseg.io.atomic import atomic_path, write_table
from cmrseg.io.checksum import sha256_of
from cmrseg.io.in_use import works_in
from cmrseg.labels import near_matches
from cmrseg.metrics.classes import class_table
from cmrseg.metrics.regions import REGIONS
from cmrseg.models.region_nets import BACKBONES, SUFFIX
from cmrseg.predict import Options, open_network, predict
from cmrseg.predict.runs import settings_digest
from cmrseg.problems import DataError, Problem, check_apart
from cmrseg.tasks import get_task
from cmrseg.tasks.prediction import Study, ask_about_all
from cmrseg.tasks.region import CLASSES, RegionTask, regions_of
from cmrseg.tasks.segmentation.by_region import BASELINE, CLASSIFIER
from cmrseg.tasks.segmentation.from_network import segment
from cmrseg.training.config import TrainConfig, train_config, transfer_config
from cmrseg.training.fit import MODEL_FILE, finetune, train
from cmrseg.training.images import TrainingImages
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions
from cmrseg.training.split_images import Data, ReadImages, SplitImages, read_images, read_split_images
from cmrseg.zoo.manifest import DEFAULT_MODEL, resolve
from cmrseg.zoo.regional import FILE, WEIGHTS, write_regional
from cmrseg.zoo.resolved import ModelName, ResolvedModel

RATIOS = (4.0, 20.0)  # low and high of the paper
ALL = "all"  # the arm that sees every slice as often as it is there
CLASSIFIED, BOUND = "classified regions", "true regions"
CLASSIFIER_COLUMNS = ("classifier", "validation_recall", "class", "n", "predicted", "precision", "recall")
ARM_COLUMNS = ("arm", "images", "epochs", "images_seen")
_RANDOM, _WEIGHTED = "random", "weighted"


@dataclass(frozen=True)
class ClassifierPlan:
    """One classifier of the comparison, spelled ``NAME[:random][:weighted]``.

    Attributes
    ----------
    backbone
        One of `cmrseg.models.region_nets.BACKBONES`.
    random
        Whether it starts from random instead of ImageNet weights.
    weighted
        Whether rare regions count more in its loss.
    """

    backbone: str
    random: bool = False
    weighted: bool = False

    @classmethod
    def parse(cls, text: str) -> ClassifierPlan:
        """Read ``r18:random``.

        Raises
        ------
        ValueError
            If there is no such network, or something else follows it.
        """
        name, *more = text.split(":")
        if name not in BACKBONES:
            raise ValueError(f"unknown classifier '{name}'; {near_matches(name, list(BACKBONES))}")
        if unknown := set(more) - {_RANDOM, _WEIGHTED}:
            raise ValueError(f"after a classifier comes :random or :weighted, got '{min(unknown)}'")
        return cls(name, _RANDOM in more, _WEIGHTED in more)

    def __str__(self) -> str:
        return "_".join([self.backbone, *[_RANDOM] * self.random, *[_WEIGHTED] * self.weighted])


@dataclass(frozen=True)
class RegionSetup:
    """What a study of regions trains.

    Attributes
    ----------
    base
        Start of all segmenters, their architecture and preprocessing.
    classifiers
        The best of them, by the validation recall, becomes part of the regional model.
    imagenet
        Files of ImageNet weights by backbone; a download where none is named.
    options
        What differs from the transfer schedule of the base; ``start`` names other weights to begin with.
    classifier_epochs
        Of the classifiers; their default when None.
    ratios
        Of region-aware sampling.
    splits
        The subjects that are scored.
    """

    base: ModelName = DEFAULT_MODEL
    classifiers: tuple[ClassifierPlan, ...] = (ClassifierPlan("r18"),)
    imagenet: Mapping[str, Path] = field(default_factory=dict)
    options: TrainOptions = field(default_factory=TrainOptions)
    classifier_epochs: int | None = None
    ratios: tuple[float, ...] = RATIOS
    splits: tuple[str, ...] = ("val", "test")

    def __post_init__(self) -> None:
        names = [str(plan) for plan in self.classifiers]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"name at least one classifier, each once; got {', '.join(names)}")


@dataclass(frozen=True)
class RegionArm:
    """One network that is trained.

    Attributes
    ----------
    name
        In tables, and of its folder.
    config
        Of its run.
    images
        That it is trained on.
    folder
        Of its run.
    """

    name: str
    config: TrainConfig
    images: int
    folder: Path


@dataclass(frozen=True)
class RegionStudy:
    """What a study of regions found.

    Attributes
    ----------
    regional
        The regional model.
    evaluation
        All methods on the scored subjects.
    by_data
        The same for every one of several data sets.
    classifiers
        `CLASSIFIER_COLUMNS`: Table 2 of the paper, with a row for every region.
    arms
        `ARM_COLUMNS` of the segmenters.
    chosen
        The classifier in the regional model.
    problems, notes
        What could not be used, and what a reader should know.
    """

    regional: Path
    evaluation: RegionEvaluation
    by_data: Mapping[str, RegionEvaluation]
    classifiers: pd.DataFrame
    arms: pd.DataFrame
    chosen: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@works_in("out", "study regions")
def region_study(
    data: Sequence[Path], out: Path, setup: RegionSetup, *, listener: Listener | None = None
) -> RegionStudy:
    """Train what is missing, make the regional model, and compare it with the baseline and with sampling.

    All segmenters start from the same weights and see the same number of images. A stopped study goes on.

    Parameters
    ----------
    data
        One or more data sets with masks.
    out
        Gets ``splits.csv``, a folder per network, ``regional/regional.json`` and ``predicted/<method>``.
    setup
        What is trained.
    listener
        Who is told how it goes.

    Raises
    ------
    DataError
        If the data or the base cannot be used, ``out`` holds runs of another study, or no subject is scored.

    References
    ----------
    Mariscal-Harana et al., "Improved AI-based segmentation of apical and basal slices from clinical cine
    CMR" (2023).
    """
    for root in data:
        check_apart(out, root, around=True)
    listener, base = listener or Listener(), resolve(setup.base)
    config = transfer_config(base.spec, data, setup.options)
    read = read_images(data, config, out, listener)
    images = read_split_images(read, config, out, listener, kept=base.spec.labels)
    write_table(images.catalog.table[["subject", "split"]].drop_duplicates(), out / "splits.csv")
    test = images.catalog.with_masks().select(setup.splits)
    if test.table.empty:
        raise DataError(f"no subject with masks is in {', '.join(setup.splits)}; name other splits to score")
    arms = plan_arms(config, images, setup, out)
    classifiers = [_classifier_arm(plan, config, images, setup, out) for plan in setup.classifiers]
    work = partial(_trained, learnt=contents(images.catalog.select(["train", "val"])), listener=listener)
    models = dict(_segmenters(arms, read, base, work))
    said = {arm.name: work(arm, list(data)) for arm in classifiers}
    chosen = max(said, key=lambda name: said[name].spec.training[RegionTask.score_name])
    regional = _regional(models, said[chosen], base, out / "regional")
    table, problems = _scored_classifiers(said, test, out)
    listener.note(f"regional model: {regional}, with the classifier {chosen}")
    found = _predictions(models, regional, test, out, listener)
    evaluation = evaluate_regions(test, found)
    return RegionStudy(
        regional,
        evaluation,
        {name: evaluate_regions(part, found) for name, part in _by_data(test)},
        table,
        pd.DataFrame([_arm_row(arm) for arm in arms], columns=list(ARM_COLUMNS)),
        chosen,
        list(dict.fromkeys([*images.problems, *problems, *evaluation.problems])),
    )


def plan_arms(config: TrainConfig, images: SplitImages, setup: RegionSetup, out: Path) -> list[RegionArm]:
    """The segmenters: all slices, all slices with every ratio, the slices of every region.

    Parameters
    ----------
    config
        For all slices.
    images
        To train on.
    setup, out
        Of the study.

    Returns
    -------
    Arms whose epochs show equally many images.
    """
    regions, n = _regions(images.train), len(images.train)
    arms = [RegionArm(ALL, config, n, out / ALL)]
    for ratio in setup.ratios:
        name = f"ratio{ratio:g}"
        arms.append(RegionArm(name, replace(config, region_sampling=ratio), n, out / name))
    for region in REGIONS:
        shown = regions.count(region)
        if not shown:
            raise DataError(f"no training image shows the {region}; a study of regions needs all three")
        of_region = as_many_images(replace(config, region=region), shown, n)
        arms.append(RegionArm(region, of_region, shown, out / region))
    return arms


def true_regions(study: Study, cine: Cine) -> np.ndarray:
    """Regions that the contours of a study tell, as probabilities ``(t, z, 4)`` of 0 and 1.

    Parameters
    ----------
    study
        Volumes with masks.
    cine
        Their whole images; frames and slices that are not listed show no heart.
    """
    truth = get_task(RegionTask.name).truth(load_volume_mask(*study), CLASSES)  # type: ignore[attr-defined]
    n_slices, n_frames = cine.array.shape[2:]
    regions = np.zeros((n_frames, n_slices, len(CLASSES)))
    regions[..., 0] = 1
    for number, ref in enumerate(study):
        frame = ref.frame if ref.is_stack and n_frames > 1 else number
        slices = list(ref.slices) if ref.is_stack else slice(None)
        regions[frame, slices] = truth[number]
    return regions


def gap_table(table1: pd.DataFrame) -> pd.DataFrame:
    """How far base and apex lie below the middle, mean over the structures, and what of it a method closes.

    Parameters
    ----------
    table1
        `RegionEvaluation.table1`; the first method is the baseline.

    Returns
    -------
    Columns method, base_gap, apex_gap (points of Dice), base_closed_percent and apex_closed_percent.
    """
    rows = []
    for method, part in table1.groupby("method", sort=False):
        means = part.pivot_table(index="structure", columns="region", values="mean").mean()
        rows.append((method, *(means["middle"] - means.get(end, np.nan) for end in ("base", "apex"))))
    table = pd.DataFrame(rows, columns=["method", "base_gap", "apex_gap"])
    for end in ("base", "apex"):
        first = table[f"{end}_gap"].iloc[0]
        table[f"{end}_closed_percent"] = 100 * (first - table[f"{end}_gap"]) / first if first else np.nan
    return table


def _regions(images: TrainingImages) -> list[str]:
    """Region of every training image."""
    return regions_of(images.masks, images.places)


def _classifier_arm(
    plan: ClassifierPlan, config: TrainConfig, images: SplitImages, setup: RegionSetup, out: Path
) -> RegionArm:
    """A classifier, on the images of the segmenters."""
    file = setup.imagenet.get(plan.backbone)
    start = "random" if plan.random else str(file.resolve()) if file else None
    options = TrainOptions(epochs=setup.classifier_epochs, start=start)
    made = train_config(f"{plan.backbone}-{SUFFIX}_CE_{config.recipe.train_set}_s3", options)
    same = {name: getattr(config, name) for name in ("labels", "structures", "seed", "licence", "bf16")}
    weights = _rare_count_more(_regions(images.train)) if plan.weighted else {}
    made = replace(made, **same, class_weights=weights)
    return RegionArm(str(plan), made, len(images.train), out / f"classifier_{plan}")


def _rare_count_more(regions: Sequence[str]) -> dict[str, float]:
    """Weights of the regions by the inverse of how often they are shown."""
    return {name: len(regions) / (len(CLASSES) * max(regions.count(name), 1)) for name in CLASSES}


def _segmenters(
    arms: Sequence[RegionArm], read: ReadImages, base: ResolvedModel, work: partial
) -> Iterator[tuple[str, ResolvedModel]]:
    """The trained segmenters by name; what the images are like is measured once, where anything is to do."""
    todo = not all((arm.folder / MODEL_FILE).exists() for arm in arms)
    data = read.measured() if todo else read
    for arm in arms:
        yield arm.name, work(arm, data, base=base)


def _trained(
    arm: RegionArm, data: Data, *, learnt: str, listener: Listener, base: ResolvedModel | None = None
) -> ResolvedModel:
    """The model of an arm: a stopped training goes on, a finished one is kept."""
    start = Path(arm.config.start)
    tuned = base is not None and arm.config.start == "base model"
    weights = base.sha256 if base and tuned else sha256_of([start] * start.is_file())
    begun = begin(arm.folder, sha256(settings(arm.config), learnt, weights))
    shutil.copyfile(arm.folder.parent / "splits.csv", arm.folder / "splits.csv")
    if not (arm.folder / MODEL_FILE).exists():
        listener.note(f"training {arm.name} on {arm.images} images")
        if base and tuned:
            finetune(base, data, arm.folder, config=arm.config, resume=begun, listener=listener)
        else:
            train(arm.config, data, arm.folder, resume=begun, listener=listener)
        gc.collect()  # a fastai learner is a circle of references that holds all images
    return resolve(arm.folder / MODEL_FILE)


def _regional(
    models: Mapping[str, ResolvedModel], classifier: ResolvedModel, base: ResolvedModel, folder: Path
) -> Path:
    """The regional model with copies of its members beside it."""
    roles = {BASELINE: models[ALL], CLASSIFIER: classifier, **{region: models[region] for region in REGIONS}}
    files = {role: folder / f"{role}{WEIGHTS}" for role in roles}
    for role, model in roles.items():
        with atomic_path(files[role]) as temporary:
            shutil.copyfile(model.path, temporary)
    name = f"regional_{models[ALL].spec.name}"
    return write_regional(name, files, folder / FILE, licence=base.spec.licence)


def _scored_classifiers(
    models: Mapping[str, ResolvedModel], test: Catalog, out: Path
) -> tuple[pd.DataFrame, list[Problem]]:
    """Table 2: precision and recall of every classifier on the scored subjects."""
    parts, problems = [], []
    for name, model in models.items():
        folder = out / "predicted" / f"{CLASSIFIER}_{name}"
        problems += predict(test, folder, model=model).problems
        counts, wrong = region_counts(folder, test)
        recall = model.spec.training[RegionTask.score_name]
        parts.append(class_table(counts, CLASSES).assign(classifier=name, validation_recall=recall))
        problems += wrong
    return pd.concat(parts, ignore_index=True)[list(CLASSIFIER_COLUMNS)], problems


def _predictions(
    models: Mapping[str, ResolvedModel], regional: Path, test: Catalog, out: Path, listener: Listener
) -> dict[str, Path]:
    """Folders of the masks by method, the baseline first."""
    options = Options(resume=True)
    named = {"baseline" if name == ALL else name: m for name, m in models.items() if name not in REGIONS}
    methods: dict[str, ModelName] = {**named, CLASSIFIED: regional}
    folders = {name: out / "predicted" / name.replace(" ", "_") for name in (*methods, BOUND)}
    for name, model in methods.items():
        listener.note(f"segmenting with {name}")
        predict(test, folders[name], model=model, options=options)
    listener.note(f"segmenting with {BOUND}")
    _predict_with_true_regions(test, folders[BOUND], regional, options)
    return folders


def _predict_with_true_regions(catalog: Catalog, out: Path, model: Path, options: Options) -> None:
    """Masks of a regional model whose classifier is always right."""
    found = resolve(model)
    network = open_network(found, options)
    made_by = sha256(settings_digest(found, options), BOUND)
    keeper = get_task(network.spec.task).keeper(
        catalog, out, labels=network.spec.labels, source=lambda study: made_by, resume=options.resume
    )

    def answer(study: Study, cine: Cine) -> Cine:
        return segment(cine, network, options, regions=true_regions(study, cine)).mask

    ask_about_all(catalog, out, keeper, answer)


def _by_data(catalog: Catalog) -> Iterator[tuple[str, Catalog]]:
    """The subjects of every one of several data sets."""
    if "data" in catalog.table:
        for name, table in catalog.table.groupby("data", sort=False):
            yield str(name), replace(catalog, table=table)


def _arm_row(arm: RegionArm) -> tuple[str, int, int, int]:
    """What a segmenter was shown."""
    epochs, size = sum(s.epochs for s in arm.config.schedule), min(arm.config.batch_size, arm.images)
    return arm.name, arm.images, epochs, epochs * (arm.images // size * size)
