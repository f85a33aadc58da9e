"""Pseudo-labels: a teacher segments whole cines, and a student is trained on what it found.

References
----------
Ankenbrand et al., II.A.2: the model of Bai et al. labelled the Kaggle data, as no labels exist for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cmrseg import __version__
from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.io.atomic import write_text
from cmrseg.labels import near_matches
from cmrseg.predict import (
    Options,
    PredictionRun,
    Progress,
    Study,
    largest_components,
    mask_paths,
    segment_catalog,
    segmenter,
)
from cmrseg.problems import DataError
from cmrseg.teachers import Teacher
from cmrseg.teachers.monai_bundle import monai_teacher
from cmrseg.teachers.precomputed import precomputed_teacher
from cmrseg.teachers.teacher import sha256_of
from cmrseg.zoo.manifest import DEFAULT_MODEL, model_path
from cmrseg.zoo.model_file import read_model

EMBEDDED = "embedded"
KINDS = ("monai", "precomputed")
RECORD = "teacher.json"
_TABLES = ("volumes.csv", "summary.csv")
_IDENTITY = ("kind", "sha256", "labels", "flips_averaged")  # what must agree when a run is resumed
_ED_ES = "frames of the largest and the smallest LV volume: ED_frame and ES_frame of summary.csv"


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
    Tables and problems. On disk: ``<study>/seg.nii.gz``, volumes.csv, summary.csv, teacher.json, and what
    failed in `problems_name`.

    Raises
    ------
    DataError
        If data or teacher cannot be read, a mask would be overwritten that no teacher wrote, or a resumed
        run was begun by another teacher.
    ValueError
        If there is no such teacher or label scheme.
    """
    if out is None and data.is_file():
        raise DataError(f"{data} is a file; name a folder for its mask with --out")
    options, out = options or Options(), out or data
    catalog = read_catalog(data, masks=False)
    chosen = get_teacher(teacher, catalog.studies(), labels=labels, options=options)
    _begin(out, chosen, _record(chosen, options), _targets(catalog, out), resume=options.resume)
    run = segment_catalog(
        catalog,
        out,
        chosen.segment,
        labels=chosen.structures,
        resume=options.resume,
        problems_file=problems_name(data, out),
        progress=progress,
    )
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
    path = model_path(name)
    model = read_model(path)
    segment = segmenter(model, options)
    names = tuple(label.name for label in model.spec.label_ids if label)
    scheme = ",".join(f"{name}={i}" for i, name in enumerate(model.spec.labels) if i)
    return Teacher("model", name, sha256_of([path]), scheme, names, lambda study, cine: segment(cine))


def _cleaned(teacher: Teacher, options: Options) -> Teacher:
    """The same teacher; of every structure only the largest piece is kept."""
    if not options.largest_component:
        return teacher

    def segment(study: Study, cine: Cine) -> Cine:
        mask = teacher.segment(study, cine)
        return mask.with_array(largest_components(mask.array))

    return replace(teacher, segment=segment)


def _record(teacher: Teacher, options: Options) -> dict[str, object]:
    """What teacher.json says."""
    return {
        "teacher": teacher.name,
        "kind": teacher.kind,
        "sha256": teacher.sha256,
        "labels": teacher.labels,
        "structures": list(teacher.structures),
        "flips_averaged": options.flips if teacher.kind == "model" else None,
        "ED_ES": _ED_ES,
        "cmrseg": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _begin(
    out: Path, teacher: Teacher, record: dict[str, object], masks: list[Path], *, resume: bool
) -> None:
    """Make room for a run, or see that the one to be resumed is of the same teacher.

    Old masks go before the new teacher is written down: a run that is killed in between must not be
    resumed with masks of two teachers.
    """
    there = [path for path in (*masks, *(out / name for name in _TABLES)) if path.exists()]
    if read := sorted(set(_real(masks)) & set(_real(teacher.files))):
        raise DataError(f"{read[0]} is a mask of the teacher and would be overwritten; name another --out")
    earlier = _earlier(out)
    if there and earlier is None:
        raise DataError(
            f"{there[0]} is there already and not from `cmrseg label`; name another --out or move it"
        )
    if resume and earlier is not None:
        _check_same(earlier, record, out)
        return
    for path in there:
        path.unlink()
    write_text(json.dumps(record, indent=2) + "\n", out / RECORD)


def _earlier(out: Path) -> dict[str, object] | None:
    """What teacher.json of an earlier run says."""
    path = out / RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}); delete it and the masks beside it") from None
    if not isinstance(record, dict):
        raise DataError(f"{path} holds no table of names and values; delete it and the masks beside it")
    return record


def _check_same(earlier: dict[str, object], record: dict[str, object], out: Path) -> None:
    """The teacher that began a run goes on with it."""
    differs = next((key for key in _IDENTITY if earlier.get(key) != record[key]), None)
    if differs is not None:
        raise DataError(
            f"{out / RECORD} names another teacher than {record['teacher']}: {earlier.get('teacher')} "
            f"({differs} {earlier.get(differs)}, now {record[differs]}); leave --resume out to label anew"
        )


def _targets(catalog: Catalog, out: Path) -> list[Path]:
    """All masks that a run may write."""
    paths = []
    for study in catalog.studies():
        try:
            paths += mask_paths(study[0], out)
        except DataError:
            continue  # the run tells it
    return paths


def _real(paths: Sequence[Path]) -> list[Path]:
    """Paths without links and dots."""
    return [path.resolve() for path in paths]


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one folder."""
    return one.resolve() == other.resolve()
