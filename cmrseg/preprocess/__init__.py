"""From a cine on its native grid to the images a network sees, and from its answer exactly back.

The preprocessing is part of the model file: grey values to [0, 1], pixels of one size or images of one
size, the whole field padded to what the network can halve, neighbouring slices or three equal channels.
Network images have rows ``h`` along y and columns ``w`` along x, as a radiologist sees them.
"""

from cmrseg.preprocess.grid import (
    WHOLE,
    Box,
    mask_to_slices,
    most_likely,
    network_shape,
    padded_shape,
    restore,
    to_slices,
    to_unit_range,
)
from cmrseg.preprocess.network_input import (
    NetworkImages,
    by_slice,
    neighbour_table,
    network_images,
    network_input,
    normalise,
)
from cmrseg.preprocess.spec import DIVISOR, IMAGENET_MEAN, IMAGENET_SD, Preprocessing

__all__ = [
    "DIVISOR",
    "IMAGENET_MEAN",
    "IMAGENET_SD",
    "WHOLE",
    "Box",
    "NetworkImages",
    "Preprocessing",
    "by_slice",
    "mask_to_slices",
    "most_likely",
    "neighbour_table",
    "network_images",
    "network_input",
    "network_shape",
    "normalise",
    "padded_shape",
    "restore",
    "to_slices",
    "to_unit_range",
]
