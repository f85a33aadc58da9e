"""From the outputs of a network to indices in mm and mm2 and the probability of systole."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cmrseg.metrics.index_errors import PHASE
from cmrseg.tasks.quantification.scale import ranges


def decoded(outputs: Tensor, labels: Sequence[str]) -> Tensor:
    """Answers ``(..., labels)`` from outputs; the phase has two, diastole and systole, behind the indices."""
    if PHASE not in labels:
        return outputs * outputs.new_tensor(ranges(labels))
    indices = outputs[..., :-2] * outputs.new_tensor(ranges(labels)[:-1])
    return torch.cat([indices, outputs[..., -2:].softmax(dim=-1)[..., 1:]], dim=-1)


class Decoded(nn.Module):
    """`decoded` as the closing layer of a network.

    Parameters
    ----------
    labels
        What the network answers.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self.labels = tuple(labels)

    def forward(self, outputs: Tensor) -> Tensor:
        """Answers."""
        return decoded(outputs, self.labels)
