"""Masks that do not contour every structure of a model: what is unknown is neither taught nor counted.

Where a reader contoured the LV alone, a pixel outside of the contour may be background, myocardium or RV.
Such pixels carry a code from `FIRST_CODE` on, whose bits name the classes that they may also be. The
probabilities of these classes are added to that of the background before a loss or a score sees them.

References
----------
Shi et al., Medical Image Analysis 70:101979 (2021), doi:10.1016/j.media.2021.101979 (marginal loss).
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

FIRST_CODE = 64
PADDING = 255  # every pixel of a slice that only fills a stack up: all classes are unknown
_NEVER = -1e4  # a logit whose probability is 0, and whose product with 0 is no nan as that of -inf would be


def code_of(unknown: Collection[int]) -> int:
    """Code of the pixels without a contour in an image where some classes were not contoured.

    Parameters
    ----------
    unknown
        Numbers of these classes, 1 to 7; none gives 0, the background.
    """
    return FIRST_CODE + sum(1 << (number - 1) for number in unknown) if unknown else 0


def split_codes(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Class numbers ``(b, h, w)`` with background in place of codes, and the code of every image ``(b,)``."""
    coded = targets >= FIRST_CODE
    plain = targets.masked_fill(coded, 0)
    return plain, (targets * coded).flatten(1).amax(dim=1)


def join_codes(plain: Tensor, codes: Tensor) -> Tensor:
    """What `split_codes` took apart: the code of an image stands for its background."""
    return torch.where(plain == 0, codes[:, None, None].to(plain.dtype), plain)


def unknown_classes(codes: Tensor, classes: int) -> Tensor:
    """Which classes the codes ``(b,)`` name, ``bool`` ``(b, classes)``."""
    bits = (codes.long() - FIRST_CODE).clamp(min=0)
    numbers = torch.arange(classes, device=codes.device)
    return (bits[:, None] >> (numbers - 1).clamp(min=0)) & (numbers > 0) == 1


def merge_unknown(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Add the probabilities of unknown classes to that of the background.

    Parameters
    ----------
    logits
        Shape ``(b, c, h, w)``.
    targets
        Class numbers and codes, shape ``(b, h, w)``.

    Returns
    -------
    Logits of the same shape, where an unknown class has the probability 0, and targets without codes. Both
    are as they came where everything is known.
    """
    plain, codes = split_codes(targets)
    unknown = unknown_classes(codes, logits.shape[1])[:, :, None, None]
    if not unknown.any():
        return logits, plain
    logits = logits.float()
    background = unknown.clone()
    background[:, 0] = True
    merged = logits.masked_fill(~background, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.cat([merged, logits.masked_fill(unknown, _NEVER)[:, 1:]], dim=1), plain


def merge_answers(answers: Tensor, targets: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Answers in which unknown classes are background, so that pixels can be counted.

    Parameters
    ----------
    answers
        Most likely classes, shape ``(b, h, w)``.
    targets
        Class numbers and codes, shape ``(b, h, w)``.
    classes
        Number of classes.

    Returns
    -------
    Answers, targets without codes, and which classes are unknown, ``bool`` ``(b, classes)``.
    """
    plain, codes = split_codes(targets)
    unknown = unknown_classes(codes, classes)
    hidden = unknown.gather(1, answers.flatten(1)).view_as(answers)
    return answers.masked_fill(hidden, 0), plain, unknown
