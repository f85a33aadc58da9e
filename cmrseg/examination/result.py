"""What the folder of a study remembers of its mask, so that a run goes on and no corrected mask is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cmrseg.io.atomic import write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.own_masks import origin
from cmrseg.io.settings import read_json
from cmrseg.problems import Problem

RESULT = "result.json"
CINE, MASK, REPORT = "sa.nii.gz", "seg.nii.gz", "report.html"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class ExaminationResult:
    """What was made of one study.

    Attributes
    ----------
    digest
        Changes when the images, the model or the settings change.
    mask_sha256
        Checksum of the mask that was measured.
    corrected
        Whether a person has changed it since it was made.
    cohort, volumes
        Rows of the tables; empty until the study is finished.
    problems
        What could not be measured or written.
    notes
        What a user should know.
    failed
        Why the study has no numbers, although an earlier run had some.
    made_by
        Name of the model and the begin of its checksum; empty in results of earlier versions.
    context
        What it was measured with, see `cmrseg.examination.context.Context`; None until it is finished.
    """

    digest: str
    mask_sha256: str
    corrected: bool = False
    cohort: Row | None = None
    volumes: Sequence[Row] = ()
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()
    failed: str = ""
    made_by: str = ""
    context: Mapping[str, Any] | None = None


def write_result(result: ExaminationResult, folder: Path) -> Path:
    """Write the result of a study into its folder."""
    return write_text(json.dumps(asdict(result)), folder / RESULT)


def read_result(folder: Path) -> ExaminationResult | None:
    """The result of an earlier run; None where there is no readable one."""
    try:
        told = read_json(folder / RESULT, "it is made again")
        told["problems"] = tuple(Problem(**row) for row in told["problems"])
        # Another version may tell more; its result still says whether the mask was corrected.
        return ExaminationResult(
            **{f.name: told[f.name] for f in fields(ExaminationResult) if f.name in told}
        )
    except (ValueError, KeyError, TypeError):
        return None


def is_finished(result: ExaminationResult | None, folder: Path, digest: str) -> bool:
    """Whether an earlier run has made just that, and nobody has touched the mask since."""
    if result is None or result.digest != digest or result.cohort is None or result.context is None:
        return False
    mask = folder / MASK
    return (folder / REPORT).exists() and mask.exists() and sha256_of([mask]) == result.mask_sha256


def is_corrected(result: ExaminationResult | None, folder: Path) -> bool:
    """Whether a person has changed the mask that a run had written."""
    whose = origin(folder / MASK)
    if whose != "unknown" or result is None:
        return whose == "changed"
    return result.corrected or sha256_of([folder / MASK]) != result.mask_sha256  # of before masks.json
