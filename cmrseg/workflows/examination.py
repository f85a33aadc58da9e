"""One curated study on its way to a report: mask, analysis, files, and what they were made from."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter

from cmrseg import __version__
from cmrseg.cine import Cine
from cmrseg.curation.run import Options as CurationOptions
from cmrseg.curation.run import Planes
from cmrseg.examination.cohort import cohort_row
from cmrseg.examination.context import Context, measure
from cmrseg.examination.facts import PatientFacts, read_facts
from cmrseg.examination.files import DicomSources, write_study
from cmrseg.examination.findings import Findings
from cmrseg.examination.normal_ranges import NormalRanges
from cmrseg.examination.result import (
    CINE,
    MASK,
    ExaminationResult,
    is_corrected,
    is_finished,
    read_result,
    write_result,
)
from cmrseg.examination.trust_input import SecondOpinion
from cmrseg.io.checksum import sha256_of
from cmrseg.io.images import load_image
from cmrseg.io.own_masks import origin, put_aside, save_own_mask
from cmrseg.io.review_file import Review, read_review
from cmrseg.metrics.volumes import VOLUME_COLUMNS
from cmrseg.parallel import Progress
from cmrseg.predict import Network, Options, open_network, segmenter, study_segmenter
from cmrseg.problems import DataError, Problem
from cmrseg.tasks.segmentation.corrected import read_corrected, short_name
from cmrseg.tasks.segmentation.from_network import Segmentation
from cmrseg.zoo.domain import TrainingDomain, read_domain
from cmrseg.zoo.manifest import resolve
from cmrseg.zoo.resolved import ModelName, ResolvedModel


@dataclass(frozen=True)
class ReportOptions:
    """How studies are read, segmented and measured.

    Attributes
    ----------
    masks, curation
        How masks are made, and how short-axis cines are made of DICOM files; the processes, or the scheduler,
        of curation make the reports, too.
    facts
        What the user says of the patient; it counts before what the headers say.
    second
        Another model, whose masks are compared with those of the first; none by default.
    normal
        Ranges to compare the numbers with; none by default, because they tell of sex and age.
    """

    masks: Options = field(default_factory=Options)
    curation: CurationOptions = field(default_factory=CurationOptions)
    facts: PatientFacts = field(default_factory=PatientFacts)
    normal: NormalRanges | None = None
    second: ResolvedModel | None = None


class Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Count the time of a block."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[step] += perf_counter() - start

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count what another clock has counted."""
        for step, time in seconds.items():
            self.seconds[step] += time


@dataclass(frozen=True)
class Maker:
    """A model and how it is used, the same for all studies of a run.

    Attributes
    ----------
    network
        The model, ready to be asked.
    model
        What is told of it: name, checksum, recipe, what computes it.
    domain
        What it was trained on, where that is known.
    options, clock
        Of the run.
    second
        The second model of the options.
    source
        The model's file. Another process that is sent a maker opens it for itself, once.
    """

    network: Network
    model: dict[str, str]
    domain: TrainingDomain | None
    options: ReportOptions
    clock: Clock
    source: ResolvedModel
    second: Network | None = None

    def __reduce__(self) -> tuple[Callable[..., Maker], tuple[ResolvedModel, ReportOptions]]:
        return _opened_here, (self.source, self.options)


_OPENED: dict[str, Maker] = {}  # by a worker process, which makes many studies in one way
_OPENING = threading.Lock()  # a worker of a cluster may have several threads


def _opened_here(model: ResolvedModel, options: ReportOptions) -> Maker:
    """The maker of this process, with a clock that runs from now on."""
    key = repr((model, options))
    with _OPENING:
        if key not in _OPENED:
            _OPENED.clear()
            _OPENED[key] = load_maker(model, options, Clock())
        return replace(_OPENED[key], clock=Clock())


def load_maker(model: ModelName, options: ReportOptions, clock: Clock) -> Maker:
    """A model of the zoo or of a file, ready for studies."""
    # A run always goes on: what was asked of it in that regard is no setting of the masks.
    options = replace(options, masks=replace(options.masks, resume=False))
    model = resolve(model)
    network = open_network(model, options.masks)
    second = None
    if options.second:
        if options.second.sha256 == model.sha256:
            raise DataError(f"the second model is the first one ({model}): name another")
        second = open_network(options.second, options.masks)
    return Maker(network, _told(network, model), read_domain(model), options, clock, model, second)


def _told(network: Network, model: ResolvedModel) -> dict[str, str]:
    """What reports say of a model."""
    spec = network.spec
    return {
        "name": spec.name,
        "recipe": spec.recipe,
        "sha256": model.sha256,
        "licence": spec.licence,
        "computed by": network.runtime,
    }


def report_study(
    folder: Path,
    planes: Planes,
    problems: Sequence[Problem],
    maker: Maker,
    progress: Progress | None = None,
) -> ExaminationResult:
    """Segment, measure and report one curated study, unless an earlier run has done just that.

    Parameters
    ----------
    folder
        Of the study, with its cine.
    planes
        Files that the cine comes from.
    problems
        What curation reported of the study.
    maker
        Model and options.
    progress
        Told of the parts of the cine that are segmented.

    Returns
    -------
    Rows of the tables, and what could not be written.

    Raises
    ------
    DataError
        If the cine or a corrected mask cannot be used.
    """
    review = read_review(folder) or Review()
    digest, before = _digest(folder, maker, review), read_result(folder)
    if before is not None and is_finished(before, folder, digest):
        return before
    with maker.clock("reading"):
        image = load_image(folder / CINE)
        first = (path for (_, frame), (path, _) in planes.items() if frame == 0)
        told = read_facts(first, cycle_ms=image.duration_ms)
    mask, made, result = _mask(image, folder, digest, before, maker, progress)
    with maker.clock("measuring"):
        context = _context(maker, told, problems)
        analysis = measure(
            folder.name,
            image,
            mask,
            context,
            review=review,
            corrected=result.corrected,
            agreement=made and made.agreement,
            regions=made and made.regions,
            normal=maker.options.normal,
            second=_second_opinion(image, maker),
        )
    with maker.clock("files"):
        pseudonym = None if maker.options.curation.tell else folder.name
        dicom = DicomSources(planes, pseudonym, corrected=result.corrected) if planes else None
        found = write_study(analysis, folder, dicom=dicom, cohort="../index.html")
    made_by = f"{maker.model['name']} ({maker.model['sha256'][:12]})"
    result = replace(with_numbers(result, analysis), problems=(*result.problems, *found), made_by=made_by)
    result = replace(result, context=context.told())
    write_result(result, folder)
    return result


def _mask(
    image: Cine,
    folder: Path,
    digest: str,
    before: ExaminationResult | None,
    maker: Maker,
    progress: Progress | None,
) -> tuple[Cine, Segmentation | None, ExaminationResult]:
    """The mask of a study: the one that a person corrected, or a new one, which is written."""
    path = folder / MASK

    def segmented() -> Segmentation:
        with maker.clock("segmentation"):
            return study_segmenter(maker.network, maker.options.masks)(image, progress)

    if is_corrected(before, folder):
        corrected = read_corrected(path, image, lambda: segmented().mask)
        notes = (
            f"{short_name(path)} was changed by a person: kept and measured{_in_brackets(corrected.told)}",
        )
        return corrected.mask, None, ExaminationResult(digest, sha256_of([path]), corrected=True, notes=notes)
    found = segmented()
    with maker.clock("files"):
        aside = put_aside(path) if before is None and origin(path) == "unknown" else None
        save_own_mask(found.mask, path)
        result = ExaminationResult(digest, sha256_of([path]), problems=_put_aside(aside))
        write_result(result, folder)
    return found.mask, found, result


def _second_opinion(image: Cine, maker: Maker) -> SecondOpinion | None:
    """What the second model makes of the images, where one was named."""
    if maker.second is None or maker.options.second is None:
        return None
    with maker.clock("second model"):
        mask = segmenter(maker.second, maker.options.masks)(image)
    return SecondOpinion(_told(maker.second, maker.options.second), mask, maker.second.spec.label_ids[1:])


def _in_brackets(text: str) -> str:
    """A text after others, where there is one."""
    return f" ({text})" if text else ""


def _put_aside(aside: Path | None) -> tuple[Problem, ...]:
    """What is told of a mask that was there before."""
    if aside is None:
        return ()
    reason = "this program did not write it for this study; give it the name back to have it measured"
    return (Problem(aside.parent.name, "mask of unknown origin", "put aside", aside.name, reason),)


def with_numbers(result: ExaminationResult, analysis: Findings) -> ExaminationResult:
    """The result of a study with its rows of the tables."""
    volumes = analysis.curves.assign(study=analysis.study)[list(VOLUME_COLUMNS)]
    return replace(result, cohort=cohort_row(analysis), volumes=volumes.to_dict("records"))


def _digest(folder: Path, maker: Maker, review: Review) -> str:
    """Changes with the images, the model, the settings, the program, and what a person has marked."""
    options = maker.options
    told = (
        __version__,
        sha256_of([folder / CINE]),
        maker.model,
        maker.domain and asdict(maker.domain),
        asdict(options.masks),
        asdict(options.facts),
        options.curation.tell,
        *([asdict(options.normal)] if options.normal else []),  # named where it is not the default only
        *([(review.ed, review.es)] if review.is_marked else []),
        *([options.second.sha256] if options.second else []),
    )
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()


def _context(maker: Maker, headers: PatientFacts, problems: Sequence[Problem]) -> Context:
    """What a study is measured with beside its image and mask."""
    settings = {name: value for name, value in asdict(maker.options.masks).items() if name != "resume"}
    rate = headers.heart_rate_bpm
    return Context(
        model=maker.model,
        settings=settings,
        structures=tuple(label.name for label in maker.network.spec.label_ids[1:]),
        facts=maker.options.facts.or_else(headers),
        header_rate_bpm=rate if math.isfinite(rate) else None,
        domain=maker.domain,
        problems=tuple(problems),
    )
