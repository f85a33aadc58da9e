"""What the scanner makes of the signal: receive field, limited k-space, ghosts and noise."""

from __future__ import annotations

import numpy as np
from scipy import fft

from cmrseg.phantom.grid import Grid
from cmrseg.phantom.scanner import Scanner

_FIELD_SLICES = 8.0  # the bias field varies slowly through the stack


def receive_field(depth_mm: np.ndarray, grid: Grid, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Multiplicative field: surface coil, smooth variation, dropouts and the fine texture of tissue.

    Parameters
    ----------
    depth_mm
        Depth under the skin, shape ``(z, x, y)``.
    grid
        Pixels around the heart, where the dropouts are.
    scanner
        Its coil and dropouts.
    rng
        Source of randomness.

    Returns
    -------
    Field, shape ``(z, x, y)``, about 1 away from the coil.
    """
    field = np.exp(scanner.field_variation * grid.noise(rng, scanner.field_scale_mm, _FIELD_SLICES))
    field *= 1 + scanner.coil_gain * np.exp(-np.maximum(depth_mm, 0) / scanner.coil_reach_mm)
    for angle in rng.uniform(0, 2 * np.pi, scanner.dropouts):
        distance = scanner.dropout_distance_mm * rng.uniform(0.7, 1.3)
        x, y = distance * np.cos(angle), distance * np.sin(angle)
        squared = (grid.xy_mm[:, 0] - x) ** 2 + (grid.xy_mm[:, 1] - y) ** 2
        field *= 1 - scanner.dropout_depth * np.exp(-squared / (2 * scanner.dropout_radius_mm**2))
    field *= 1 + scanner.contrast.texture * grid.noise(rng, scanner.contrast.texture_mm)
    return field.astype(np.float32)


def acquire(signal: np.ndarray, field: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Magnitude images of a signal: limited k-space, breathing ghost, bias field and Rician noise.

    Parameters
    ----------
    signal
        Tissue signal relative to LV blood, shape ``(z, t, x, y)``.
    field
        Bias field, shape ``(z, x, y)``.
    scanner
        Its k-space, noise and gain.
    rng
        Source of the noise.

    Returns
    -------
    Images, shape ``(z, t, x, y)``, ``float32``, never negative.
    """
    spectrum = fft.rfft2(signal) * _transfer(signal.shape[-2:], scanner)
    image = fft.irfft2(spectrum, s=signal.shape[-2:], overwrite_x=True)
    image *= field[:, None]
    image += scanner.noise * rng.standard_normal(image.shape, dtype=np.float32)
    image *= image
    imaginary = scanner.noise * rng.standard_normal(image.shape, dtype=np.float32)
    image += imaginary * imaginary
    return scanner.gain * np.sqrt(image, out=image)


def _transfer(shape: tuple[int, int], scanner: Scanner) -> np.ndarray:
    """Fermi window of the acquired k-space times the ghost, for `scipy.fft.rfft2`."""
    kx, ky = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    radius = np.hypot(kx, ky) / 0.5
    window = 1 / (1 + np.exp((radius - scanner.kspace_radius) / scanner.kspace_edge))
    shift = np.exp(-2j * np.pi * ky * round(scanner.ghost_shift * shape[1]))
    return (window * (1 + scanner.ghost * shift)).astype(np.complex64)
