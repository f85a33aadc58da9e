"""Which network segments which slice: those of base, middle and apex, and the baseline for the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmrseg.cine import Cine
from cmrseg.metrics.regions import OUTSIDE, REGIONS
from cmrseg.problems import DataError
from cmrseg.tasks.asking import Network, outputs_of_images
from cmrseg.tasks.options import Options
from cmrseg.tasks.region import CLASSES

BASELINE, CLASSIFIER = "baseline", "classifier"
ROLES = (BASELINE, CLASSIFIER, *REGIONS)
REGION_COLUMNS = ("slice", "frame", "region", *CLASSES)


def check_members(specs: Mapping[str, Any]) -> None:
    """Check that models can make up a regional one.

    Parameters
    ----------
    specs
        Their descriptions by role (`ROLES`).

    Raises
    ------
    DataError
        If one computes something else, answers for whole stacks, or segments other structures.
    """
    labels = specs[BASELINE].labels
    for role, spec in specs.items():
        wanted = "region" if role == CLASSIFIER else "segmentation"
        if spec.task != wanted:
            raise DataError(f"{spec.name} cannot be the {role}: its task is {spec.task}, not {wanted}")
        if spec.dims != 2:
            raise DataError(f"{spec.name} cannot be the {role}: it answers for stacks, not for single slices")
        if role != CLASSIFIER and spec.labels != labels:
            told = f"{', '.join(spec.labels[1:])}, the baseline {', '.join(labels[1:])}"
            raise DataError(f"{spec.name} cannot be the net of the {role}: it segments {told}")


def region_probabilities(cine: Cine, network: Network, options: Options) -> Float[np.ndarray, "t z 4"]:
    """Probability of every region (`cmrseg.tasks.region.CLASSES`) for all slices of a cine.

    Parameters
    ----------
    cine
        Intensities.
    network
        Of a regional model, or a classifier itself.
    options
        Of them batch size and flips are used.
    """
    n_slices, n_frames = cine.array.shape[2:]
    said = outputs_of_images(cine, network.members.get(CLASSIFIER, network), options)
    return said.reshape(n_frames, n_slices, len(CLASSES))


def networks_of_slices(
    network: Network, probabilities: Float[np.ndarray, "t z 4"] | None, slices: int
) -> Iterator[tuple[Network, np.ndarray]]:
    """Every network that has something to do, and its slices.

    Parameters
    ----------
    network
        Has all slices itself, unless it is that of a regional model.
    probabilities
        Of the regions; needed for a regional model.
    slices
        How many there are, ``t * z``.

    Returns
    -------
    Networks with ``bool`` arrays ``(t * z,)``, slices of one frame side by side.
    """
    if not network.members or probabilities is None:
        yield network, np.full(slices, True)
        return
    regions = probabilities.argmax(axis=-1).ravel()
    for number, region in enumerate(CLASSES):
        wanted = regions == number
        if wanted.any():
            yield network.members[BASELINE if region == OUTSIDE else region], wanted


def region_table(probabilities: Float[np.ndarray, "t z 4"] | None) -> pd.DataFrame:
    """`REGION_COLUMNS`, a row per slice and frame; without rows where nothing is known of the regions."""
    if probabilities is None:
        return pd.DataFrame(columns=list(REGION_COLUMNS))
    frames, slices = np.indices(probabilities.shape[:2]).reshape(2, -1)
    flat = probabilities.reshape(-1, len(CLASSES))
    table = pd.DataFrame(flat, columns=list(CLASSES))
    names = [CLASSES[number] for number in flat.argmax(axis=1)]
    return table.assign(slice=slices, frame=frames, region=names)[list(REGION_COLUMNS)]
