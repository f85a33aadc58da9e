"""Counts before scores: one confusion table per image, and the Dice scores that follow from it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

from cmrseg.labels import STRUCTURES, Label

Counts = Int[np.ndarray, "*batch predicted true"]
Scores = Float[np.ndarray, "*batch structure"]


def confusion_counts(pred: UInt8[np.ndarray, "*shape"], truth: UInt8[np.ndarray, "*shape"]) -> Counts:
    """Count the pixels of every pair of predicted and true label.

    Parameters
    ----------
    pred, truth
        Masks of one shape (image, volume or cine) in `Label` ids.

    Returns
    -------
    Table of shape ``(n_labels, n_labels)``: row = predicted label, column = true label, in pixels.

    Raises
    ------
    ValueError
        If the shapes differ or a mask holds ids that are not in `Label`.
    """
    pred, truth = np.asarray(pred), np.asarray(truth)
    if pred.shape != truth.shape:
        raise ValueError(f"pred of shape {pred.shape} does not fit truth of shape {truth.shape}")
    n = len(Label)
    for name, mask in (("pred", pred), ("truth", truth)):
        if mask.size and (mask.min() < 0 or mask.max() >= n):
            raise ValueError(f"{name} holds label ids {mask.min()} to {mask.max()}, expected 0 to {n - 1}")
    pairs = pred.astype(np.intp).ravel() * n + truth.astype(np.intp).ravel()
    return np.bincount(pairs, minlength=n * n).reshape(n, n)


def image_counts(pred: UInt8[np.ndarray, "x y z"], truth: UInt8[np.ndarray, "x y z"]) -> Counts:
    """Confusion table of every 2D image of a volume.

    Parameters
    ----------
    pred, truth
        Masks of shape ``(x, y, z)`` in `Label` ids.

    Returns
    -------
    Tables of shape ``(z, n_labels, n_labels)`` in pixels; their sum over ``z`` is the volume's table.

    Raises
    ------
    ValueError
        As `confusion_counts`.
    """
    if np.shape(pred) != np.shape(truth):
        raise ValueError(f"pred of shape {np.shape(pred)} does not fit truth of shape {np.shape(truth)}")
    return np.stack([confusion_counts(pred[..., z], truth[..., z]) for z in range(pred.shape[-1])])


def predicted_pixels(counts: Counts) -> Int[np.ndarray, "*batch n_labels"]:
    """Pixels of every predicted label, shape ``(..., n_labels)``."""
    return counts.sum(axis=-1)


def true_pixels(counts: Counts) -> Int[np.ndarray, "*batch n_labels"]:
    """Pixels of every true label, shape ``(..., n_labels)``."""
    return counts.sum(axis=-2)


def dice(counts: Counts) -> Scores:
    """Dice coefficient of every structure from confusion tables.

    Parameters
    ----------
    counts
        Tables of shape ``(..., n_labels, n_labels)``.

    Returns
    -------
    Scores from 0 to 1, shape ``(..., 3)`` in the order LV, MYO, RV. A structure that is absent
    from both masks scores 1, one that is absent from exactly one scores 0.

    References
    ----------
    Dice, Ecology 26:297 (1945), doi:10.2307/1932409. Absent in both counts as 1:
    Ankenbrand et al., Magn Reson Med 86:2179 (2021), doi:10.1002/mrm.28822.
    """
    return label_dice(counts)[..., [int(label) for label in STRUCTURES]]


def label_dice(counts: Counts) -> Float[np.ndarray, "*batch n_labels"]:
    """Dice coefficient of every label of confusion tables of any size, background included.

    Parameters
    ----------
    counts
        Tables of shape ``(..., n_labels, n_labels)`` in pixels; rows may be either reader, Dice is symmetric.

    Returns
    -------
    Scores from 0 to 1, shape ``(..., n_labels)``; absent from both is 1, from exactly one 0, as in `dice`.
    """
    common = np.diagonal(counts, axis1=-2, axis2=-1)
    total = predicted_pixels(counts) + true_pixels(counts)
    return np.where(total == 0, 1.0, 2 * common / np.maximum(total, 1))


def volume_dice(counts: Counts) -> Scores:
    """Dice of a whole volume, from the tables of its images.

    Parameters
    ----------
    counts
        Tables of shape ``(z, n_labels, n_labels)``, see `image_counts`.

    Returns
    -------
    Scores of shape ``(3,)``: LV, MYO, RV.
    """
    return dice(counts.sum(axis=0))


def mean_image_dice(counts: Counts) -> Scores:
    """Mean over images of the Dice per image, in which every image weighs the same.

    Parameters
    ----------
    counts
        Tables of shape ``(z, n_labels, n_labels)``, see `image_counts`.

    Returns
    -------
    Scores of shape ``(3,)``: LV, MYO, RV.
    """
    return dice(counts).mean(axis=0)
