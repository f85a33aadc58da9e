"""One curated study on its way to a report: mask, analysis, files, and what they were made from."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from time import perf_counter

import pandas as pd

from cmrseg import __version__
from cmrseg.analysis.analyse import analyse
from cmrseg.analysis.domain import TrainingDomain, read_domain
from cmrseg.analysis.facts import StudyFacts, read_facts
from cmrseg.analysis.function import end_frames
from cmrseg.analysis.study import StudyAnalysis
from cmrseg.analysis.trust import TrustInput
from cmrseg.cine import Cine
from cmrseg.curation.run import Options as CurationOptions
from cmrseg.curation.run import Planes
from cmrseg.io.checksum import sha256_of
from cmrseg.io.images import load_image, save_mask
from cmrseg.metrics.volumes import VOLUME_COLUMNS
from cmrseg.predict import Network, Options, Progress, open_network, study_segmenter
from cmrseg.problems import Problem
from cmrseg.report.cohort import cohort_row
from cmrseg.report.study_files import DicomSources, write_study
from cmrseg.report.study_result import (
    CINE,
    MASK,
    RESULT,
    StudyResult,
    is_corrected,
    is_finished,
    put_aside,
    read_corrected,
    read_result,
    write_result,
)
from cmrseg.zoo.manifest import model_path


@dataclass(frozen=True)
class ReportOptions:
    """How studies are read, segmented and measured.

    Attributes
    ----------
    masks, curation
        How masks are made, and how short-axis cines are made of DICOM files.
    facts
        What the user says of the patient; it counts before what the headers say.
    """

    masks: Options = field(default_factory=Options)
    curation: CurationOptions = field(default_factory=CurationOptions)
    facts: StudyFacts = field(default_factory=StudyFacts)


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
    """

    network: Network
    model: dict[str, str]
    domain: TrainingDomain | None
    options: ReportOptions
    clock: Clock


def load_maker(model: str | Path, options: ReportOptions, clock: Clock) -> Maker:
    """A model of the zoo or of a file, ready for studies."""
    # A run always goes on: what was asked of it in that regard is no setting of the masks.
    options = replace(options, masks=replace(options.masks, resume=False))
    network, path = open_network(model, options.masks), model_path(model)
    spec = network.spec
    told = {
        "name": spec.name,
        "recipe": spec.recipe,
        "sha256": sha256_of([path]),
        "licence": spec.licence,
        "computed by": network.runtime,
    }
    return Maker(network, told, read_domain(path), options, clock)


def report_study(
    folder: Path,
    planes: Planes,
    problems: Sequence[Problem],
    maker: Maker,
    progress: Progress | None = None,
) -> StudyResult:
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
    digest, before = _digest(folder, maker), read_result(folder)
    if before is not None and is_finished(before, folder, digest):
        return before
    with maker.clock("reading"):
        image = load_image(folder / CINE)
        facts = maker.options.facts.or_else(read_facts(path for path, _ in planes.values()))
    mask, agreement, result = _mask(image, folder, digest, before, maker, progress)
    with maker.clock("measuring"):
        segmented = TrustInput(
            image,
            mask,
            *end_frames(mask),
            structures=maker.network.spec.label_ids[1:],
            agreement=agreement,
            facts=facts,
            domain=maker.domain,
            problems=problems,
        )
        analysis = analyse(folder.name, segmented, provenance=_provenance(maker, corrected=result.corrected))
    with maker.clock("files"):
        pseudonym = None if maker.options.curation.tell else folder.name
        dicom = DicomSources(planes, pseudonym, corrected=result.corrected) if planes else None
        found = write_study(analysis, folder, dicom=dicom, cohort="../index.html")
    result = replace(_measured(result, analysis), problems=(*result.problems, *found))
    write_result(result, folder)
    return result


def _mask(
    image: Cine,
    folder: Path,
    digest: str,
    before: StudyResult | None,
    maker: Maker,
    progress: Progress | None,
) -> tuple[Cine, pd.DataFrame | None, StudyResult]:
    """The mask of a study: the one that a person corrected, or a new one, which is written."""
    path = folder / MASK
    if before is not None and path.exists() and (before.corrected or is_corrected(before, folder)):
        return read_corrected(folder, image), None, StudyResult(digest, sha256_of([path]), corrected=True)
    with maker.clock("segmentation"):
        found = study_segmenter(maker.network, maker.options.masks)(image, progress)
    with maker.clock("files"):
        aside = put_aside(path) if before is None else None
        # A run that is killed between the two writes must not take its own mask for a corrected one.
        (folder / RESULT).unlink(missing_ok=True)
        save_mask(found.mask, path)
        result = StudyResult(digest, sha256_of([path]), problems=_put_aside(aside))
        write_result(result, folder)
    return found.mask, found.agreement, result


def _put_aside(aside: Path | None) -> tuple[Problem, ...]:
    """What is told of a mask that was there before."""
    if aside is None:
        return ()
    reason = "this program did not write it for this study; give it the name back to have it measured"
    return (Problem(aside.parent.name, "mask of unknown origin", "put aside", aside.name, reason),)


def _measured(result: StudyResult, analysis: StudyAnalysis) -> StudyResult:
    """The result with its rows of the tables."""
    volumes = analysis.curves.assign(study=analysis.study)[list(VOLUME_COLUMNS)]
    return replace(result, cohort=cohort_row(analysis), volumes=volumes.to_dict("records"))


def _digest(folder: Path, maker: Maker) -> str:
    """Changes with the images, the model, the settings and the program."""
    options = maker.options
    told = (
        __version__,
        sha256_of([folder / CINE]),
        maker.model,
        asdict(options.masks),
        asdict(options.facts),
        options.curation.tell,
    )
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()


def _provenance(maker: Maker, *, corrected: bool) -> dict[str, object]:
    """What the numbers of a study come from."""
    mask = "corrected by a person" if corrected else "by the model"
    return {
        "cmrseg": __version__,
        "made on": date.today().isoformat(),
        "mask": mask,
        "model": maker.model,
        "settings": {name: value for name, value in asdict(maker.options.masks).items() if name != "resume"},
    }
