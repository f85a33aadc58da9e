"""Every file of one analysed study: contours, DICOM segmentation, pictures, tables and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from cmrseg.curation.run import Planes
from cmrseg.examination.findings import Findings
from cmrseg.examination.methods_text import methods_text
from cmrseg.examination.page import study_page
from cmrseg.io.atomic import atomic_path, write_table, write_text
from cmrseg.labels import STRUCTURES, Label
from cmrseg.parallel import Threads
from cmrseg.problems import DataError, Problem
from cmrseg.report.cine_pictures import overlay_figure, write_animation
from cmrseg.report.figures import png_bytes
from cmrseg.report.flags import Flag
from cmrseg.report.html import Picture
from cmrseg.report.segments_figure import segments_figure, wall_motion_hint

if TYPE_CHECKING:
    from cmrseg.io.dicom_seg import Algorithm
    from cmrseg.io.dicom_sr import Measured

FILES: Mapping[str, str] = {
    "seg.nii.gz": "mask",
    "sa.nii.gz": "short-axis cine",
    "dicom_seg": "DICOM segmentation, one object per cardiac phase",
    "dicom_sr.dcm": "DICOM structured report of the numbers (TID 1500)",
    "slicer": "segmentations for 3D Slicer, one per cardiac phase",
    "contours": "contours as text, in pixels of the DICOM images",
    "cvi42.cvi42wsx": "contours as a cvi42 workspace",
    "overlay.png": "end-diastole and end-systole with contours",
    "cine.webp": "the beating heart with contours",
    "curves.csv": "volumes of every frame",
    "numbers.csv": "function of both ventricles",
    "indices.csv": "LV indices of the middle slices",
    "segments.csv": "wall thickness of the AHA segments",
    "sensitivity.csv": "volumes without the end slices",
    "ends.csv": "base and apex of every frame, and how sure they are",
    "intervals.csv": "EDV, ESV and EF with the doubt about base and apex",
    "ranges.csv": "numbers against normal ranges",
    "methods.txt": "how this was done, to paste",
    "flags.csv": "checks without a reference",
}
_WRITERS = 2  # threads: compressing pictures and arrays leaves Python free


@dataclass(frozen=True)
class DicomSources:
    """The images that a study came from, and what may be told of its patient.

    Attributes
    ----------
    planes
        File and number of the plane of every slice and frame.
    pseudonym
        Name of the patient in DICOM objects; None copies the patient from the images.
    corrected
        Whether a person has changed the mask.
    """

    planes: Planes
    pseudonym: str | None
    corrected: bool = False


def write_study(
    analysis: Findings, folder: Path, *, dicom: DicomSources | None = None, cohort: str = ""
) -> list[Problem]:
    """Write all files of one study but its mask.

    Parameters
    ----------
    analysis
        What is known of the study.
    folder
        Its folder.
    dicom
        The images that it came from, for contours and DICOM segmentation; None for other sources.
    cohort
        Address of the page of all studies, relative to the report.

    Returns
    -------
    What could not be written because of the data, with the reason; all else is there.
    """
    steps = [*_pictures(analysis, folder), *_tables(analysis, folder)]
    if dicom is not None:
        steps += _dicom(analysis, folder, dicom)
    with Threads(_WRITERS, "the pictures and tables of a study") as pool:
        problems = [p for p in pool.map(lambda step: _done(analysis.study, *step), steps) if p]
    caption = f"Wall of the left ventricle by AHA segment. {wall_motion_hint(analysis.segments)}"
    wall = [Picture(segments_figure(analysis.segments), caption.strip(), "aha")]
    there = {name: told for name, told in FILES.items() if (folder / name).exists()}
    page = study_page(analysis, pictures=wall, files=there, cohort=cohort)
    write_text(page, folder / "report.html")
    return problems


Step = tuple[str, Callable[[], object]]


def _done(study: str, name: str, write: Callable[[], object]) -> Problem | None:
    """Write something; what the data do not allow is a problem, the rest goes on."""
    try:
        write()
    except DataError as error:
        return Problem(study, f"no {name}", "left out", extra_info=str(error))
    return None


def _pictures(analysis: Findings, folder: Path) -> Iterator[Step]:
    """The cine with its contours, still and beating, and the mask for another program."""
    from cmrseg.io.seg_nrrd import write_seg_nrrds

    image, mask, frames = analysis.image, analysis.mask, [analysis.ed_frame, analysis.es_frame]

    def overlay() -> None:
        png = png_bytes(overlay_figure(image, mask, frames=list(dict.fromkeys(frames))))
        with atomic_path(folder / "overlay.png") as temporary:
            temporary.write_bytes(png)

    if mask.array.shape[3] > 1:
        yield "animation", lambda: write_animation(image, mask, folder / "cine.webp")
    yield "overlay", overlay
    yield "Slicer segmentations", lambda: write_seg_nrrds(mask, folder / "slicer")


def _tables(analysis: Findings, folder: Path) -> Iterator[Step]:
    """Everything that the report shows in numbers."""
    tables = {
        "curves": analysis.curves,
        "numbers": analysis.numbers,
        "indices": analysis.indices,
        "segments": analysis.segments,
        "sensitivity": analysis.sensitivity,
        "ends": analysis.ends,
        "intervals": analysis.intervals,
        "flags": flag_table(analysis.flags),
    }
    if analysis.normal is None:
        (folder / "ranges.csv").unlink(missing_ok=True)  # of an earlier run that was asked for them
    else:
        tables["ranges"] = analysis.normal
    yield "methods", lambda: write_text(f"{methods_text(analysis)}\n", folder / "methods.txt")
    for name, table in tables.items():
        yield name, lambda name=name, table=table: write_table(table, folder / f"{name}.csv")


def flag_table(flags: Sequence[Flag]) -> pd.DataFrame:
    """Checks as in ``flags.csv``; slice and frame are empty where a check is of no one place."""
    table = pd.DataFrame([vars(flag) for flag in flags], columns=[f.name for f in fields(Flag)])
    return table.astype({"slice": "Int64", "frame": "Int64"})


def _dicom(analysis: Findings, folder: Path, dicom: DicomSources) -> Sequence[Step]:
    """What goes back to an archive or a reading program."""
    from cmrseg.io.contours import write_contours
    from cmrseg.io.cvi42 import write_cvi42
    from cmrseg.io.dicom_seg import write_dicom_segs
    from cmrseg.io.dicom_seg_source import read_images
    from cmrseg.io.dicom_sr import write_dicom_sr
    from cmrseg.io.outlines import mask_contours

    algorithm = _algorithm(analysis, corrected=dicom.corrected)

    @cache
    def contours() -> dict:
        return mask_contours(analysis.mask, read_images(dicom.planes))

    def segmentation() -> None:
        report = folder / "dicom_sr.dcm"
        report.unlink(missing_ok=True)  # that of an earlier mask, where this one cannot be told
        phases = write_dicom_segs(
            analysis.mask,
            dicom.planes,
            folder / "dicom_seg",
            algorithm=algorithm,
            pseudonym=dicom.pseudonym,
        )
        objects = {"ED": phases[analysis.ed_frame], "ES": phases[analysis.es_frame]}
        write_dicom_sr(_measured(analysis), objects, report, algorithm=algorithm)

    def workspace() -> None:
        path = folder / "cvi42.cvi42wsx"
        path.unlink(missing_ok=True)  # that of an earlier mask, where this one has no contours
        write_cvi42(contours(), path)

    return [
        ("contours", lambda: write_contours(contours(), folder / "contours")),
        ("DICOM segmentation and report", segmentation),
        ("cvi42 workspace", workspace),
    ]


def _algorithm(analysis: Findings, *, corrected: bool) -> Algorithm:
    """What made the mask, as DICOM objects name it."""
    from cmrseg.io.dicom_seg import Algorithm

    model = analysis.provenance["model"]
    return Algorithm(
        str(model["name"]), str(model["recipe"]), {"sha256": str(model["sha256"])}, corrected=corrected
    )


def _measured(analysis: Findings) -> list[Measured]:
    """The numbers of a study for a structured report; none where there is no end-diastole and end-systole."""
    from cmrseg.io.dicom_sr import Measured

    if not analysis.has_one_beat:
        return []
    frames = {"ED": analysis.ed_frame, "ES": analysis.es_frame}
    if len(set(frames.values())) == 1:
        del frames["ES"]
    volumes = [
        Measured(label, "volume", float(analysis.curves[f"{label.name}_ml"].iloc[frame]), "ml", phase)
        for label in STRUCTURES
        for phase, frame in frames.items()
    ]
    rows = analysis.numbers.to_dict("records")
    numbers = [Measured(Label[r["ventricle"]], r["quantity"], float(r["value"]), r["unit"]) for r in rows]
    return [*volumes, *numbers]
