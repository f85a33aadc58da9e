"""Shapes of the arrays that travel through the package, named once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

Volume = Float[np.ndarray, "x y z"]
CineArray = Float[np.ndarray, "x y z t"]
VolumeLabels = UInt8[np.ndarray, "x y z"]
CineLabels = UInt8[np.ndarray, "x y z t"]
Curve = Float[np.ndarray, " t"]
