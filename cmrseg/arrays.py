"""Shapes of the arrays that travel through the package, named once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

CineLabels = UInt8[np.ndarray, "x y z t"]
Curve = Float[np.ndarray, " t"]
