"""What one synthetic subject is like: size, function, position and slice plan."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

# Field -> (lowest, highest, unit); an open interval.
_LIMITS = {
    "edv_ml": (0, 1000, "ml"),
    "ef_percent": (0, 95, "%"),
    "rv_edv_ml": (0, 1000, "ml"),
    "lv_length_mm": (20, 200, "mm"),
    "lv_shortening_percent": (-1, 50, "%"),
    "wall_thickness_mm": (0, 40, "mm"),
    "slice_spacing_mm": (0, 50, "mm"),
    "slice_thickness_mm": (0, 50, "mm"),
    "heart_rate_bpm": (20, 250, "beats/min"),
    "es_fraction": (0, 1, "of the cycle"),
    "base_fraction": (-1, 1, "of the long semi-axis"),
    "n_slices": (0, 100, "slices"),
    "n_frames": (1, 500, "frames"),
}
_MAX_STROKE_VOLUME_ML = 150.0  # a dilated ventricle does not also eject most of its volume


@dataclass(frozen=True)
class PhantomSpec:
    """One synthetic subject.

    Attributes
    ----------
    edv_ml, ef_percent, rv_edv_ml
        Volumes at end-diastole and LV ejection fraction; both ventricles eject the same volume.
    lv_length_mm, lv_shortening_percent
        Cavity from base to apex at end-diastole, and how much the base descends until end-systole.
    base_fraction
        Base plane above the equator of the half ellipsoid, as a fraction of its long semi-axis.
    ellipticity
        How far the cavity is from a circle (0 is a circle).
    wall_thickness_mm, wall_variation
        Mean at end-diastole, and relative variation around the ring.
    slice_spacing_mm, slice_thickness_mm, n_slices, slices_above_base, stack_offset_mm
        The stack, base first; the first ``slices_above_base`` show atria. The offset moves it to the base.
    n_frames, heart_rate_bpm, es_fraction
        Sampling of the cycle; end-systole as a fraction of it.
    centre_mm, rotation_deg, tilt_deg, slice_shift_mm
        LV centre in the image, rotation in plane, long axis against the stack, and the standard deviation
        of the shift of every slice (breath holds differ).
    papillary_mm, trabeculation
        Radius of the papillary muscles; roughness of the blood pool (intensity only).
    fat_mm, body_scale
        Subcutaneous fat; size of the chest.
    """

    edv_ml: float = 150.0
    ef_percent: float = 60.0
    rv_edv_ml: float = 160.0
    lv_length_mm: float = 88.0
    lv_shortening_percent: float = 15.0
    base_fraction: float = 0.3
    ellipticity: float = 0.04
    wall_thickness_mm: float = 8.5
    wall_variation: float = 0.12
    slice_spacing_mm: float = 10.0
    slice_thickness_mm: float = 8.0
    n_slices: int = 10
    slices_above_base: int = 1
    stack_offset_mm: float = 0.0
    n_frames: int = 20
    heart_rate_bpm: float = 65.0
    es_fraction: float = 0.35
    centre_mm: tuple[float, float] = (15.0, -8.0)
    rotation_deg: float = 0.0
    tilt_deg: float = 4.0
    slice_shift_mm: float = 0.8
    papillary_mm: float = 5.0
    trabeculation: float = 1.0
    fat_mm: float = 14.0
    body_scale: float = 1.0

    def __post_init__(self) -> None:
        for name, (low, high, unit) in _LIMITS.items():
            value = getattr(self, name)
            if not low < value < high:
                raise ValueError(f"{name} must be between {low} and {high} {unit}, got {value} {unit}")
        if self.rv_edv_ml <= self.stroke_volume_ml:
            raise ValueError(
                f"rv_edv_ml must exceed the stroke volume of {self.stroke_volume_ml:g} ml, "
                f"got {self.rv_edv_ml} ml"
            )
        if self.slice_heights_mm[-1] > self.slice_spacing_mm:
            raise ValueError(
                f"n_slices must reach the apex, {self.lv_length_mm:g} mm below the base, "
                f"got {self.n_slices} slices of {self.slice_spacing_mm:g} mm"
            )

    @property
    def stroke_volume_ml(self) -> float:
        """Volume that either ventricle ejects."""
        return self.edv_ml * self.ef_percent / 100

    @property
    def es_frame(self) -> int:
        """Index of the end-systolic frame; the end-diastolic one is 0."""
        return min(max(round(self.es_fraction * self.n_frames), 1), self.n_frames - 1)

    @property
    def frame_times_ms(self) -> tuple[float, ...]:
        """Time of every frame after the R wave."""
        interval_ms = 60_000 / self.heart_rate_bpm / self.n_frames
        return tuple(i * interval_ms for i in range(self.n_frames))

    @property
    def slice_heights_mm(self) -> np.ndarray:
        """Height of every slice above the endocardial apex, base first, shape ``(z,)``."""
        steps = self.slices_above_base - 0.5 - np.arange(self.n_slices)
        return self.lv_length_mm + self.stack_offset_mm + steps * self.slice_spacing_mm


def random_spec(
    rng: np.random.Generator,
    *,
    n_frames: int = 20,
    edv_ml: tuple[float, float] = (80.0, 260.0),
    ef_percent: tuple[float, float] = (20.0, 70.0),
    slice_mm: tuple[float, float] = (8.0, 10.0),
) -> PhantomSpec:
    """A plausible subject, from small and healthy to dilated and failing.

    Parameters
    ----------
    rng
        Source of randomness; the same state gives the same subject.
    n_frames
        Frames over the cycle.
    edv_ml, ef_percent, slice_mm
        Ranges of end-diastolic volume (ml), ejection fraction (%) and slice distance (mm).

    Returns
    -------
    Specification whose stack covers the ventricle in 6 to 12 slices with the default ranges.
    """
    edv = rng.uniform(*edv_ml)
    ef = min(rng.uniform(*ef_percent), 100 * _MAX_STROKE_VOLUME_ML / edv)
    length = 16.3 * edv ** (1 / 3) * rng.uniform(0.95, 1.05)
    spacing = max(rng.uniform(*slice_mm), length / 10.4)
    above, offset = int(rng.integers(0, 2)), spacing * rng.uniform(-0.4, 0.4)
    spec = PhantomSpec(
        edv_ml=edv,
        ef_percent=ef,
        rv_edv_ml=max(rng.uniform(0.7, 1.1) * edv, edv * ef / 100 / 0.62),
        lv_length_mm=length,
        lv_shortening_percent=3 + 0.2 * ef * rng.uniform(0.85, 1.15),
        slice_spacing_mm=spacing,
        slice_thickness_mm=spacing * rng.uniform(0.8, 1),
        n_slices=min(math.ceil((length + offset) / spacing + 0.2) + above, 12),
        slices_above_base=above,
        stack_offset_mm=offset,
        n_frames=n_frames,
        heart_rate_bpm=rng.uniform(50, 95),
        es_fraction=rng.uniform(0.31, 0.4),
    )
    return _individual(spec, rng)


def _individual(spec: PhantomSpec, rng: np.random.Generator) -> PhantomSpec:
    """The same function in another body."""
    return replace(
        spec,
        wall_thickness_mm=rng.uniform(7, 11),
        wall_variation=rng.uniform(0.05, 0.2),
        ellipticity=rng.uniform(0, 0.07),
        centre_mm=(rng.uniform(8, 24), rng.uniform(-16, 4)),
        rotation_deg=rng.uniform(-12, 28),
        tilt_deg=rng.uniform(0, 8),
        slice_shift_mm=rng.uniform(0.3, 1.5),
        papillary_mm=rng.uniform(4, 6),
        trabeculation=rng.uniform(0.6, 1.5),
        fat_mm=rng.uniform(7, 24),
        body_scale=rng.uniform(0.92, 1.1),
    )
