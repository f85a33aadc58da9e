"""How often every training image is drawn: shares of data sets, and more of the base and the apex."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from jaxtyping import Float

from cmrseg.partial_labels import FIRST_CODE
from cmrseg.problems import DataError
from cmrseg.training.config import TrainConfig
from cmrseg.training.images import TrainingImages


def sampling_weights(images: TrainingImages, config: TrainConfig) -> Float[np.ndarray, " n"] | None:
    """Relative chance of every row in an epoch; None where every image is seen once.

    Parameters
    ----------
    images
        To train on.
    config
        Its ``shares`` and ``region_sampling``.

    Raises
    ------
    DataError
        If there are not as many shares as data sets.
    """
    weights = np.ones(len(images))
    if config.region_sampling > 1:
        weights *= region_weights(images, config.region_sampling)
    if config.shares:
        weights *= _share_weights(images, config.shares)
    return weights if config.shares or config.region_sampling > 1 else None


def region_weights(images: TrainingImages, ratio: float) -> Float[np.ndarray, " n"]:
    """Draw the ends of a heart more often than its middle.

    The chance is quadratic in the position of a slice's centre between base and apex, and least in the
    middle. Slices without a contour keep their share.

    Parameters
    ----------
    images
        With masks as class numbers.
    ratio
        Largest over smallest chance within a heart; the paper has 4 and 20.

    Returns
    -------
    Weights of mean 1 over the slices with a contour of every volume, and 1 for the other slices.

    References
    ----------
    Mariscal-Harana et al. (2023), section 2.3.
    """
    weights = np.ones(len(images))
    shows = ((images.masks > 0) & (images.masks < FIRST_CODE)).flatten(1).any(dim=1).numpy()
    hearts: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for row, (subject, frame, _) in enumerate(images.places):
        if shows[row]:
            hearts[subject, frame].append(row)
    for rows in hearts.values():
        ordered = sorted(rows, key=lambda row: images.places[row][2])
        position = (np.arange(len(ordered)) + 0.5) / len(ordered)
        chance = 1 + (ratio - 1) * (2 * position - 1) ** 2
        weights[ordered] = chance / chance.mean()
    return weights


def _share_weights(images: TrainingImages, shares: tuple[float, ...]) -> Float[np.ndarray, " n"]:
    """Weights with which every data set is drawn as often as its share says, whatever its size."""
    names = list(dict.fromkeys(images.data_sets)) or [""]
    if len(names) != len(shares):
        raise DataError(f"{len(shares)} share(s) for {len(names)} data set(s); name one each, such as 2,1")
    sets = np.array(images.data_sets or [""] * len(images))
    weights = np.zeros(len(images))
    for name, share in zip(names, shares, strict=True):
        weights[sets == name] = share / max(np.count_nonzero(sets == name), 1)
    return weights * len(images) / sum(shares)
