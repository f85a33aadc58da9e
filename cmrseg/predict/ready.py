"""A network that is ready to be asked, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from cmrseg.zoo.model_file import ModelSpec

INSTALL = "install it with: pip install 'cmrseg[openvino]'"


@dataclass(frozen=True)
class Network:
    """A network that is ready to be asked.

    Attributes
    ----------
    spec
        Of the model.
    outputs
        From images ``(b, c, h, w)``, or ``(b, c, z, h, w)`` in 3D, to what the task of the model makes of its
        outputs, such as class probabilities; both ``float32``.
    workers
        How many threads may ask at a time.
    runtime
        What computes it, with its version and precision.
    members
        Of a regional model its networks by role; it is itself the baseline.
    """

    spec: ModelSpec
    outputs: Callable[[np.ndarray], np.ndarray]
    workers: int
    runtime: str
    members: Mapping[str, Network] = field(default_factory=dict)
