"""A small smooth cine with an oblique, anisotropic grid whose slices ascend along the image normal."""

import numpy as np
import pytest

from cmrseg.cine import Cine

TIMES_MS = tuple(float(t) for t in np.arange(7) * 110.5 + 3.25)


def turned(axis: int, angle: float) -> np.ndarray:
    i, j = [k for k in range(3) if k != axis]
    out = np.eye(3)
    out[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return out


@pytest.fixture(scope="session")
def cine():
    x, y, z, t = np.ogrid[0:48, 0:40, 0:6, 0:7]
    array = 1500 + 700 * np.sin(x / 7 + t / 3) * np.cos(y / 5 + z) + 40 * z + 3 * t
    affine = np.eye(4)
    affine[:3, :3] = turned(2, 0.3) @ turned(0, 0.8) @ turned(1, -0.4) * (1.4, 1.6, 8.0)
    affine[:3, 3] = -30.1234567, 12.7654321, 99.1
    return Cine(array, (1.4, 1.6, 8.0), affine, TIMES_MS)
