"""Slices made by hand, and a small smooth cine whose value is known everywhere."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice
from cmrseg.io.dicom import DicomImage, PixelData

NAN = float("nan")
X, Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
STEP_MS = 50.0
RULES = Rules()
IMAGE = DicomImage(
    **dict.fromkeys((f.name for f in fields(DicomImage)), "")  # what a test does not care about
    | {
        "path": Path("x"),
        "name": "x",
        "frame": 0,
        "instance_uid": "",
        "study_uid": "study",
        "series_uid": "series",
        "series_number": 1,
        "description": "",
        "instance": 1,
        "acquisition": 1,
        "kind": "M",
        "sequence": "GR/SS+SP",
        "rows": 12,
        "columns": 10,
        "spacing": (1.0, 1.0),
        "position": (0.0, 0.0, 0.0),
        "orientation": (*X, *Y),
        "slice_spacing_mm": NAN,
        "trigger_ms": 0.0,
        "acquired_s": NAN,
        "interval_ms": NAN,
        "slope": 1.0,
        "intercept": 0.0,
        "pixels": PixelData(0, "<u2"),
        "patient_id": "",
        "delay_ms": NAN,
        "phase": -1,
        "label": "x",
    }
)


def pattern(size=(12, 10), phases=4, *, offset=0.0):
    """Every pixel and phase has a value of its own, linear in rows, columns and time."""
    t, r, c = np.ogrid[:phases, : size[0], : size[1]]
    return 1000.0 * t + 20 * r + c + offset


def make_slice(
    z_mm=0.0,
    *,
    size=(12, 10),
    phases=4,
    spacing=(1.0, 1.0),
    row=X,
    column=Y,
    centre=None,
    frames=None,
    dtype=np.uint16,
    series=1,
    name=None,
    told_mm=NAN,
    times_ms=None,
    instances=None,
    **header,
):
    """A slice that is centred on the z axis, with any detail changed."""
    frames = pattern(size, phases) if frames is None else frames
    phases, *size = frames.shape
    row, column = np.array(row, float), np.array(column, float)
    centre = np.array((0.0, 0.0, z_mm) if centre is None else centre, float)
    half = row * spacing[0] * (size[1] - 1) / 2 + column * spacing[1] * (size[0] - 1) / 2
    corner = centre - half
    times = np.arange(phases) * STEP_MS if times_ms is None else np.array(times_ms, float)
    name = f"s{series}_z{z_mm:g}" if name is None else name
    images = tuple(
        replace(
            IMAGE,
            **{
                "path": Path(f"{name}_{t}"),
                "name": f"{name}_{t}",
                "label": f"{name}_{t}",
                "series_uid": f"series {series}",
                "series_number": series,
                "instance": t + 1 if instances is None else instances[t],
                "rows": size[0],
                "columns": size[1],
                "spacing": tuple(spacing),
                "position": tuple(map(float, corner)),
                "orientation": (*map(float, row), *map(float, column)),
                "slice_spacing_mm": told_mm,
                "trigger_ms": float(times[t]),
                **header,
            },
        )
        for t in range(phases)
    )
    return Slice(images, frames.astype(dtype), times, corner, row, column, tuple(spacing))


def make_stack(positions, **details):
    """Slices of one series at some positions (mm) along z."""
    return [make_slice(z, **details) for z in positions]


def heights(slices):
    """Positions along z, mm."""
    return [round(float(s.centre[2]), 6) for s in slices]


def kinds_of(problems):
    return [p.problem for p in problems]


def snapshot(slices):
    """All that a repair might change in its input."""
    return [
        (
            s.images,
            s.frames.copy(),
            s.times_ms.copy(),
            s.corner.copy(),
            s.row.copy(),
            s.column.copy(),
            s.spacing,
        )
        for s in slices
    ]


def assert_unchanged(slices, before):
    for s, (images, *arrays, spacing) in zip(slices, before, strict=True):
        assert s.images is images
        assert s.spacing == spacing
        for now, then in zip((s.frames, s.times_ms, s.corner, s.row, s.column), arrays, strict=True):
            np.testing.assert_array_equal(now, then)


def turned(axis, angle):
    """Rotation matrix."""
    i, j = [k for k in range(3) if k != axis]
    out = np.eye(3)
    out[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return out


GRID_MM = (1.4, 1.6, 8.0)
SIZE = (40, 36, 8, 8)
TIMES_MS = tuple(float(t) for t in np.arange(SIZE[3]) * 110.5 + 3.25)


def truth(x, y, z, t):
    """Value of the cine anywhere between its voxels; amplitude 700, wave numbers 1/7 and 1/6 per pixel."""
    return 1500 + 700 * np.sin(x / 7 + t / 3) * np.cos(y / 6 + z) + 40 * z + 3 * t


@pytest.fixture(scope="session")
def cine():
    """Smooth cine on an oblique grid with the short axis of a heart, whole numbers as scanners store them."""
    array = np.rint(truth(*np.ogrid[: SIZE[0], : SIZE[1], : SIZE[2], : SIZE[3]]))
    normal = np.array([-0.66, 0.60, -0.45])  # RAS: to the left, forward, down
    normal /= np.linalg.norm(normal)
    row = np.cross([0.1, 0.3, 0.9], normal)
    row /= np.linalg.norm(row)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row, np.cross(normal, row), normal], axis=1) * GRID_MM
    affine[:3, 3] = -30.1234567, 12.7654321, 99.1
    return Cine(array, GRID_MM, affine, TIMES_MS)
