"""How masks are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pieces = Literal["heart", "largest", "all"]
Runtime = Literal["auto", "torch", "openvino"]


@dataclass(frozen=True)
class Options:
    """How masks are made.

    Attributes
    ----------
    batch_size
        Images per forward pass.
    flips
        Average the probabilities over the flips that the model was trained with: four for s3.
    pieces
        What stays of a mask: ``heart`` (one heart, see `cmrseg.tasks.segmentation.one_heart`), ``largest``
        (the largest connected piece of every structure in every frame, in 3D) or ``all``.
    bf16
        Compute in bfloat16 where the processor has it.
    resume
        Keep the masks that are already there.
    heart_crop
        Of a cine (more than two frames), show the network only the surroundings of the heart, which is
        found in the first frame; a part is widened where the heart comes near its edge.
    runtime
        What computes the network: ``torch``, ``openvino`` (on the processor, from a copy that is converted
        once), or ``auto``: OpenVINO for a model of the zoo where it is installed and there is no NVIDIA GPU.
    """

    batch_size: int = 16
    flips: bool = True
    pieces: Pieces = "heart"
    bf16: bool = True
    resume: bool = False
    heart_crop: bool = True
    runtime: Runtime = "auto"


# One pass over the whole image, and the mask as the network gives it (Ankenbrand et al. 2021).
AS_PUBLISHED = Options(flips=False, pieces="all", heart_crop=False)


def prediction_options(*, as_published: bool) -> Options:
    """How masks are made by default, or as the paper's were."""
    return AS_PUBLISHED if as_published else Options()
