"""Readers of the data set layouts that people have; each lists image files, none opens a pixel.

A layout is recognised by its files. A reader returns one `ImageFile` per image file; what the file's
grid looks like and how it is split is the catalog's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from cmrseg.data.names import SPLIT_FOLDERS, case_name, nnunet_scheme, slice_name
from cmrseg.io.images import UNKNOWN_SPACING, is_nifti, stem
from cmrseg.labels import Label
from cmrseg.problems import DataError

ALL = -1  # every frame, or every slice, of the file
_NIFTI = "**/*.nii*"
_PNG = "**/*.[pP][nN][gG]"
LOOSE_FILES = ("NIfTI files", "PNG files")  # layouts that say nothing of how files belong together


@dataclass(frozen=True)
class ImageFile:
    """One image file of a data set, with its mask if there is one.

    ``labels`` is empty where the layout should tell the label scheme and does not; where ``spacing`` (mm)
    is not above 0, that of the file counts.
    """

    subject: str
    image: Path
    mask: Path | None = None
    labels: str = "cmrseg"
    frame: int = ALL
    phase: str = ""
    slice: int = ALL
    split: str = ""
    spacing: tuple[float, float, float] = UNKNOWN_SPACING


@dataclass(frozen=True)
class Layout:
    """How one kind of data set is recognised and read."""

    name: str
    found: Callable[[Path], bool]
    read: Callable[[Path], Iterator[ImageFile]]
    notes: Callable[[Path], list[str]] = lambda root: []


def find_layout(root: Path) -> Layout:
    """The layout of a folder.

    Raises
    ------
    DataError
        If no layout is recognised.
    """
    for layout in LAYOUTS:
        if layout.found(root):
            return layout
    raise DataError(
        f"no known data layout in {root}; expected one of: {', '.join(x.name for x in LAYOUTS)}"
        " (see README, Data)"
    )


def list_images(root: Path) -> tuple[list[ImageFile], list[str]]:
    """Image files of a data set, and what a user should know about them.

    Raises
    ------
    DataError
        If no layout is recognised, or a table or header of the data set cannot be read.
    """
    layout = find_layout(root)
    files = list(layout.read(root))
    return files, [f"data layout: {layout.name}", *layout.notes(root), *_unnamed_note(files, root)]


def pseudo_label_notes(files: list[ImageFile]) -> list[str]:
    """How many masks no expert drew."""
    masks = [file.mask for file in files if file.mask]
    pseudo = sum(stem(mask) == "seg" for mask in masks)
    note = f"{pseudo} of {len(masks)} masks are pseudo-labels (seg.nii.gz), no expert drew them"
    return [note] if pseudo else []


def read_table(path: Path, types: Mapping[str, type] | type, *, separator: str = ",") -> pd.DataFrame:
    """A table of text.

    Raises
    ------
    DataError
        If it is empty, no UTF-8 text, or holds text where numbers are needed.
    """
    try:
        return pd.read_csv(path, dtype=types, sep=separator)
    except ValueError as error:  # those of pandas for bad tables are kinds of it
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a table ({reason})") from None


def _catalog_csv(root: Path) -> Iterator[ImageFile]:
    """cmrseg's own table; paths are relative to it, only `subject` and `image` are required."""
    path = root / "catalog.csv"
    texts = dict.fromkeys(("subject", "image", "phase", "split", "mask", "labels"), str)
    table = read_table(path, {**texts, **dict.fromkeys(("frame", "slice", "dx", "dy", "dz"), float)})
    missing = {"subject", "image"} - set(table.columns)
    if missing:
        raise DataError(f"{path} lacks the column {', '.join(sorted(missing))}; see README, Data")
    if table[["subject", "image"]].isna().any(axis=None):
        raise DataError(f"{path} has a row without subject or image; fill it in or delete it")
    empty = {"mask": "", "phase": "", "split": "", "labels": "cmrseg", "frame": ALL, "slice": ALL}
    table = table.fillna(empty)
    for row in table.itertuples():
        mask = getattr(row, "mask", "")
        spacing = tuple(float(getattr(row, name, float("nan"))) for name in ("dx", "dy", "dz"))
        yield ImageFile(
            subject=row.subject,
            image=root / row.image,
            mask=root / mask if mask else None,
            labels=getattr(row, "labels", "cmrseg"),
            frame=int(getattr(row, "frame", ALL)),
            phase=getattr(row, "phase", ""),
            slice=int(getattr(row, "slice", ALL)),
            split=getattr(row, "split", ""),
            spacing=spacing,  # type: ignore[arg-type]
        )


def _nnunet(root: Path) -> Iterator[ImageFile]:
    """nnU-Net raw: imagesTr / labelsTr (and imagesTs), label names in dataset.json."""
    header = _nnunet_header(root)
    ending = header.get("file_ending", ".nii.gz")
    labels, _ = nnunet_scheme(header.get("labels", {}))
    for images, masks, split in (("imagesTr", "labelsTr", ""), ("imagesTs", "labelsTs", "test")):
        for image in _visible(root / images, f"*_0000{ending}"):
            case = image.name[: -len(f"_0000{ending}")]
            mask = root / masks / f"{case}{ending}"
            subject, frame, phase = case_name(case)
            yield ImageFile(
                subject,
                image,
                mask if mask.exists() else None,
                labels,
                ALL if frame is None else frame,
                phase,
                split=split,
            )


def _nnunet_notes(root: Path) -> list[str]:
    """Which structures of dataset.json count as background."""
    unknown = nnunet_scheme(_nnunet_header(root).get("labels", {}))[1]
    return [f"structures that count as background: {', '.join(unknown)}"] if unknown else []


def _nnunet_header(root: Path) -> dict:
    """What dataset.json says."""
    try:
        return json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{root / 'dataset.json'} cannot be read ({error}); export it again") from None


def _paper_png(root: Path) -> Iterator[ImageFile]:
    """The paper's images/{train,val,test} and masks/... of 8-bit PNG, labels 1 LV, 2 MYO."""
    folder = root / "images"
    images = _visible(folder, _PNG)
    has_splits = any(image.relative_to(folder).parts[0].lower() in SPLIT_FOLDERS for image in images)
    files = []
    for image in images:
        first, *_ = image.relative_to(folder).parent.parts or ("",)
        split = SPLIT_FOLDERS.get(first.lower(), first) if has_splits else ""
        files.append(replace(png_file(image, folder), mask=_paper_mask(image, root), split=split))
    yield from _told_apart(files, folder, above=int(has_splits))


def _paper_mask(image: Path, root: Path) -> Path | None:
    """The mask of the same name, or with ``-mask`` for ``-image``."""
    folder = root / "masks" / image.relative_to(root / "images").parent
    candidates = [folder / image.name, folder / image.name.replace("-image", "-mask")]
    return next((mask for mask in candidates if mask.exists()), None)


def png_file(image: Path, root: Path) -> ImageFile:
    """One PNG by its name; a name that is only a number is a slice of the subject that its folder names.

    Parameters
    ----------
    image
        PNG file.
    root
        Folders below it, other than splits, can be subjects.
    """
    subject, number, frame = slice_name(stem(image))
    if not subject:
        folders = image.relative_to(root).parent.parts
        subject = "-".join(f for f in folders if f.lower() not in SPLIT_FOLDERS)
    if not subject:
        subject, number = "-".join((*folders, stem(image))), 0
    return ImageFile(subject, image, labels="cmr-seg-tl", frame=frame, slice=number)


def _acdc(root: Path) -> Iterator[ImageFile]:
    """ACDC: patientNNN_frameFF[_gt].nii.gz and Info.cfg with the numbers of the ED and ES frames."""
    for image in _visible(root, "**/patient*_frame*.nii*"):
        match = re.fullmatch(r"(patient\d+)_frame(\d+)", stem(image))
        if match is None:
            continue
        mask = _beside(image, f"{match[0]}_gt")
        yield ImageFile(
            match[1], image, mask, "acdc", int(match[2]), _acdc_phase(image.parent, int(match[2]))
        )


def _acdc_phase(folder: Path, frame: int) -> str:
    """ED or ES by Info.cfg, empty when it does not say."""
    path = folder / "Info.cfg"
    lines = path.read_text().splitlines() if path.exists() else []
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    phases = {int(info[p]): p for p in ("ED", "ES") if info.get(p, "").strip().isdigit()}
    return phases.get(frame, "")


_MNMS_NAME = re.compile(r"(.+)_sa(?:_(ED|ES))?", re.IGNORECASE)


def _mnms(root: Path) -> Iterator[ImageFile]:
    """M&Ms and M&Ms-2: ID_sa[_ED|_ES][_gt].nii.gz; single frames win over the cine beside them."""
    files = []
    for image in _visible(root, "**/*_[sS][aA]*.nii*"):
        match = _MNMS_NAME.fullmatch(stem(image))
        if match is None or _is_a_mask(image):
            continue
        phase = (match[2] or "").upper()
        frame = {"ED": 0, "ES": 1}.get(phase, ALL)
        files.append(ImageFile(match[1], image, _beside(image, f"{stem(image)}_gt"), "mnms", frame, phase))
    with_frames = {file.subject for file in files if file.phase}
    yield from (file for file in files if file.phase or file.subject not in with_frames)


def _curated(root: Path) -> Iterator[ImageFile]:
    """What `cmrseg curate` writes: <study>/sa.nii.gz; beside it truth.nii.gz, else a pseudo-label."""
    scheme = _pseudo_label_scheme(root)
    for image in _visible(root, "*/sa.nii.gz"):
        truth = _beside(image, "truth")
        labels = scheme if truth is None else "cmrseg"
        yield ImageFile(image.parent.name, image, truth or _beside(image, "seg"), labels)


def _pseudo_label_scheme(root: Path) -> str:
    """Scheme of the structures that the teacher of `cmrseg label` knew, by teacher.json."""
    try:
        known = json.loads((root / "teacher.json").read_text(encoding="utf-8"))["structures"]
        return ",".join(f"{name}={int(Label[name])}" for name in known) or "cmrseg"
    except (OSError, ValueError, KeyError, TypeError):
        return "cmrseg"


def _nifti_folder(root: Path) -> Iterator[ImageFile]:
    """Any NIfTI files, one subject each, without masks."""
    images = [path for path in _visible(root, _NIFTI) if not _is_a_mask(path)]
    yield from _told_apart([ImageFile(stem(image), image) for image in images], root)


def _png_folder(root: Path) -> Iterator[ImageFile]:
    """Any PNG files, without masks."""
    images = [path for path in _visible(root, _PNG) if not _is_a_mask(path)]
    yield from _told_apart([png_file(image, root) for image in images], root)


def _visible(root: Path, pattern: str) -> list[Path]:
    """Image files of a pattern, neither hidden themselves nor in a hidden folder."""
    return sorted(
        path
        for path in root.glob(pattern)
        if (is_nifti(path) or path.suffix.lower() == ".png")
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    )


def _unnamed_note(files: list[ImageFile], root: Path) -> list[str]:
    """How many files of the same kind the layout does not name."""
    named = {path for file in files for path in (file.image, file.mask)}
    patterns = {_NIFTI if is_nifti(file.image) else _PNG for file in files}
    others = [
        path
        for pattern in sorted(patterns)
        for path in _visible(root, pattern)
        if path not in named and not _is_a_mask(path)
    ]
    return [
        f"{len(others)} file(s) are left out, as this layout does not name them: "
        f"{', '.join(str(path.relative_to(root)) for path in others[:1])}"
    ] * bool(others)


def _is_a_mask(path: Path) -> bool:
    """Whether it is a mask that `cmrseg predict`, `cmrseg label` or ukbb_cardiac wrote below its input."""
    name = stem(path)
    return name == "seg" or name.endswith("_seg") or name.startswith(("seg_sa", "seg_la"))


def _told_apart(files: list[ImageFile], root: Path, *, above: int = 0) -> Iterator[ImageFile]:
    """The files; where one image occurs in several folders, those that name subjects join the subject.

    The first folders (as many as ``above``) never do; a PNG that is only a number is named by its folders.
    """
    clash = len({(file.subject, file.frame, file.slice) for file in files}) < len(files)
    for file in files:
        folders = file.image.relative_to(root).parent.parts[above:]
        joins = clash and (is_nifti(file.image) or slice_name(stem(file.image))[0])
        yield replace(file, subject="-".join((*folders, file.subject))) if joins else file


def _split_by_folder(read: Callable[[Path], Iterator[ImageFile]]) -> Callable[[Path], Iterator[ImageFile]]:
    """A reader that takes folders such as ``training`` for splits, if all files lie below such folders."""

    def read_splits(root: Path) -> Iterator[ImageFile]:
        files = list(read(root))
        splits = [_split_folder(file.image.relative_to(root).parent.parts) for file in files]
        for file, split in zip(files, splits, strict=True):
            yield replace(file, split=split) if all(splits) else file

    return read_splits


def _split_folder(folders: Iterable[str]) -> str:
    """The first of the folders that names a split, as our split."""
    return next((SPLIT_FOLDERS[f.lower()] for f in folders if f.lower() in SPLIT_FOLDERS), "")


def _beside(image: Path, name: str) -> Path | None:
    """A NIfTI file of that name in the same folder."""
    return next((p for s in (".nii.gz", ".nii") if (p := image.with_name(name + s)).exists()), None)


LAYOUTS = (
    Layout("catalog.csv", lambda r: (r / "catalog.csv").exists(), _catalog_csv),
    Layout("nnU-Net raw (dataset.json)", lambda r: (r / "dataset.json").exists(), _nnunet, _nnunet_notes),
    Layout(
        "images/ + masks/ PNG pairs",
        lambda r: (r / "masks").is_dir() and any(_visible(r / "images", _PNG)),
        _paper_png,
    ),
    Layout("ACDC", lambda r: any(_acdc(r)), _split_by_folder(_acdc)),
    Layout("M&Ms", lambda r: any(_mnms(r)), _split_by_folder(_mnms)),
    Layout("curated studies (<study>/sa.nii.gz)", lambda r: any(_curated(r)), _curated),
    Layout(LOOSE_FILES[0], lambda r: any(_visible(r, _NIFTI)), _nifti_folder),
    Layout(LOOSE_FILES[1], lambda r: any(_visible(r, _PNG)), _png_folder),
)
