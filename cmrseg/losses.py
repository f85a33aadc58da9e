"""Segmentation losses by the names that recipes use: CE, focal, DICE, batchDICE, logDICE, hybrid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature

import torch
from monai.losses import DiceLoss, FocalLoss, GeneralizedDiceLoss
from torch import Tensor
from torch.nn import functional as F

from cmrseg.labels import near_matches

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor, *, class_weights: Sequence[float] | None = None) -> Tensor:
    """Cross entropy, averaged over pixels.

    Parameters
    ----------
    logits
        Shape ``(b, c, h, w)``, any floating type; computed in float32.
    targets
        Label ids, integers of shape ``(b, h, w)``.
    class_weights
        One weight per class, background included; all 1 when None.

    Returns
    -------
    Scalar loss.

    Raises
    ------
    ValueError
        If the shapes, or the number of weights, do not belong together.
    """
    logits, targets = _plain(logits, targets)
    return F.cross_entropy(logits, targets, weight=_weights(class_weights, logits))


def focal(logits: Tensor, targets: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Focal loss over all classes, averaged over pixels: easy pixels count less.

    Parameters
    ----------
    logits
        Shape ``(b, c, h, w)``.
    targets
        Label ids, shape ``(b, h, w)``.
    gamma
        Focusing exponent; 0 gives the cross entropy.

    Returns
    -------
    Scalar loss.

    References
    ----------
    Lin et al., ICCV 2017, doi:10.1109/ICCV.2017.324.
    """
    logits, targets = _plain(logits, targets)
    # MONAI averages over classes too, where all but the true one are 0.
    loss = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=gamma)(logits, targets[:, None])
    return loss * logits.shape[1]


def generalised_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Generalised Dice loss as the authors trained with: classes weighted by their size in every image.

    A weight is the inverse square of the pixels of a class. For a class that an image does not show it is
    1e20, so that the loss of this image is 1 with hardly any gradient: slices without a structure teach
    nothing. The paper's networks were trained so, and it is what DICE in a recipe means;
    `batch_generalised_dice` does not have this weakness.

    Parameters
    ----------
    logits
        Shape ``(b, c, h, w)``.
    targets
        Label ids, shape ``(b, h, w)``.

    Returns
    -------
    Scalar loss in [0, 1], mean over images.

    References
    ----------
    Sudre et al., DLMIA 2017, doi:10.1007/978-3-319-67558-9_28; weights and constants as in
    ``code/kaggle/train_fastai_segmentation.py`` of github.com/chfc-cmi/cmr-seg-tl.
    """
    logits, targets = _plain(logits, targets)
    probabilities = logits.softmax(dim=1).flatten(2)
    truth = F.one_hot(targets, logits.shape[1]).permute(0, 3, 1, 2).flatten(2)
    weights = (truth.sum(dim=2) + 1e-10) ** -2.0
    overlap = (weights * (probabilities * truth).sum(dim=2)).sum(dim=1)
    sizes = (weights * (probabilities + truth).sum(dim=2)).sum(dim=1)
    return (1 - 2 * (overlap + 1e-5) / (sizes + 1e-5)).mean()


def batch_generalised_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Generalised Dice loss: classes weighted by the inverse square of their size in the batch.

    A class that a slice does not show is mostly in another slice of the batch, so that all slices teach.

    Parameters
    ----------
    logits
        Shape ``(b, c, h, w)``.
    targets
        Label ids, shape ``(b, h, w)``.

    Returns
    -------
    Scalar loss in [0, 1].

    References
    ----------
    Sudre et al., DLMIA 2017, doi:10.1007/978-3-319-67558-9_28.
    """
    logits, targets = _plain(logits, targets)
    return GeneralizedDiceLoss(to_onehot_y=True, softmax=True, batch=True)(logits, targets[:, None])


def log_dice(
    logits: Tensor, targets: Tensor, *, class_weights: Sequence[float] | None = None, smooth: float = 1.0
) -> Tensor:
    """Log-Dice loss ``sum_i w_i log(2 - dice_i)``, the overlap taken over the whole batch.

    The poster prints the overlap without the factor 2 of Dice, ``sum t p / sum (t + p)``: a perfect mask
    would have 1/2 and cost log 1.5. Here it has a Dice of 1 and costs nothing.

    Parameters
    ----------
    logits
        Shape ``(b, c, h, w)``.
    targets
        Label ids, shape ``(b, h, w)``.
    class_weights
        One weight per class, background included; the mean over classes when None.
    smooth
        Pixels added to numerator and denominator; a class absent from both costs nothing.

    Returns
    -------
    Scalar loss, 0 for a perfect mask, ``log 2`` for no overlap when the weights sum to 1.

    References
    ----------
    Patravali, Jain, Chilamkurthy, STACOM 2017, doi:10.1007/978-3-319-75541-0_14.
    """
    logits, targets = _plain(logits, targets)
    scores = soft_dice(logits, targets, smooth=smooth)
    weights = _weights(class_weights, logits)
    losses = torch.log(2 - scores)
    return losses.mean() if weights is None else (weights * losses).sum()


def soft_dice(logits: Tensor, targets: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Soft Dice score of every class over the whole batch.

    Parameters
    ----------
    logits
        Shape ``(b, c, h, w)``.
    targets
        Label ids, shape ``(b, h, w)``.
    smooth
        Pixels added to numerator and denominator.

    Returns
    -------
    Scores in [0, 1], shape ``(c,)``.
    """
    logits, targets = _plain(logits, targets)
    probabilities = logits.softmax(dim=1)
    truth = F.one_hot(targets, logits.shape[1]).permute(0, 3, 1, 2)
    pixels = (0, 2, 3)
    overlap = (probabilities * truth).sum(dim=pixels)
    sizes = probabilities.sum(dim=pixels) + truth.sum(dim=pixels)
    return (2 * overlap + smooth) / (sizes + smooth)


def hybrid(
    logits: Tensor,
    targets: Tensor,
    *,
    log: bool = False,
    dice_weight: float = 1.0,
    ce_weight: float = 1.0,
    class_weights: Sequence[float] | None = None,
) -> Tensor:
    """Cross entropy plus a Dice loss.

    Parameters
    ----------
    logits
        Shape ``(b, c, h, w)``.
    targets
        Label ids, shape ``(b, h, w)``.
    log
        Use `log_dice` of all classes instead of ``1 - dice`` of the structures.
    dice_weight, ce_weight
        Weights of the two terms.
    class_weights
        One weight per class, background included, of both terms.

    Returns
    -------
    Scalar loss.

    References
    ----------
    Patravali, Jain, Chilamkurthy, STACOM 2017, doi:10.1007/978-3-319-75541-0_14 (with ``log``).
    """
    dice = log_dice if log else dice_of_structures
    ce = cross_entropy(logits, targets, class_weights=class_weights)
    return ce_weight * ce + dice_weight * dice(logits, targets, class_weights=class_weights)


def dice_of_structures(
    logits: Tensor, targets: Tensor, *, class_weights: Sequence[float] | None = None
) -> Tensor:
    """``1 - dice`` averaged over the classes but background, over the whole batch.

    Parameters
    ----------
    logits
        Shape ``(b, c, h, w)``.
    targets
        Label ids, shape ``(b, h, w)``.
    class_weights
        One weight per class; that of the background has no part in the average.

    Returns
    -------
    Scalar loss in [0, 1].
    """
    logits, targets = _plain(logits, targets)
    weights = _weights(class_weights, logits)
    loss = DiceLoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        batch=True,
        smooth_nr=1.0,
        smooth_dr=1.0,
        weight=None if weights is None else weights[1:] / weights[1:].mean(),
    )
    return loss(logits, targets[:, None])


LOSSES: dict[str, Callable[..., Tensor]] = {
    "CE": cross_entropy,
    "focal": focal,
    "DICE": generalised_dice,
    "batchDICE": batch_generalised_dice,
    "logDICE": log_dice,
    "hybrid": hybrid,
    "hybridlog": partial(hybrid, log=True),
}


NUMBER_LOSSES: dict[str, Loss] = {"MSE": F.mse_loss}  # of numbers, which are no classes of pixels


def get_loss(name: str, class_weights: Sequence[float] | None = None) -> Loss:
    """Loss by the name that a recipe uses.

    Parameters
    ----------
    name
        Key of `LOSSES`.
    class_weights
        One weight per class, background included; all classes count alike when None.

    Returns
    -------
    Function of logits ``(b, c, h, w)`` and label ids ``(b, h, w)``, giving a scalar.

    Raises
    ------
    ValueError
        If there is no such loss (near matches are named), or it takes no weights.
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss '{name}'; {near_matches(name, list(LOSSES))}")
    if class_weights is None:
        return LOSSES[name]
    if name not in (weighted := [key for key, loss in LOSSES.items() if takes_weights(loss)]):
        raise ValueError(f"the loss {name} takes no class_weights; {', '.join(weighted)} do")
    loss: Callable[..., Tensor] = LOSSES[name]
    return partial(loss, class_weights=class_weights)


def takes_weights(loss: Loss) -> bool:
    """Whether the classes of a loss can be weighted."""
    return "class_weights" in signature(loss).parameters


def _plain(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 logits and long targets, both plain tensors: fastai's subclasses do not mix."""
    logits, targets = logits.as_subclass(Tensor).float(), targets.as_subclass(Tensor).long()
    if logits.ndim != 4 or targets.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            "logits must be (b, c, h, w) and targets (b, h, w), "
            f"got {tuple(logits.shape)} and {tuple(targets.shape)}"
        )
    return logits, targets


def _weights(class_weights: Sequence[float] | None, logits: Tensor) -> Tensor | None:
    """One weight per class as a tensor beside the logits."""
    if class_weights is None:
        return None
    if len(class_weights) != logits.shape[1]:
        raise ValueError(f"class_weights must hold {logits.shape[1]} numbers, got {tuple(class_weights)}")
    return logits.new_tensor(class_weights)
