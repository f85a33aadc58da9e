"""Readers of the data set layouts that people have; each lists image files, none opens a pixel.

A layout is recognised by its files. A reader returns one `ImageFile` per image file; what the file's
grid looks like and how it is split is the catalog's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from cmrseg.data.catalog_csv import read_catalog_csv
from cmrseg.data.image_file import ALL, ImageFile
from cmrseg.data.names import SPLIT_FOLDERS, case_name, nnunet_scheme, slice_name
from cmrseg.io.images import is_nifti, stem
from cmrseg.io.own_masks import origin
from cmrseg.io.review_file import RECORD as REVIEW
from cmrseg.io.review_file import reviewed_images
from cmrseg.io.settings import read_json, told_of
from cmrseg.io.truth_file import known_images
from cmrseg.labels import Label
from cmrseg.problems import DataError

_NIFTI = "**/*.nii*"
_PNG = "**/*.[pP][nN][gG]"
_ENDING = re.compile(r"\.[A-Za-z0-9][A-Za-z0-9.]{0,15}")
TEACHER = "teacher.json"  # of `cmrseg label`: whose masks lie in the folders beside it
LOOSE_FILES = ("NIfTI files", "PNG files")  # layouts that say nothing of how files belong together


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
    layouts = known_layouts()
    for layout in layouts:
        if layout.found(root):
            return layout
    raise DataError(
        f"no known data layout in {root}; expected one of: {', '.join(x.name for x in layouts)}"
        " (see README, Data)"
    )


def known_layouts() -> tuple[Layout, ...]:
    """All layouts in the order in which they are tried: ours, those of installed packages, loose files.

    A package registers a `Layout` as an entry point of the group ``cmrseg.layouts``.

    Raises
    ------
    DataError
        If one cannot be loaded.
    """
    loose = tuple(layout for layout in LAYOUTS if layout.name in LOOSE_FILES)
    ours = tuple(layout for layout in LAYOUTS if layout.name not in LOOSE_FILES)
    return (*ours, *_installed_layouts(), *loose)


@cache
def _installed_layouts() -> tuple[Layout, ...]:
    return tuple(_loaded(point) for point in entry_points(group="cmrseg.layouts"))


def _loaded(point: EntryPoint) -> Layout:
    """The layout of another package."""
    remedy = f"mend or uninstall the package of the layout '{point.name}' ({point.value})"
    try:
        layout = point.load()
    except Exception as error:  # whatever a foreign module raises
        raise DataError(f"{remedy}: it cannot be loaded ({type(error).__name__}: {error})") from error
    if not isinstance(layout, Layout):
        raise DataError(f"{remedy}: it is no Layout but {type(layout).__name__}")
    return layout


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
    pseudo = sum(stem(file.mask) == "seg" and file.contoured is None for file in files if file.mask)
    note = f"{pseudo} of {len(masks)} masks are pseudo-labels (seg.nii.gz), no expert drew them"
    return [note] if pseudo else []


def _nnunet(root: Path) -> Iterator[ImageFile]:
    """nnU-Net raw: imagesTr / labelsTr (and imagesTs), label names in dataset.json."""
    ending, labels, _ = _nnunet_header(root)
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
    *_, unknown = _nnunet_header(root)
    return [f"structures that count as background: {', '.join(unknown)}"] if unknown else []


def _nnunet_header(root: Path) -> tuple[str, str, list[str]]:
    """What dataset.json says: the ending of files, the label scheme, the structures without a place in it."""
    path, remedy = root / "dataset.json", "export it again"
    header = read_json(path, remedy)
    with told_of(path, remedy):
        ending = header.get("file_ending", ".nii.gz")
        if not isinstance(ending, str) or not _ENDING.fullmatch(ending):
            raise ValueError(f"file_ending must be like .nii.gz, got {str(ending)[:40]!r}")
        return ending, *nnunet_scheme(header.get("labels", {}))


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
    """What `cmrseg curate` writes: <study>/sa.nii.gz; beside it truth.nii.gz, else a pseudo-label.

    Where a person has reviewed masks of `cmrseg predict`, those that nobody has looked at are none.
    """
    scheme, is_reviewed = _pseudo_label_scheme(root), _is_reviewed(root)
    for image in _visible(root, "*/sa.nii.gz"):
        truth = _beside(image, "truth")
        labels = scheme if truth is None else "cmrseg"
        mask = truth or _beside(image, "seg")
        known = reviewed_images(mask) if truth is None else known_images(truth)
        if mask and is_reviewed and truth is None and known is None and origin(mask) != "changed":
            mask = None
        yield ImageFile(image.parent.name, image, mask, labels, contoured=known)


def _is_reviewed(root: Path) -> bool:
    """Whether somebody has reviewed a study of a folder."""
    return any(root.glob(f"*/{REVIEW}"))


def _review_notes(root: Path) -> list[str]:
    """How many studies somebody has reviewed."""
    count = sum(1 for _ in root.glob(f"*/{REVIEW}"))
    note = f"{count} study(s) were reviewed by a person: of the masks of `cmrseg predict` only those are used"
    return [note] if count else []


def _pseudo_label_scheme(root: Path) -> str:
    """Scheme of the structures that the teacher of `cmrseg label` knew, by teacher.json."""
    try:
        known = read_json(root / TEACHER, "")["structures"]
        return ",".join(f"{name}={int(Label[name])}" for name in known) or "cmrseg"
    except (ValueError, KeyError, TypeError):
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


_MASK_WORDS = re.compile(
    r"(?<![a-z])(seg|segm|segmentation|gt|mask|masks|label|labels|truth|contours?|annotations?|manual)(?![a-z])",
    re.IGNORECASE,
)


def _is_a_mask(path: Path) -> bool:
    """Whether its name says that it is a mask, such as one below the input of `cmrseg predict`."""
    return _is_written_mask(path) or bool(_MASK_WORDS.search(stem(path)))


def _is_written_mask(path: Path) -> bool:
    """Whether it is a mask that `cmrseg predict`, `cmrseg label` or ukbb_cardiac wrote below its input."""
    name = stem(path)
    return name == "seg" or name.endswith("_seg") or name.startswith(("seg_sa", "seg_la"))


def _mask_notes(root: Path) -> list[str]:
    """Which files are left out as masks by their names."""
    masks = [path for pattern in (_NIFTI, _PNG) for path in _visible(root, pattern) if _is_a_mask(path)]
    named = [path for path in masks if not _is_written_mask(path)]
    return (
        [f"{len(named)} file(s) are masks by their names and are not segmented: {named[0].name}"]
        if named
        else []
    )


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
    Layout("catalog.csv", lambda r: (r / "catalog.csv").exists(), read_catalog_csv),
    Layout("nnU-Net raw (dataset.json)", lambda r: (r / "dataset.json").exists(), _nnunet, _nnunet_notes),
    Layout(
        "images/ + masks/ PNG pairs",
        lambda r: (r / "masks").is_dir() and any(_visible(r / "images", _PNG)),
        _paper_png,
    ),
    Layout("ACDC", lambda r: any(_acdc(r)), _split_by_folder(_acdc)),
    Layout("M&Ms", lambda r: any(_mnms(r)), _split_by_folder(_mnms)),
    Layout("curated studies (<study>/sa.nii.gz)", lambda r: any(_curated(r)), _curated, _review_notes),
    Layout(LOOSE_FILES[0], lambda r: any(_visible(r, _NIFTI)), _nifti_folder, _mask_notes),
    Layout(LOOSE_FILES[1], lambda r: any(_visible(r, _PNG)), _png_folder, _mask_notes),
)
