"""Synthetic short-axis cine studies of known volume, for the demo, for tests and for tutorials."""

from cmrseg.phantom.motion import half_ellipsoid_volume_ml
from cmrseg.phantom.scanner import SCANNERS, Contrast, Scanner
from cmrseg.phantom.spec import PhantomSpec, random_spec
from cmrseg.phantom.study import PhantomStudy, make_study, true_volumes_ml

__all__ = [
    "SCANNERS",
    "Contrast",
    "PhantomSpec",
    "PhantomStudy",
    "Scanner",
    "half_ellipsoid_volume_ml",
    "make_study",
    "random_spec",
    "true_volumes_ml",
]
