"""Readers of the data set layouts that people have; each lists image files, none opens a pixel.

A layout is recognised by its files. A reader returns one `ImageFile` per image file; what the file's
grid looks like and how it is split is the catalog's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from cmrseg.io.images import is_nifti, stem
from cmrseg.problems import DataError

ALL = -1  # every frame, or every slice, of the file


@dataclass(frozen=True)
class ImageFile:
    """One image file of a data set, with its mask if there is one."""

    subject: str
    image: Path
    mask: Path | None = None
    labels: str = "cmrseg"
    frame: int = ALL
    phase: str = ""
    slice: int = ALL
    split: str = ""
    spacing: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Layout:
    """How one kind of data set is recognised and read."""

    name: str
    found: Callable[[Path], bool]
    read: Callable[[Path], Iterator[ImageFile]]


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


def read_table(path: Path, types: Mapping[str, type] | type) -> pd.DataFrame:
    """A comma-separated table.

    Raises
    ------
    DataError
        If it is empty, no UTF-8 text, or holds text where numbers are needed.
    """
    try:
        return pd.read_csv(path, dtype=types)
    except ValueError as error:  # those of pandas for bad tables are kinds of it
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a comma-separated table ({reason})") from None


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
            spacing=spacing if min(spacing) > 0 else None,
        )


def _nnunet(root: Path) -> Iterator[ImageFile]:
    """nnU-Net raw: imagesTr / labelsTr (and imagesTs), label names in dataset.json."""
    try:
        header = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{root / 'dataset.json'} cannot be read ({error}); export it again") from None
    ending = header.get("file_ending", ".nii.gz")
    labels = _nnunet_scheme(header.get("labels", {}), root)
    for images, masks, split in (("imagesTr", "labelsTr", ""), ("imagesTs", "labelsTs", "test")):
        for image in sorted((root / images).glob(f"*_0000{ending}")):
            case = image.name[: -len(f"_0000{ending}")]
            mask = root / masks / f"{case}{ending}"
            subject, frame, phase = _case_name(case)
            yield ImageFile(
                subject, image, mask if mask.exists() else None, labels, frame, phase, split=split
            )


def _nnunet_scheme(labels: dict, root: Path) -> str:
    """Label scheme such as ``RV=1,MYO=2,LV=3`` from the names in dataset.json (both of nnU-Net's forms)."""
    pairs = labels.items()
    named = (
        {str(k): v for k, v in pairs}
        if all(isinstance(v, int) for v in labels.values())
        else {str(v): int(k) for k, v in pairs if str(k).isdigit()}
    )
    found = {target: i for name, i in named.items() if (target := _structure(name)) is not None}
    if "LV" not in found:
        raise DataError(f"dataset.json of {root} names no left ventricle (labels: {labels}); use --labels")
    return ",".join(f"{target}={i}" for target, i in found.items())


def _structure(name: str) -> str | None:
    """LV, MYO or RV for the names that data sets use."""
    plain = name.lower()
    if "myo" in plain or plain in {"my", "lvm", "epi"}:
        return "MYO"
    if plain.startswith("r"):
        return "RV"
    return "LV" if plain.startswith("l") or "cavity" in plain or "blood" in plain else None


def _case_name(case: str) -> tuple[str, int, str]:
    """Subject, frame and phase from names such as ``patient001_frame12`` and ``A1_ES``."""
    if match := re.fullmatch(r"(.+?)_frame(\d+)", case):
        return match[1], int(match[2]), ""
    if match := re.fullmatch(r"(.+?)(?:_sa)?_(ED|ES)", case, re.IGNORECASE):
        return match[1], 0 if match[2].upper() == "ED" else 1, match[2].upper()
    return case, ALL, ""


def _paper_png(root: Path) -> Iterator[ImageFile]:
    """The paper's images/{train,val,test} and masks/... of 8-bit PNG, labels 1 LV, 2 MYO."""
    for image in sorted((root / "images").rglob("*.png")):
        relative = image.relative_to(root / "images")
        folder = root / "masks" / relative.parent
        candidates = [folder / image.name, folder / image.name.replace("-image", "-mask")]
        mask = next((m for m in candidates if m.exists()), None)
        split = relative.parts[0] if len(relative.parts) > 1 else ""
        yield _png_file(image, mask, split)


def _png_file(image: Path, mask: Path | None = None, split: str = "") -> ImageFile:
    """Subject, slice and frame from the names of the paper and of Sunnybrook; any other PNG is a subject."""
    name = stem(image).removesuffix("-image")
    if match := re.fullmatch(r"(.+?)_slice(\d+)_frame(\d+)", name):
        return ImageFile(match[1], image, mask, "cmr-seg-tl", int(match[3]), "", int(match[2]), split)
    if match := re.fullmatch(r"(.+?)-IM-(\d+)-(\d+)", name):
        return ImageFile(match[1], image, mask, "cmr-seg-tl", 0, "", int(match[3]), split)
    if match := re.fullmatch(r"(.+?)[-_ ]*(\d+)", name):
        return ImageFile(match[1], image, mask, "cmr-seg-tl", 0, "", int(match[2]), split)
    return ImageFile(name, image, mask, "cmr-seg-tl", 0, "", 0, split)


def _acdc(root: Path) -> Iterator[ImageFile]:
    """ACDC: patientNNN_frameFF[_gt].nii.gz and Info.cfg with the numbers of the ED and ES frames."""
    for image in sorted(root.rglob("patient*_frame*.nii*")):
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
    """M&Ms and M&Ms-2: ID_sa[_ED|_ES][_gt].nii.gz."""
    for image in sorted(root.rglob("*_[sS][aA]*.nii*")):
        match = _MNMS_NAME.fullmatch(stem(image))
        if match is None:
            continue
        phase = (match[2] or "").upper()
        frame = {"ED": 0, "ES": 1}.get(phase, ALL)
        yield ImageFile(match[1], image, _beside(image, f"{stem(image)}_gt"), "mnms", frame, phase)


def _curated(root: Path) -> Iterator[ImageFile]:
    """What `cmrseg curate` writes: <study>/sa.nii.gz; masks may lie beside as truth.nii.gz."""
    for image in sorted(root.glob("*/sa.nii.gz")):
        yield ImageFile(image.parent.name, image, _beside(image, "truth"))


def _nifti_folder(root: Path) -> Iterator[ImageFile]:
    """Any NIfTI files, one subject each, without masks."""
    images = sorted(p for p in root.rglob("*.nii*") if is_nifti(p) and not _is_ours(p))
    yield from _told_apart([ImageFile(stem(image), image) for image in images], root)


def _png_folder(root: Path) -> Iterator[ImageFile]:
    """Any PNG files, without masks."""
    images = sorted(p for p in root.rglob("*.png") if not _is_ours(p))
    yield from _told_apart([_png_file(image) for image in images], root)


def _is_ours(path: Path) -> bool:
    """Whether it is a mask that `cmrseg predict` wrote below its input, or a hidden file."""
    return stem(path) == "seg" or stem(path).endswith("_seg") or path.name.startswith(".")


def _told_apart(files: list[ImageFile], root: Path) -> Iterator[ImageFile]:
    """The files, subjects named by their folders too where one file name occurs in several folders."""
    clash = len({stem(file.image) for file in files}) < len(files)
    for file in files:
        folders = file.image.relative_to(root).parent.parts if clash else ()
        yield replace(file, subject="-".join((*folders, file.subject)))


def _beside(image: Path, name: str) -> Path | None:
    """A NIfTI file of that name in the same folder."""
    return next((p for s in (".nii.gz", ".nii") if (p := image.with_name(name + s)).exists()), None)


def _has(pattern: str) -> Callable[[Path], bool]:
    """Whether any file below the folder has such a name."""
    return lambda root: any(root.rglob(pattern))


LAYOUTS = (
    Layout("catalog.csv", lambda r: (r / "catalog.csv").exists(), _catalog_csv),
    Layout("nnU-Net raw (dataset.json)", lambda r: (r / "dataset.json").exists(), _nnunet),
    Layout(
        "images/ + masks/ PNG pairs", lambda r: (r / "images").is_dir() and (r / "masks").is_dir(), _paper_png
    ),
    Layout("ACDC", lambda r: any(_acdc(r)), _acdc),
    Layout("M&Ms", lambda r: any(_mnms(r)), _mnms),
    Layout("curated studies (<study>/sa.nii.gz)", lambda r: any(r.glob("*/sa.nii.gz")), _curated),
    Layout("NIfTI files", _has("*.nii*"), _nifti_folder),
    Layout("PNG files", _has("*.png"), _png_folder),
)
