"""Whose contours a file holds, among the studies of a curation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cmrseg.contours.match import MOST_APART_MM, projected
from cmrseg.curation.run import Planes
from cmrseg.io.dicom import DicomImage, read_headers
from cmrseg.io.dicom_planes import Plane, plane_of
from cmrseg.io.drawn import ContourFile
from cmrseg.problems import DataError

_CLOSE = 0.5  # of the contours of a file that must lie in planes of a study


@dataclass
class Studies:
    """What contours may say of the study that they were drawn on; in memory only."""

    of_uid: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    of_patient: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    of_folder: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    of_examination: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    planes: dict[str, list[Plane]] = field(default_factory=dict)

    def of(self, file: ContourFile) -> set[str]:
        """Studies that a file is about: by UIDs, else geometry, else the patient, else names of folders.

        Returns
        -------
        Several where curation made several of one examination; none if there is no telling.
        """
        uids = {contour.where.uid for contour in file.drawn} - {""}
        if found := {study for uid in uids for study in self.of_uid.get(uid, ())}:
            return found
        in_space = [c.points for c in file.drawn if c.is_in_space]
        if in_space:
            return {study for study, planes in self.planes.items() if _lies_in(in_space, planes)}
        if uids:
            return set()
        if file.patient_id and (found := self.of_patient.get(file.patient_id, set())):
            return found
        names = {*file.path.resolve().parts, file.path.stem}
        everybody = set(self.planes)
        named = [found for name in names if (found := self.of_folder.get(name, everybody)) != everybody]
        if named:
            found = set.intersection(*named)
            return found if self._is_one_examination(found) else set()
        return everybody if self._is_one_examination(everybody) else set()

    def _is_one_examination(self, studies: set[str]) -> bool:
        return any(studies <= of_one for of_one in self.of_examination.values())


def studies_of(sources: Mapping[str, Planes]) -> Studies:
    """What is known of the studies of a curation by the headers of their images.

    Parameters
    ----------
    sources
        File, and number of the plane in it, of every slice and frame, by study.
    """
    known = Studies()
    for study, planes in sources.items():
        headers: dict[Path, list[DicomImage]] = {}
        first: dict[int, Plane] = {}
        for (z, _), (path, number) in sorted(planes.items()):
            if path not in headers:
                headers[path] = _read(path)
                for folder in path.parent.parts:
                    known.of_folder[folder].add(study)
            if number >= len(headers[path]):
                continue
            image = headers[path][number]
            first.setdefault(z, plane_of(image))
            known.of_uid[image.instance_uid].add(study)
            known.of_patient[image.patient_id].add(study)
            known.of_examination[f"{image.study_uid} {image.patient_id}"].add(study)
        if first:
            known.planes[study] = list(first.values())
            known.of_folder[study].add(study)
    known.of_uid.pop("", None)
    known.of_patient.pop("", None)
    return known


def _read(path: Path) -> list[DicomImage]:
    try:
        return read_headers(path)
    except DataError:
        return []


def _lies_in(contours: list[np.ndarray], planes: list[Plane]) -> bool:
    """Whether most contours lie in the images of some planes."""
    inside = [any(_is_in(points, plane) for plane in planes) for points in contours]
    return sum(inside) > _CLOSE * len(inside)


def _is_in(points: np.ndarray, plane: Plane) -> bool:
    """Whether points lie in an image."""
    polygon, apart = projected(points, plane)
    rows, columns = plane.size
    return apart <= MOST_APART_MM and bool(((polygon > -0.5) & (polygon < (columns - 0.5, rows - 0.5))).all())
