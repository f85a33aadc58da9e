"""Stacks whose slices lie closer or farther apart than those that a 3D model was trained on."""

from __future__ import annotations

import math

from cmrseg.data.catalog import Catalog
from cmrseg.zoo.domain import read_domain
from cmrseg.zoo.resolved import ResolvedModel

TOLERANCE = 1.1  # as of the check "like the training data"
_SHOWN = 5  # stacks that are named


def strange_slice_distances(catalog: Catalog, model: ResolvedModel) -> list[str]:
    """A sentence on the stacks whose slice distance is unlike the training's, if the model sees whole stacks.

    A 3D network is shown the slices as they are, whatever lies between them: its kernels know one distance.

    Parameters
    ----------
    catalog
        What is predicted.
    model
        Whose training domain is known, or not.

    Returns
    -------
    One sentence, or none: of a 2D model, where all is as in the training, or where its images are not known.
    """
    domain = read_domain(model) if model.spec.dims == 3 else None
    if domain is None or "slice_mm" not in domain.ranges:
        return []
    low, high = domain.ranges["slice_mm"]
    found = {study[0].subject: study[0].spacing[2] for study in catalog.studies()}
    strange = {
        subject: distance
        for subject, distance in found.items()
        if not low / TOLERANCE <= distance <= high * TOLERANCE
    }
    if not strange:
        return []
    named = [f"{subject} ({_said(distance)})" for subject, distance in list(strange.items())[:_SHOWN]]
    more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
    return [
        f"{len(strange)} of {len(found)} stacks have another slice distance than the {low:g} to {high:g} mm "
        f"that this 3D model was trained on: {', '.join(named)}{more}; look at their masks, or use a 2D model"
    ]


def _said(distance: float) -> str:
    return "unknown" if math.isnan(distance) else f"{distance:.3g} mm"
