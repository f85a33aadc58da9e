"""A cine before a network: which images it is shown at a time, flipped in which ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cmrseg.cine import Cine
from cmrseg.data.augment import ONCE, Flips
from cmrseg.parallel import Progress, Threads
from cmrseg.preprocess import WHOLE, Box, NetworkImages, network_images, network_input
from cmrseg.tasks.options import Options


class Network(Protocol):
    """A network that is ready to be asked, see `cmrseg.predict.Network`."""

    @property
    def spec(self) -> Any:
        """Description of the model."""

    @property
    def outputs(self) -> Callable[[np.ndarray], np.ndarray]:
        """What it answers to images."""

    @property
    def workers(self) -> int:
        """How many may ask at a time."""

    @property
    def members(self) -> Mapping[str, Network]:
        """Of a regional model its networks by role."""


@dataclass(frozen=True)
class Asked:
    """A cine as a network is shown it.

    Attributes
    ----------
    cine
        Intensities.
    images
        On the network's grid.
    network
        Who is asked.
    flips
        In which ways every image is shown.
    """

    cine: Cine
    images: NetworkImages
    network: Network
    flips: Flips = ONCE

    def votes(self, rows: np.ndarray, box: Box = WHOLE) -> list[np.ndarray]:
        """Outputs for some images, one array for each flip; what lies on pixels is flipped back."""
        image = network_input(self.images, rows, box)
        votes = []
        for flip in self.flips:
            outputs = self.network.outputs(np.flip(image, flip).copy())
            votes.append(np.flip(outputs, flip) if outputs.ndim == image.ndim else outputs)
        return votes

    def batches(self, rows: np.ndarray, batch_size: int) -> list[np.ndarray]:
        """Images in batches of nearly equal size and so many slices, one for every worker if possible."""
        images = max(1, batch_size // self.images.depth)
        n = max(-(-len(rows) // images), min(self.network.workers, len(rows)))
        return np.array_split(rows, n)


def ask(cine: Cine, network: Network, options: Options) -> Asked:
    """A cine before a network, flipped in the ways that its training taught."""
    spec = network.spec
    images = network_images(cine, spec.preprocessing, dims=spec.dims)
    return Asked(cine, images, network, spec.flips if options.flips else ONCE)


def outputs_of_images(
    cine: Cine, network: Network, options: Options, progress: Progress | None = None
) -> np.ndarray:
    """What a network says of every image of a cine, mean over its flips.

    Parameters
    ----------
    cine
        Intensities ``(x, y, z, t)``.
    network
        From `cmrseg.predict.open_network`.
    options
        Of them batch size and flips are used.
    progress
        Told after every batch.

    Returns
    -------
    Array ``(n, ...)``: in 2D ``n`` is ``t * z``, slices of one frame side by side; in 3D it is ``t``.
    """
    asked = ask(cine, network, options)
    batches = asked.batches(np.arange(len(asked.images.table)), options.batch_size)
    means = []
    with Threads(network.workers, "the network's answer to some images") as pool:
        for done, votes in enumerate(pool.map(asked.votes, batches), start=1):
            means.append(sum(votes[1:], votes[0]) / len(votes))
            if progress:
                progress(done, len(batches))
    return np.concatenate(means)
