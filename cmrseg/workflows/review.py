"""What `cmrseg review` does: a person corrects masks in the browser, and each is measured again at once."""

from __future__ import annotations

import threading
import zlib
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cmrseg.arrays import CineLabels
from cmrseg.cine import Cine
from cmrseg.curation.examination import FAILED
from cmrseg.examination.context import Context, ends_of, measure
from cmrseg.examination.files import write_study
from cmrseg.examination.outdated import put_earlier
from cmrseg.examination.result import CINE, MASK, ExaminationResult, read_result, write_result
from cmrseg.io.atomic import atomic_path
from cmrseg.io.checksum import sha256_of
from cmrseg.io.images import load_image, load_mask, save_mask
from cmrseg.io.in_use import works_in
from cmrseg.io.own_masks import copy_own, origin
from cmrseg.io.review_file import RECORD, Review, read_review, reviewed_images, write_review
from cmrseg.io.tables import read_problems
from cmrseg.labels import STRUCTURES
from cmrseg.problems import DataError, Problem, problem_table
from cmrseg.review.page import Place, measured_now, overview_page, review_page
from cmrseg.review.server import Conflict, check_installed, serve
from cmrseg.tasks.segmentation.corrected import read_corrected
from cmrseg.workflows.examination import with_numbers
from cmrseg.workflows.predict import results_of, write_cohort

BEFORE = "seg_before_review.nii.gz"
_OF_DICOM = ("dicom_seg", "dicom_sr.dcm", "contours", "cvi42.cvi42wsx", "ranges.csv")  # need the source
_LATER = "files that need the source are in earlier/: `cmrseg predict` with the same source makes them again"


@works_in("out", "review")
def review(out: Path, *, port: int = 0, ready: Callable[[str], None]) -> None:
    """Let a person correct the examinations of a folder in the browser of this computer, until Ctrl-C.

    Parameters
    ----------
    out
        Folder that `cmrseg predict` wrote of DICOM, or with ``--report``.
    port
        Of the server on 127.0.0.1; any free one by default.
    ready
        Told the address.

    Raises
    ------
    DataError
        If the folder holds no measured examination, a server is not installed, or the port cannot be had.
    """
    check_installed()
    serve(ReviewDesk(out, examinations(out)), port=port, ready=ready)


def examinations(out: Path) -> list[Path]:
    """Folders of the examinations that can be reviewed.

    Raises
    ------
    DataError
        If there is none.
    """
    known = {path.parent: read_result(path.parent) for path in sorted(out.glob(f"*/{CINE}"))}
    measured = [folder for folder, result in known.items() if result and result.cohort]
    found = [folder for folder in measured if known[folder].context]  # type: ignore[union-attr]
    if not found:
        why = "was measured by an earlier version" if measured else "was measured"
        only = "only examinations that" if measured else "no examination that"
        raise DataError(f"{out} holds {only} {why}; call `cmrseg predict SOURCE {out}` first")
    return found


class ReviewDesk:
    """Keeps the examinations of a folder: one person's correction at a time.

    Parameters
    ----------
    out
        Folder of `cmrseg predict`.
    folders
        Its examinations.
    """

    def __init__(self, out: Path, folders: Sequence[Path]) -> None:
        self._out, self._folders, self._alone = out, folders, threading.Lock()

    def __len__(self) -> int:
        return len(self._folders)

    def overview(self) -> str:
        """Page of all examinations."""
        return overview_page([_row(folder) for folder in self._folders])

    def page(self, number: int) -> str:
        """Page of one examination.

        Raises
        ------
        DataError
            If its files cannot be read.
        """
        folder = self._folders[number]
        with self._alone:
            image, mask, result, decided = _opened(folder)
            told = measured_now(folder, result, decided, version_of(folder))
        return review_page(Place(number, len(self), folder.name), image, mask, told)

    def save(self, number: int, told: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what a person has drawn and marked, measure it, and say what is measured now.

        Parameters
        ----------
        number
            Of the examination.
        told
            As `cmrseg.review.page.review_page` says.

        Raises
        ------
        Conflict
            If the mask or the marks have changed since the page was made; what was drawn is kept beside.
        DataError
            If the values are no correction of this examination.
        """
        with self._alone:
            return _save(self._folders[number], told, self._out)


def version_of(folder: Path) -> str:
    """Changes with the mask of an examination, and with what a person has marked."""
    return sha256_of([path for name in (MASK, RECORD) if (path := folder / name).exists()])


def _row(folder: Path) -> dict[str, Any]:
    """What the list tells of an examination."""
    result = read_result(folder)
    row = dict(result.cohort or {}) if result else {}
    corrected = bool(result and result.corrected)
    state = "corrected" if corrected else "reviewed" if reviewed_images(folder / MASK) is not None else ""
    numbers = {name: row.get(name, np.nan) for name in ("EDV_ml", "ESV_ml", "EF_percent")}
    level, reasons = row.get("level") or "none", row.get("reasons", "")
    return {"study": folder.name, "level": level, "reasons": reasons, "state": state, **numbers}


def _opened(folder: Path) -> tuple[Cine, Cine, ExaminationResult, Review]:
    """Image, mask and what is remembered of an examination."""
    result = read_result(folder)
    if result is None or result.context is None or result.cohort is None:
        raise DataError(f"{folder.name} has no numbers any more; call `cmrseg predict` again")
    image = load_image(folder / CINE)
    return (
        image,
        read_corrected(folder / MASK, image, lambda: _before(folder, image)).mask,
        result,
        (read_review(folder) or Review()),
    )


def _before(folder: Path, image: Cine) -> Cine:
    """The network's mask, which counts where a person has left a whole frame empty."""
    kept = folder / BEFORE
    return (
        load_mask(kept, "cmrseg", image=folder / CINE)
        if kept.exists()
        else image.with_array(np.zeros(image.array.shape, np.uint8))
    )


def _save(folder: Path, told: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Save a correction, and measure it."""
    image = load_image(folder / CINE)
    drawn = _labels(told.get("mask"), image)
    marks = [_frame(told, name, image.array.shape[3]) for name in ("ed", "es")]
    if marks[0] is not None and marks[0] == marks[1]:
        raise DataError("one phase cannot be both end-diastole and end-systole; nothing was saved")
    if told.get("base") != version_of(folder):
        aside = _free(folder)
        save_mask(image.with_array(drawn), aside)
        raise Conflict(
            f"{folder.name}/{MASK} was changed elsewhere since this page was opened, and stays as it is; "
            f"what you drew is kept as {aside.name}; reload the page to go on"
        )
    _, mask, result, before = _opened(folder)
    decided = _keep(folder, mask, image.with_array(drawn), replace(before, ed=marks[0], es=marks[1]), result)
    result = _measure(folder, image, decided, result)
    _write_tables(folder, result, out)
    return measured_now(folder, result, decided, version_of(folder))


def _labels(packed: object, image: Cine) -> CineLabels:
    """The mask ``(x, y, z, t)`` that a page sends."""
    x, y, slices, frames = image.array.shape
    size = x * y * slices * frames
    try:
        unpacker = zlib.decompressobj()
        flat = unpacker.decompress(
            b64decode(packed if isinstance(packed, str) else "", validate=True), size + 1
        )
    except (ValueError, NoBase64, zlib.error):
        flat = b""
    array = np.frombuffer(flat, np.uint8)
    if len(array) != size or array.max(initial=0) > max(STRUCTURES):
        raise DataError("what the page sent is no mask of this examination; nothing was saved")
    return array.reshape(frames, slices, y, x).transpose(3, 2, 1, 0)


def _frame(told: Mapping[str, Any], name: str, frames: int) -> int | None:
    """A frame that was marked."""
    mark = told.get(name)
    if mark is None or (type(mark) is int and 0 <= mark < frames):
        return mark
    raise DataError(f"{name} must be a frame from 0 to {frames - 1}; nothing was saved")


def _free(folder: Path) -> Path:
    """A name for a mask that nobody has."""
    number = 1
    while (path := folder / f"seg_review_{number}.nii.gz").exists():
        number += 1
    return path


def _keep(folder: Path, mask: Cine, drawn: Cine, decided: Review, result: ExaminationResult) -> Review:
    """Write the mask where it has changed, and what was decided; the network's mask stays beside."""
    path, changed = folder / MASK, (mask.array != drawn.array).any(axis=(0, 1, 2))
    known = {frame for frame, _ in reviewed_images(path) or ()}
    ends = ends_of(drawn, decided)
    decided = replace(
        decided,
        frames=tuple(sorted({*known, *np.flatnonzero(changed).tolist(), *ends})),
        slices=drawn.array.shape[2],
        structures=tuple(Context.of(result.context).structures),
    )
    if not changed.any():
        write_review(replace(decided, sha256=(sha256_of([path]),)), folder)
        return decided
    if origin(path) == "ours" or not (folder / BEFORE).exists():
        copy_own(path, folder / BEFORE)
    with atomic_path(path) as temporary:
        save_mask(drawn, temporary)
        earlier = decided.sha256[:1] if known else ()
        write_review(replace(decided, sha256=(sha256_of([temporary]), *earlier)), folder)
    return decided


def _measure(folder: Path, image: Cine, decided: Review, before: ExaminationResult) -> ExaminationResult:
    """Measure the mask of a folder, write its report, and say what to remember."""
    path = folder / MASK
    taken = read_corrected(path, image, lambda: _before(folder, image))
    corrected = before.corrected or origin(path) == "changed"
    analysis = measure(
        folder.name, image, taken.mask, Context.of(before.context), review=decided, corrected=corrected
    )
    stale = [name for name in _OF_DICOM if (folder / name).exists()]
    put_earlier(folder, stale)
    found = write_study(analysis, folder, cohort="../index.html")
    notes = (*filter(None, [taken.told]), *([_LATER] if stale or _LATER in before.notes else []))
    # Without a digest the next `predict` with the source measures again, and writes what needs the source.
    result = replace(
        before,
        digest="",
        mask_sha256=sha256_of([path]),
        corrected=corrected,
        problems=tuple(found),
        notes=notes,
    )
    result = with_numbers(result, analysis)
    write_result(result, folder)
    return result


def _write_tables(folder: Path, result: ExaminationResult, out: Path) -> None:
    """The tables and the page of all examinations, with the new numbers of one."""
    problems = _problems(out, folder.name, result)
    failed = {p.study: p.extra_info for p in problems if p.problem == FAILED and p.study != folder.name}
    results, failed = results_of(out, failed)
    failed = {study: reason for study, reason in failed.items() if study not in results}
    write_cohort(results, failed, _table(problems), out)


def _problems(out: Path, study: str, result: ExaminationResult) -> list[Problem]:
    """The problems of a folder: what an examination could not have written is told anew."""
    path = out / "problems.tsv"
    known = read_problems(path) if path.exists() else []
    kept = [p for p in known if p.study != study or not p.problem.startswith("no ")]
    return [*kept, *result.problems]


def _table(problems: list[Problem]) -> pd.DataFrame:
    """Problems as they are written."""
    return problem_table(problems).fillna("")
