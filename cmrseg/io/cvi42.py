"""Contours in XML workspaces of cvi42 (``.cvi42wsx``), as far as their form is publicly known.

The form is that which public readers of UK Biobank's workspaces expect: below ``ImageStates`` an item per
SOPInstanceUID, in it ``Contours`` with an item per structure, in that ``Points`` and ``SubpixelResolution``,
by which the points are divided. Points are taken to be counted from 0 at the centre of the first pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from cmrseg.io.atomic import write_text
from cmrseg.io.contours import checked
from cmrseg.io.dicom import DicomImage
from cmrseg.io.drawn import ContourFile, Drawn, Where
from cmrseg.io.outlines import Outline, Polygon, Polygons
from cmrseg.problems import DataError

FORMAT = "cvi42"
SUBPIXEL = 4  # steps per pixel; contours of masks run through half pixels, so nothing is rounded
MAX_BYTES = 200 << 20
_MOST_ELEMENTS = 3_000_000  # a study of 400 images with three contours each has 400,000
_MOST_LEVELS = 64  # real ones have about ten
_NAMESPACES = "".join(
    f' xmlns:{name}="http://www.circlecvi.com/cvi42/Workspace/{name}/"' for name in ("Hash", "List", "Point")
)
_WRITTEN = {
    Outline.ENDOCARDIUM: "saendocardialContour",
    Outline.EPICARDIUM: "saepicardialContour",
    Outline.RV: "sarvendocardialContour",
}
_READ = {
    # Open contours are those of the outflow tract; a straight line closes them.
    "saendocardialOpenContour": Outline.ENDOCARDIUM,
    "saepicardialOpenContour": Outline.EPICARDIUM,
    **{name: kind for kind, name in _WRITTEN.items()},
}


def write_cvi42(contours: Mapping[DicomImage, Polygons], path: Path) -> Path:
    """Write contours of one study as an XML workspace.

    Parameters
    ----------
    contours
        From `cmrseg.io.outlines.mask_contours`; points are rounded to a quarter of a pixel.
    path
        File. It holds the UIDs of the study and of its images.

    Raises
    ------
    DataError
        If there is no contour, or images share their UID.
    """
    if not contours:
        raise DataError("no image shows a structure, so there are no contours for a workspace")
    uids = [image.instance_uid for image in contours]
    if not all(uids) or len(set(uids)) < len(uids):
        raise DataError(
            "a cvi42 workspace tells images apart by their SOPInstanceUID, and these have none of their own "
            "(multi-frame DICOM); use the contours in text files"
        )
    states = [
        _item(image.instance_uid, _item("Contours", *(_contour(*pair) for pair in polygons.items())))
        for image, polygons in contours.items()
    ]
    study = _item("StudyUid", escape(next(iter(contours)).study_uid)), _item("ImageStates", *states)
    studies = _item("StudyMapStates", "<List:item>", *study, "</List:item>")
    workspace = _item("Workspace", studies, attributes=_NAMESPACES)
    return write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{workspace}\n', path)


def read_cvi42(path: Path) -> dict[str, dict[Outline, Polygon]]:
    """Contours in pixels by the SOPInstanceUID of their image, as `read_workspace` finds them."""
    found: dict[str, dict[Outline, Polygon]] = {}
    for contour in read_workspace(path).drawn:
        found.setdefault(contour.where.uid, {})[contour.kind] = contour.points
    return found


def read_workspace(path: Path) -> ContourFile:
    """Read the short-axis contours of a workspace.

    Parameters
    ----------
    path
        XML workspace (``.cvi42wsx``).

    Returns
    -------
    Contours in pixels; others, such as those of papillary muscles, are counted only.

    Raises
    ------
    DataError
        If it is missing, no XML, damaged, larger than 200 MB, declares entities, or holds no contour of the
        short axis.
    """
    drawn: list[Drawn] = []
    unused = 0
    for states in _items(_parsed(path), "ImageStates"):
        for image in states:
            for contours in _items(image, "Contours"):
                named = {_key(contour): contour for contour in contours}
                unused += len(named.keys() - _READ.keys())
                polygons = {  # of an open and a closed contour the closed one counts
                    kind: polygon
                    for name, kind in _READ.items()
                    if name in named and (polygon := _polygon(named[name], path, _key(image))) is not None
                }
                for kind, polygon in polygons.items():
                    drawn.append(Drawn(kind, polygon, Where(uid=_key(image)), f"{kind} {len(drawn) + 1}"))
    if not drawn:
        raise DataError(
            f"{path} holds no short-axis contour such as saendocardialContour; export the workspace again"
        )
    return ContourFile(path, FORMAT, tuple(drawn), unused=unused)


def _item(key: str, *inside: str, attributes: str = "") -> str:
    """An item of a mapping with what stands in it, which is XML; a text alone stands in one line."""
    content = inside[0] if len(inside) == 1 and "<" not in inside[0] else "\n".join(("", *inside, ""))
    return f"<Hash:item Hash:key={quoteattr(key)}{attributes}>{content}</Hash:item>"


def _contour(kind: Outline, polygon: Polygon) -> str:
    """The points of one contour, and what they are measured in; ten times faster than by a tree."""
    points = "\n".join(
        f"<List:item>\n<Point:x>{x}</Point:x>\n<Point:y>{y}</Point:y>\n</List:item>"
        for x, y in np.rint(np.asarray(polygon) * SUBPIXEL).astype(int).tolist()
    )
    return _item(_WRITTEN[kind], _item("Points", points), _item("SubpixelResolution", str(SUBPIXEL)))


def _parsed(path: Path) -> Element:
    """The tree of an XML file that declares nothing of its own: entities could blow it up or read files."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} has more than {MAX_BYTES >> 20} MB; export the workspace of one study")
        builder = _Bounded()
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = builder.start
        parser.EndElementHandler = builder.end
        parser.CharacterDataHandler = builder.data
        parser.StartDoctypeDeclHandler = _refuse
        with path.open("rb") as file:
            parser.ParseFile(file)
        return builder.close()
    except OSError as error:
        raise DataError(f"workspace {path} cannot be read ({error.strerror}); check the path") from None
    except expat.ExpatError as error:
        raise DataError(
            f"{path} is no whole XML file ({error}); export it as XML workspace (.cvi42wsx, not .cvi42ws)"
        ) from None
    except _NoWorkspace as error:
        raise DataError(f"{path} {error}, which a workspace never does; refused") from None


class _NoWorkspace(Exception):
    """An XML file holds what no workspace does."""


class _Bounded(TreeBuilder):
    """A tree of a size and depth that can be walked through."""

    def __init__(self) -> None:
        super().__init__()
        self._elements = self._level = 0

    def start(self, tag: str, attributes: dict[str, str], /) -> Element:
        self._elements += 1
        self._level += 1
        if self._elements > _MOST_ELEMENTS or self._level > _MOST_LEVELS:
            raise _NoWorkspace(f"has more than {_MOST_LEVELS} levels or {_MOST_ELEMENTS} elements")
        return super().start(tag, attributes)

    def end(self, tag: str, /) -> Element:
        self._level -= 1
        return super().end(tag)


def _refuse(*declaration: object) -> None:
    raise _NoWorkspace("declares a document type")


def _key(element: Element) -> str:
    """The key under which an item lies in a mapping."""
    return element.get("Hash:key", "")


def _items(parent: Element, key: str) -> Iterator[Element]:
    """All items of that key, at any depth but in each other."""
    for element in parent:
        if _key(element) == key:
            yield element
        else:
            yield from _items(element, key)


def _polygon(contour: Element, path: Path, uid: str) -> Polygon | None:
    """The points of one contour in pixels, None where it is empty."""
    try:
        text = {_key(item): item for item in contour}
        points = [[float(point.findtext(f"Point:{axis}", "")) for axis in "xy"] for point in text["Points"]]
        step = float(text["SubpixelResolution"].text or "")
        if not points:
            return None
        if not step > 0:
            raise ValueError("SubpixelResolution must be positive")
    except (KeyError, ValueError):
        raise DataError(
            f"{path}: {_key(contour)} of image {uid} lacks points or SubpixelResolution as numbers; "
            "export it again"
        ) from None
    return checked(np.array(points) / step, f"{_key(contour)} of image {uid} in {path}")
