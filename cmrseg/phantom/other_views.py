"""The series of an examination that are not the short-axis cine: other views, techniques and non-images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, SecondaryCaptureImageStorage
from scipy.ndimage import map_coordinates

from cmrseg.cine import Cine
from cmrseg.phantom.dicom import MAX_INTENSITY, NOBODY, Acquisition, Identity, dicom_datasets
from cmrseg.phantom.instances import clock, decimals, new_uid, seconds_of, set_elements

_AXIAL, _CORONAL, _SAGITTAL = (
    np.array(
        axes, float
    )  # columns: along a row, along a column, from slice to slice (right anterior superior)
    for axes in (
        [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
        [[-1, 0, 0], [0, 0, -1], [0, -1, 0]],
        [[0, 0, -1], [-1, 0, 0], [0, -1, 0]],
    )
)
_NOISE = 6.0
_SCREEN = (48, 64, 3)


@dataclass(frozen=True)
class View:
    """One other series.

    Attributes
    ----------
    planes
        ``"axial"``, ``"coronal"``, ``"sagittal"``, ``"sax"``, or degrees: the plane through the long axis
        turned by that much around it.
    positions, step_mm
        Slices per plane and their distance; 0 means those of the cine.
    phases
        0 means those of the cine.
    parts
        Third value of the image type of every image: ``"M"`` magnitude, ``"P"`` phase.
    by_time
        Phases are heart beats at one trigger time, not phases of one beat.
    elements
        Header elements that differ from a cine.
    """

    planes: tuple[str | float, ...]
    positions: int = 1
    step_mm: float = 0.0
    phases: int = 0
    parts: tuple[str, ...] = ("M",)
    by_time: bool = False
    elements: Mapping[str, object] = field(default_factory=dict)


VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "localizer": View(("axial", "coronal", "sagittal"), 3, 15.0, 1),
        "2ch": View((0.0,)),
        "3ch": View((120.0,)),
        "4ch": View((60.0,)),
        "rvot": View(("sagittal",)),
        "lge": View(
            ("sax",),
            0,
            phases=1,
            elements={
                "SequenceVariant": ["SP", "MP"],
                "ScanningSequence": ["GR", "IR"],
                "InversionTime": "280",
            },
        ),
        "flow": View(("axial",), parts=("M", "P"), elements={"SequenceVariant": "SP"}),
        "perfusion": View(("sax",), 3, phases=40, by_time=True, elements={"SequenceVariant": "SP"}),
        "axial": View(("axial",), 6, 8.0),
    }
)
NON_IMAGES = ("screenshot", "presentation")


def other_series(
    cine: Cine,
    name: str,
    *,
    style: str = "siemens",
    identity: Identity = NOBODY,
    seed: int = 0,
    size: int = 64,
) -> list[Dataset]:
    """DICOM instances of another series of the examination of which the cine is a part.

    Parameters
    ----------
    cine
        The short-axis cine; the others are resampled from it, with noise around it.
    name
        One of `VIEWS` or `NON_IMAGES`.
    style, identity, seed
        As for `dicom_datasets` of the cine; enhanced scanners write classic instances here.
    size
        Rows and columns.

    Returns
    -------
    The instances of one series (of one per slice for the axial cine of Siemens).

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    names = (*VIEWS, *NON_IMAGES)
    if name not in names:
        raise ValueError(f"name must be one of {names}, got {name!r}")
    number = names.index(name)
    style = "ge" if style == "enhanced" else style
    acquisition = Acquisition(series_number=101 + 10 * number, start_s=600.0 + 90 * number)
    first = replace(cine, array=cine.array[:1, :1, :1, :1], frame_times_ms=())
    options = {"style": style, "identity": identity, "seed": seed, "acquisition": acquisition}
    if name in NON_IMAGES:
        (dataset,) = dicom_datasets(first, description=name, **options)
        return [_screenshot(dataset) if name == "screenshot" else _presentation(dataset)]
    view = VIEWS[name]
    rng = np.random.default_rng((seed, number))
    built = [dicom_datasets(c, description=name, **options) for c in _cines(cine, view, size, rng)]
    return _finish([d for datasets in built for d in datasets], view, cine, merge=name != "axial")


def examination(
    cine: Cine, *, style: str = "siemens", identity: Identity = NOBODY, seed: int = 0
) -> list[Dataset]:
    """All instances of one examination: the short-axis cine first, then every other series.

    Parameters
    ----------
    cine, style, identity, seed
        As for `dicom_datasets`.

    Returns
    -------
    The datasets.
    """
    datasets = dicom_datasets(cine, style=style, identity=identity, seed=seed)
    for name in (*VIEWS, *NON_IMAGES):
        datasets += other_series(cine, name, style=style, identity=identity, seed=seed)
    return datasets


def _cines(cine: Cine, view: View, size: int, rng: np.random.Generator) -> Iterator[Cine]:
    """Every plane and part of a view as a cine."""
    for plane in view.planes:
        grid = _grid(cine, plane, view, size)
        for part in view.parts:
            array = _sample(cine, grid)
            array = array + rng.normal(0, _NOISE, array.shape)
            if part == "P":
                array = MAX_INTENSITY / 2 + 4 * (array - array.mean())
            yield grid.with_array(np.clip(array, 0, MAX_INTENSITY))


def _grid(cine: Cine, plane: str | float, view: View, size: int) -> Cine:
    """Empty cine of a plane, centred on the short-axis stack."""
    shape = np.array(cine.array.shape[:3])
    lengths = np.linalg.norm(cine.affine[:3, :3], axis=0)
    slices = view.positions or shape[2]
    pixel = (shape * lengths)[:2].max() / size
    spacing = np.array([pixel, pixel, view.step_mm or lengths[2]])
    affine = np.eye(4)
    affine[:3, :3] = _axes(cine, plane) * spacing
    centre = cine.affine[:3, :3] @ ((shape - 1) / 2) + cine.affine[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array([size, size, slices]) - 1) / 2)
    phases = view.phases or cine.array.shape[3]
    times = cine.frame_times_ms if not view.phases else ()
    return Cine(np.zeros((size, size, slices, phases)), tuple(spacing), affine, times)


def _axes(cine: Cine, plane: str | float) -> np.ndarray:
    """Unit vectors of a plane as columns (right anterior superior)."""
    named = {"axial": _AXIAL, "coronal": _CORONAL, "sagittal": _SAGITTAL}
    if plane in named:
        return named[plane]
    stack = cine.affine[:3, :3] / np.linalg.norm(cine.affine[:3, :3], axis=0)
    if plane == "sax":
        return stack
    turn = np.deg2rad(plane)
    across = np.cos(turn) * stack[:, 0] + np.sin(turn) * stack[:, 1]
    return np.stack([across, stack[:, 2], np.cross(across, stack[:, 2])], axis=1)


def _sample(cine: Cine, grid: Cine) -> np.ndarray:
    """The cine on another grid; its phases are repeated as often as the grid needs them."""
    shape = grid.array.shape
    index = np.indices(shape[:3]).reshape(3, -1)
    to_cine = np.linalg.inv(cine.affine) @ grid.affine
    points = to_cine[:3, :3] @ index + to_cine[:3, 3:]
    out = np.empty(shape)
    for t in range(shape[3]):
        volume = np.asarray(cine.array[..., t % cine.array.shape[3]], float)
        out[..., t] = map_coordinates(volume, points, order=1, mode="grid-constant").reshape(shape[:3])
    return out


def _finish(datasets: Sequence[Dataset], view: View, cine: Cine, *, merge: bool) -> list[Dataset]:
    """One series with numbers of its own, and what its technique says in the header."""
    per_part = len(datasets) // (len(view.planes) * len(view.parts))
    series, number = datasets[0].SeriesInstanceUID, datasets[0].SeriesNumber
    for i, dataset in enumerate(datasets):
        image_type = list(dataset.ImageType)
        image_type[2] = view.parts[i // per_part % len(view.parts)]
        set_elements(dataset, dict(view.elements) | {"ImageType": image_type})
        if merge:
            uid = new_uid(series, "merged", i)
            ids = {"SeriesInstanceUID": series, "SeriesNumber": number, "InstanceNumber": i + 1}
            set_elements(dataset, ids | {"SOPInstanceUID": uid})
            dataset.file_meta.MediaStorageSOPInstanceUID = uid
        if view.by_time:
            set_elements(dataset, _beat(dataset, i % view.phases))
    return list(datasets)


def _beat(dataset: Dataset, beat: int) -> dict[str, object]:
    """One trigger time for all, one heart beat after the other."""
    seconds = seconds_of(dataset.SeriesTime) + beat * float(dataset.NominalInterval) / 1000
    return {
        "TriggerTime": decimals(112.5),
        "AcquisitionTime": clock(seconds),
        "ContentTime": clock(seconds),
        "TemporalPositionIdentifier": beat + 1,
    }


_GEOMETRY = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SliceLocation",
    "TriggerTime",
)


def _become(dataset: Dataset, sop_class: str, elements: Mapping[str, object]) -> Dataset:
    """The same examination's instance of another class, without geometry."""
    for keyword in _GEOMETRY:
        del dataset[keyword]
    set_elements(dataset, dict(elements) | {"SOPClassUID": sop_class})
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    return dataset


def _screenshot(dataset: Dataset) -> Dataset:
    """Secondary capture in colour."""
    rows, columns, samples = _SCREEN
    shade = np.broadcast_to(np.arange(columns, dtype=np.uint8)[None, :, None], _SCREEN)
    elements = {
        "Modality": "OT",
        "ConversionType": "WSD",
        "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"],
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": rows,
        "Columns": columns,
        **{"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0},
        "PixelData": shade.tobytes(),
    }
    return _become(dataset, SecondaryCaptureImageStorage, elements)


def _presentation(dataset: Dataset) -> Dataset:
    """Presentation state: a window, no pixels."""
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        del dataset[keyword]
    elements = {"Modality": "PR", "ContentLabel": "WINDOW", "PresentationLUTShape": "IDENTITY"}
    return _become(dataset, GrayscaleSoftcopyPresentationStateStorage, elements)
