"""Contours below a folder, whatever program wrote them: the format is found from what a file holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pydicom.uid import RTStructureSetStorage, SegmentationStorage

from cmrseg.io import cvi42, qmass
from cmrseg.io.contours import is_contour_file, read_text_contours
from cmrseg.io.dicom_header import quiet_pydicom
from cmrseg.io.dicom_seg_contours import read_seg
from cmrseg.io.drawn import ContourFile
from cmrseg.io.qmass import read_qmass
from cmrseg.io.rtstruct import read_rtstruct
from cmrseg.io.segment_mat import read_segment
from cmrseg.problems import DataError, existing_folder

FORMATS = (
    "Sunnybrook text (IM-0001-0059-icontour-manual.txt), cvi42 XML workspaces (.cvi42wsx), QMass (.con), "
    "Segment (.mat), DICOM RTSTRUCT and SEG"
)
Reader = Callable[[Path], ContourFile]
_START = 4096
_DICOM: dict[str, Reader] = {RTStructureSetStorage: read_rtstruct, SegmentationStorage: read_seg}
_TEXT_SUFFIXES = {".con", ".txt", ""}  # of QMass; nobody wants every large text searched


def read_contour_files(
    source: Path, *, first_pixel: int = 0
) -> tuple[list[ContourFile], list[tuple[Path, str]]]:
    """Read all contours below a folder, or those of one file.

    Parameters
    ----------
    source
        Folder or file; other files, such as images, are left aside.
    first_pixel
        What text files call the centre of the first pixel: 0, or 1 as in MATLAB.

    Returns
    -------
    Contours by file (text files by folder), and the files that cannot be read, with the reason.

    Raises
    ------
    DataError
        If there is nothing, no contour, or a single file cannot be read.
    """
    if not source.exists():
        raise DataError(f"contours {source} do not exist; check the path")
    paths = [source] if source.is_file() else _paths(existing_folder(source, "contour"))
    found, unreadable = [], []
    for path, read in _readers(paths, first_pixel):
        try:
            found.append(read())
        except DataError as error:
            unreadable.append((path, str(error)))
    if not found and not unreadable:
        raise DataError(f"{source} holds no contours that are understood: {FORMATS}")
    if not found and len(unreadable) == 1:
        raise DataError(unreadable[0][1])
    return found, unreadable


def _readers(paths: Sequence[Path], first_pixel: int) -> Iterator[tuple[Path, Callable[[], ContourFile]]]:
    """What reads the contours of every file, and of every folder with text files."""
    texts: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        if is_contour_file(path) or (path.suffix == ".txt" and path.name.startswith("IM-")):
            texts[path.parent].append(path)
        elif reader := reader_of(path):
            yield path, partial(reader, path)
    for folder, files in texts.items():
        yield folder, partial(read_text_contours, folder, files, first_pixel=first_pixel)


def reader_of(path: Path) -> Reader | None:
    """What reads a file of contours, by its first bytes; None where it holds none."""
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError:
        return None
    if start[128:132] == b"DICM":
        return _DICOM.get(_sop_class(path))
    if start.startswith((b"MATLAB", b"\x89HDF")) or path.suffix.lower() == ".mat":
        return read_segment
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t")
    if text.startswith(b"<") and (b"Hash:" in text or path.suffix.lower() == ".cvi42wsx"):
        return cvi42.read_workspace
    if path.suffix.lower() == ".con" or (path.suffix.lower() in _TEXT_SUFFIXES and _has_mark(path)):
        return read_qmass
    return None


def _paths(folder: Path) -> list[Path]:
    """Files below a folder that are neither hidden nor links to elsewhere."""
    home = folder.resolve()
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.resolve().is_relative_to(home)
    ]


def _sop_class(path: Path) -> str:
    """What kind of object a DICOM file says it is."""
    try:
        with quiet_pydicom():
            return str(read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
    except Exception:  # damaged bytes make a parser fail with whatever comes to hand
        return ""


def _has_mark(path: Path) -> bool:
    """Whether a text holds a contour of QMass."""
    with path.open("rb") as file:
        return qmass.MARK.encode() in file.read(qmass.MAX_BYTES)
