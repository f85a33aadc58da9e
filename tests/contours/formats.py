"""A synthetic examination as DICOM, and contours on it as programs write them.

The files are built from the true masks of `cmrseg.phantom` by the published descriptions of the formats; no
file of the programs themselves is at hand. Only Sunnybrook's text is tested on real files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from cmrseg.cine import Cine
from cmrseg.curation.run import Planes
from cmrseg.io.dicom import DicomImage
from cmrseg.io.dicom_planes import plane_of
from cmrseg.io.outlines import Outline, mask_contours
from cmrseg.phantom import PhantomSpec

SPEC = PhantomSpec(n_frames=8, tilt_deg=0.0, slice_shift_mm=0.0)
Contours = dict[DicomImage, dict[Outline, np.ndarray]]


@dataclass(frozen=True)
class Contoured:
    """An examination and its curation: images by slice and frame, the true mask on the grid of the cine."""

    source: Path
    target: Path
    sources: Mapping[str, Planes]
    study: str
    headers: dict[tuple[int, int], DicomImage]
    mask: Cine
    frames: tuple[int, int]

    @property
    def contours(self) -> Contours:
        """Contours of end-diastole and end-systole, in pixels of their images."""
        places = {place: header for place, header in self.headers.items() if place[1] in self.frames}
        return mask_contours(self.mask, places)

    @property
    def truth(self) -> np.ndarray:
        """The mask of these two frames, nothing elsewhere."""
        array = np.zeros_like(self.mask.array)
        array[..., list(self.frames)] = self.mask.array[..., list(self.frames)]
        return array


def write_con(data: Contoured, path: Path, *, reverse: bool = False) -> Path:
    """A file of QMass, with the lines that its public readers look for."""
    kinds = {Outline.ENDOCARDIUM: 0, Outline.EPICARDIUM: 1, Outline.RV: 5}
    heights = {z: header.location_mm for (z, _), header in data.headers.items()}
    order = sorted(heights, key=lambda z: heights[z], reverse=reverse)
    places = {header: (order.index(z), t) for (z, t), header in data.headers.items()}
    size = next(iter(data.headers.values()))
    lines = ["[STUDY]", "Patient_id=nobody", f"Image_resolution={size.columns}x{size.rows}"]
    for header, polygons in data.contours.items():
        for kind, points in polygons.items():
            z, t = places[header]
            rows = [f"{x:.4f} {y:.4f}" for x, y in points]
            lines += ["[XYCONTOUR]", f"{z} {t} {kinds[kind]}  1.0", str(len(rows)), *rows, "103", "0 0"]
        z, t = places[header]  # a papillary muscle, which is not ours
        lines += ["[XYCONTOUR]", f"{z} {t} 4  1.0", "3", "1 1", "2 1", "2 2", "103", "0 0"]
    path.write_bytes("\r\n".join([*lines, "[DISTANCE LABELS]"]).encode())
    return path


def write_mat(data: Contoured, path: Path, **changes: object) -> Path:
    """A file of Segment: row coordinate first, counted from 1, slices against the normal."""
    from scipy.io import savemat

    planes = {z: plane_of(header) for (z, t), header in data.headers.items() if t == 0}
    order = sorted(planes, key=lambda z: -float(planes[z].corner @ planes[z].normal))
    first, second = (planes[z] for z in order[:2])
    phases, most = data.mask.array.shape[3], max(len(p) for c in data.contours.values() for p in c.values())
    names = {Outline.ENDOCARDIUM: "Endo", Outline.EPICARDIUM: "Epi", Outline.RV: "RVEndo"}
    arrays = {
        f"{name}{axis}": np.full((most, phases, len(order)), np.nan)
        for name in names.values()
        for axis in "XY"
    }
    places = {header: (order.index(z), t) for (z, t), header in data.headers.items()}
    for header, polygons in data.contours.items():
        z, t = places[header]
        for kind, points in polygons.items():
            closed = points[np.minimum(np.arange(most), len(points) - 1)]
            arrays[f"{names[kind]}X"][:, t, z] = closed[:, 1] + 1
            arrays[f"{names[kind]}Y"][:, t, z] = closed[:, 0] + 1
    stack = {
        **arrays,
        "ImagePosition": first.corner,
        "ImageOrientation": np.concatenate([first.row, first.column]),
        "ResolutionX": first.spacing[1],
        "ResolutionY": first.spacing[0],
        "SliceThickness": 8.0,
        "SliceGap": float(np.linalg.norm(first.corner - second.corner)) - 8.0,
        "TSize": phases,
        "ZSize": len(order),
        "Rotated": 0,
        **changes,
    }
    savemat(path, {"preview": np.zeros((4, 4)), "setstruct": stack}, do_compression=True)
    return path


def write_rtstruct(data: Contoured, path: Path, names: dict[Outline, str] | None = None) -> Path:
    """A structure set by DICOM PS3.3 C.8.8.5 and C.8.8.6."""
    names = names or {Outline.ENDOCARDIUM: "LV endo", Outline.EPICARDIUM: "LV_EPI", Outline.RV: "RV"}
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    dataset.Modality, dataset.PatientID = "RTSTRUCT", "nobody"
    regions, drawn = [], []
    for number, (kind, name) in enumerate([*names.items(), (None, "aorta")], start=1):
        region, contours = Dataset(), []
        region.ROINumber, region.ROIName = number, name
        for header, polygons in data.contours.items():
            if (points := polygons.get(kind or Outline.RV)) is not None:
                contours.append(_planar(header, points))
        roi = Dataset()
        roi.ReferencedROINumber, roi.ContourSequence = number, contours
        regions.append(region)
        drawn.append(roi)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = regions, drawn
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        dataset.SOPClassUID,
        dataset.SOPInstanceUID,
    )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    dataset.save_as(path, enforce_file_format=True)
    return path


def _planar(header: DicomImage, points: np.ndarray) -> Dataset:
    """A closed planar contour in mm."""
    plane = plane_of(header)
    x, y = (points * plane.spacing).T
    space = plane.corner + np.outer(x, plane.row) + np.outer(y, plane.column)
    image, contour = Dataset(), Dataset()
    image.ReferencedSOPInstanceUID = header.instance_uid
    contour.ContourImageSequence = [image]
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
    contour.ContourData = [f"{value:.9g}" for value in space.ravel()]
    return contour
