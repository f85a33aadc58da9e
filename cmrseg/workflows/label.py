"""Pseudo-labels: a teacher segments whole cines, and a student is trained on what it found.

References
----------
Ankenbrand et al., II.A.2: the model of Bai et al. labelled the Kaggle data, as no labels exist for it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cmrseg import __version__
from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.io.atomic import final_path, write_table
from cmrseg.io.in_use import working_in
from cmrseg.io.own_masks import delete_own, origin, own_masks_below, source_of
from cmrseg.labels import near_matches
from cmrseg.parallel import Progress
from cmrseg.predict import (
    Options,
    PredictionRun,
    ask_about_all,
    open_network,
    segmenter,
)
from cmrseg.problems import DataError, Problem, left_out, problem_table
from cmrseg.tasks.prediction import Study
from cmrseg.tasks.segmentation.keeper import MaskKeeper
from cmrseg.tasks.segmentation.mask_files import mask_paths
from cmrseg.tasks.segmentation.one_heart import kept_pieces
from cmrseg.teachers import Teacher
from cmrseg.teachers.monai_bundle import monai_teacher
from cmrseg.teachers.precomputed import precomputed_teacher
from cmrseg.teachers.record import check_same, read_record, write_record
from cmrseg.zoo.manifest import DEFAULT_MODEL, resolve

EMBEDDED = "embedded"
KINDS = ("monai", "precomputed")
_TABLES = ("volumes.csv", "summary.csv")
_NOT_OURS = "is there already and not from `cmrseg label`"
_ED_ES = "frames of the largest and the smallest LV volume: ED_frame and ES_frame of summary.csv"
Targets = list[tuple[Study, list[Path]]]  # masks of every study


def label(
    data: Path,
    *,
    teacher: str = EMBEDDED,
    out: Path | None = None,
    labels: str | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> PredictionRun:
    """Label every frame of every study of a data set with a teacher.

    Parameters
    ----------
    data
        Data set in any known layout.
    teacher
        ``embedded``, name of the zoo, model file, ``precomputed:DIR`` or ``monai:BUNDLE_DIR``.
    out
        Folder for masks and tables; by default ``data``, so that masks lie beside the cines of a curated
        data set and `cmrseg train` finds them.
    labels
        Label scheme of precomputed masks.
    options
        How masks are made; with ``resume``, finished studies are kept.
    progress
        Told after every study.

    Returns
    -------
    Tables and problems. On disk: ``<study>/seg.nii.gz``, volumes.csv, summary.csv, teacher.json,
    masks.json in every folder (the masks that were written), and what failed in `problems_name`. Masks that a
    person has changed since are kept and measured.

    Raises
    ------
    DataError
        If data or teacher cannot be read, ``out`` cannot be written or holds labels of other data, a mask
        would be overwritten that no teacher wrote, or a resumed run was begun by another teacher.
    ValueError
        If there is no such teacher or label scheme.
    """
    if out is None and data.is_file():
        raise DataError(f"{data} is a file; name a folder for its mask with --out")
    options, out = options or Options(), out or data
    catalog = read_catalog(data, masks=False)
    with _named_when_not_writable(out), working_in(out, "label"):
        chosen = get_teacher(teacher, catalog.studies(), labels=labels, options=options)
        problems_file = problems_name(data, out)
        catalog = _begin(out, catalog, chosen, _record(chosen, options, data, out), resume=options.resume)
        keeper = MaskKeeper(out, labels=chosen.structures, source=chosen.source, resume=options.resume)
        run = ask_about_all(
            catalog, out, keeper, chosen.segment, problems_file=problems_file, progress=progress
        )
        run = _told_where_no_lv(run, out, problems_file)
    run.notes.extend(chosen.notes)
    return run


def get_teacher(
    text: str, studies: Sequence[Study], *, labels: str | None = None, options: Options | None = None
) -> Teacher:
    """A teacher by what the user wrote.

    Parameters
    ----------
    text
        As for `label`.
    studies
        Those that need masks, as `Catalog.studies` groups them.
    labels
        Label scheme of precomputed masks.
    options
        How masks are made.

    Raises
    ------
    DataError
        If the teacher cannot be read.
    ValueError
        If there is no such kind of teacher, or labels are named for one that knows its own.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in KINDS and not rest:
        raise ValueError(f"teacher '{text}' names no folder; write {kind}:DIR")
    if colon and kind not in KINDS and len(kind) > 1 and not Path(text).exists():
        raise ValueError(f"unknown kind of teacher '{kind}'; {near_matches(kind, list(KINDS))}")
    if labels is not None and kind != "precomputed":
        raise ValueError(f"labels '{labels}' are for precomputed masks; the teacher '{text}' knows its own")
    if colon and kind == "precomputed":
        return precomputed_teacher(Path(rest), list(studies), labels=labels)
    options = options or Options()
    if colon and kind == "monai":
        return _cleaned(monai_teacher(Path(rest), batch_size=options.batch_size), options)
    return _model_teacher(DEFAULT_MODEL if text == EMBEDDED else text, options)


def problems_name(data: Path, out: Path) -> str:
    """Name of the table of what failed; that of the curation is not touched when both folders are one."""
    return "label_problems.tsv" if _same(data, out) else "problems.tsv"


def _model_teacher(name: str, options: Options) -> Teacher:
    """One of cmrseg's own models."""
    model = resolve(name)
    network = open_network(model, options)
    segment, spec = segmenter(network, options), network.spec
    names = tuple(label.name for label in spec.label_ids if label)
    scheme = ",".join(f"{name}={i}" for i, name in enumerate(spec.labels) if i)
    return Teacher("model", name, model.sha256, scheme, names, lambda study, cine: segment(cine))


def _cleaned(teacher: Teacher, options: Options) -> Teacher:
    """The same teacher, of whose masks one heart stays."""

    def segment(study: Study, cine: Cine) -> Cine:
        mask = teacher.segment(study, cine)
        return mask.with_array(kept_pieces(mask.array, options.pieces))

    return replace(teacher, segment=segment)


def _record(teacher: Teacher, options: Options, data: Path, out: Path) -> dict[str, object]:
    """What teacher.json says; of a data folder elsewhere only whether it is the same."""
    path = str(data.resolve()).encode("utf-8", "surrogateescape")
    return {
        "teacher": teacher.name,
        "kind": teacher.kind,
        "sha256": teacher.sha256,
        "labels": teacher.labels,
        "structures": list(teacher.structures),
        "flips_averaged": options.flips if teacher.kind == "model" else None,
        "pieces": options.pieces if teacher.kind != "precomputed" else None,
        "data": "." if _same(data, out) else sha256(path).hexdigest(),
        "ED_ES": _ED_ES,
        "cmrseg": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _begin(
    out: Path, catalog: Catalog, teacher: Teacher, record: dict[str, object], *, resume: bool
) -> Catalog:
    """Make room for a run, or see that the one to be resumed is of the same teacher and data.

    Gives the studies to be labelled. Only masks that we wrote and nobody changed are deleted.
    """
    targets = _targets(catalog, out)
    masks = [path for _, paths in targets for path in paths]
    if read := sorted(set(_real(masks)) & set(_real(teacher.files))):
        raise DataError(f"{read[0]} is a mask of the teacher and would be overwritten; name another --out")
    earlier = read_record(out)
    if earlier is None:
        _refuse([*masks, *(out / name for name in _TABLES)])
    elif earlier.get("data", record["data"]) != record["data"]:
        raise DataError(f"{out} holds the labels of another data set; name another --out")
    foreign = [path for path in masks if origin(path) == "unknown"]
    if resume and earlier is not None:
        check_same(earlier, record, out)
        delete_own(_outdated(targets, teacher))
        write_record({**earlier, "sha256": record["sha256"]}, out)
        return _without(catalog, targets, foreign)
    _refuse(foreign)
    _start_anew(out)
    write_record(record, out)
    return catalog


def _refuse(paths: Sequence[Path]) -> None:
    """Say which files are in the way."""
    there = [path for path in paths if path.exists()]
    if there:
        more = f" (and {len(there) - 1} more like it)" if len(there) > 1 else ""
        raise DataError(f"{there[0]} {_NOT_OURS}{more}; name another --out or move it")


def _start_anew(out: Path) -> None:
    """Delete what an earlier run wrote.

    Old masks go before the new teacher is written down: a run that is killed in between must not be
    resumed with masks of two teachers.
    """
    delete_own(own_masks_below(out))
    for name in _TABLES:
        (out / name).unlink(missing_ok=True)


def _outdated(targets: Targets, teacher: Teacher) -> list[Path]:
    """Masks of an earlier run whose image was replaced since."""
    older = []
    for study, paths in targets:
        for path, image in zip(paths, dict.fromkeys(study[0].images), strict=True):
            if origin(path) != "ours":
                continue
            if path.stat().st_mtime_ns < image.stat().st_mtime_ns:
                older.append(path)
            elif source_of(path) != teacher.source(study):
                raise DataError(
                    f"{path} was made from another mask than {teacher.name} holds for it now; leave --resume "
                    "out to label anew"
                )
    return older


def _without(catalog: Catalog, targets: Targets, foreign: Sequence[Path]) -> Catalog:
    """The studies whose masks are ours to write; the others are problems."""
    table, problems = catalog.table, list(catalog.problems)
    for study, paths in targets:
        if theirs := [path for path in paths if path in foreign]:
            ref, error = study[0], DataError(f"{theirs[0]} {_NOT_OURS}; move it or name another --out")
            problems.append(replace(left_out(ref.subject, ref.image, error), problem="mask is not ours"))
            images = {str(image) for image in ref.images}
            table = table[(table["subject"] != ref.subject) | ~table["image"].astype(str).isin(images)]
    return replace(catalog, table=table, problems=problems)


def _told_where_no_lv(run: PredictionRun, out: Path, problems_file: str) -> PredictionRun:
    """ED and ES are unknown where no LV was found, and that is a problem; the mask is kept."""
    problems = [
        Problem(
            study, "no LV found", "kept", extra_info="its mask holds no left ventricle: ED and ES unknown"
        )
        for study, frames in run.summary.groupby("study", sort=False)["ED_frame"]
        if frames.isna().all()
    ]
    if not problems:
        return run
    told = replace(run, problems=[*run.problems, *problems])
    write_table(problem_table(told.problems), out / problems_file)
    return told


@contextmanager
def _named_when_not_writable(out: Path) -> Iterator[None]:
    """Name the file that was meant and not its temporary name, where the output cannot be written."""
    try:
        yield
    except OSError as error:
        path = Path(str(error.filename))
        unreadable = path.exists() and not os.access(path, os.R_OK)
        inside = path.is_relative_to(out) or out.is_relative_to(path)
        if error.filename is None or error.errno == errno.ENOSPC or unreadable or not inside:
            raise
        raise DataError(
            f"{final_path(path)} cannot be written ({error.strerror}); name another --out"
        ) from None


def _targets(catalog: Catalog, out: Path) -> Targets:
    """All masks that a run may write."""
    targets = []
    for study in catalog.studies():
        try:
            targets.append((study, mask_paths(study[0], out)))
        except DataError:
            continue  # the run tells it
    return targets


def _real(paths: Sequence[Path]) -> list[Path]:
    """Paths without links and dots."""
    return [path.resolve() for path in paths]


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one folder."""
    return one.resolve() == other.resolve()
