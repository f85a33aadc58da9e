"""Scanners and their cine protocols: contrast, grid, fields and noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Contrast:
    """Signal of every tissue, relative to LV blood; a negative one is opposed in phase.

    Fat that opposes water cancels it in mixed voxels, which draws the dark lines of SSFP.

    Attributes
    ----------
    texture, texture_mm
        Relative fine structure of tissue, and its size.
    blood_mottle, mottle_mm
        Relative inhomogeneity of blood by flow, and its size.
    inflow
        Relative loss of blood signal from base to apex.
    es_saturation
        Relative loss of blood signal at end-systole, when less of it is fresh.
    """

    name: str
    blood: float = 1.0
    rv_blood: float = 0.92
    atrium: float = 0.95
    vessel: float = 1.05
    myocardium: float = 0.33
    papillary: float = 0.4
    muscle: float = 0.24
    fat: float = -1.0
    visceral_fat: float = -0.68
    lung: float = 0.05
    lung_vessel: float = 0.75
    liver: float = 0.3
    spleen: float = 0.5
    stomach: float = 0.55
    gas: float = 0.03
    marrow: float = 0.5
    cortex: float = 0.06
    texture: float = 0.04
    texture_mm: float = 3.0
    blood_mottle: float = 0.05
    mottle_mm: float = 14.0
    inflow: float = 0.05
    es_saturation: float = 0.05


@dataclass(frozen=True)
class Scanner:
    """One scanner and its cine protocol.

    Attributes
    ----------
    spacing_mm, matrix
        Pixel size and number of pixels in plane, ``(x, y)``.
    gain
        Intensity of LV blood in the files.
    noise
        Standard deviation of either noise channel, relative to LV blood.
    coil_gain, coil_reach_mm
        Extra signal at the chest wall, and the distance over which it falls off.
    field_variation, field_scale_mm
        Logarithmic standard deviation of the smooth bias field, and its length.
    dropouts, dropout_depth, dropout_radius_mm, dropout_distance_mm
        Signal voids of the transmit field near the heart: how many, how deep, how wide, how far from the LV.
    kspace_radius, kspace_edge
        Acquired share of k-space, and the width of its edge, as fractions of the Nyquist frequency.
    ghost, ghost_shift
        Amplitude of the breathing ghost, and its shift along y as a fraction of the field of view.
    """

    name: str
    contrast: Contrast
    spacing_mm: tuple[float, float]
    matrix: tuple[int, int]
    gain: float = 170.0
    noise: float = 0.025
    coil_gain: float = 0.9
    coil_reach_mm: float = 45.0
    field_variation: float = 0.1
    field_scale_mm: float = 90.0
    dropouts: int = 0
    dropout_depth: float = 0.0
    dropout_radius_mm: float = 30.0
    dropout_distance_mm: float = 45.0
    kspace_radius: float = 0.85
    kspace_edge: float = 0.06
    ghost: float = 0.0
    ghost_shift: float = 0.3

    def __post_init__(self) -> None:
        if min(self.spacing_mm) <= 0:
            raise ValueError(f"spacing_mm must be positive (mm), got {self.spacing_mm} mm")
        if min(self.matrix) < 16:
            raise ValueError(f"matrix must be at least 16 pixels, got {self.matrix} pixels")
        for name in ("gain", "kspace_radius", "kspace_edge"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("noise", "ghost"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} must not be negative (fraction of blood), got {getattr(self, name)}"
                )


SSFP = Contrast("ssfp")
GRE_7T = Contrast(
    "gre_7t",
    blood=1.0,
    rv_blood=0.85,
    atrium=0.9,
    vessel=1.2,
    myocardium=0.46,
    papillary=0.5,
    muscle=0.5,
    fat=0.75,
    visceral_fat=0.55,
    lung=0.06,
    lung_vessel=0.9,
    liver=0.42,
    spleen=0.5,
    stomach=0.45,
    marrow=0.5,
    texture=0.05,
    blood_mottle=0.1,
    inflow=0.2,
    es_saturation=0.15,
)
SCANNERS: Mapping[str, Scanner] = MappingProxyType(
    {
        "A": Scanner("A", SSFP, spacing_mm=(1.8, 1.8), matrix=(128, 128)),
        "7T": Scanner(
            "7T",
            GRE_7T,
            spacing_mm=(1.4, 1.4),
            matrix=(144, 144),
            gain=520.0,
            noise=0.06,
            coil_gain=1.6,
            coil_reach_mm=55.0,
            field_variation=0.22,
            field_scale_mm=60.0,
            dropouts=2,
            dropout_depth=0.65,
            dropout_radius_mm=26.0,
            kspace_radius=0.7,
            ghost=0.05,
        ),
    }
)
