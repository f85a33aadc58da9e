"""Losses against their closed forms."""

import math

import pytest
import torch
from fastai.torch_core import TensorImage, TensorMask

from cmrseg.losses import (
    LOSSES,
    batch_generalised_dice,
    cross_entropy,
    focal,
    generalised_dice,
    get_loss,
    hybrid,
    log_dice,
    soft_dice,
)
from cmrseg.partial_labels import PADDING
from cmrseg.tasks.segmentation.training import SegmentationLoss

CLASSES = 4


@pytest.fixture
def targets():
    return torch.arange(CLASSES).repeat_interleave(4).view(1, 4, 4)


def certain(labels):
    """Logits that leave no doubt about these labels."""
    return 50.0 * torch.nn.functional.one_hot(labels, CLASSES).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", LOSSES)
def test_perfect_mask_costs_nothing(name, targets):
    assert get_loss(name)(certain(targets), targets).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_wrong_mask_costs_more_than_an_undecided_one(name, targets):
    undecided = get_loss(name)(torch.zeros(1, CLASSES, 4, 4), targets)
    assert get_loss(name)(certain((targets + 1) % CLASSES), targets) > undecided > 0


@pytest.mark.parametrize("name", LOSSES)
def test_fastai_tensors_and_bfloat16_are_accepted(name, targets):
    torch.manual_seed(0)
    logits = torch.randn(1, CLASSES, 4, 4).bfloat16()
    loss = get_loss(name)(TensorImage(logits), TensorMask(targets.to(torch.uint8)))
    assert type(loss) is torch.Tensor
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, get_loss(name)(logits.float(), targets))


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_finite_where_a_class_is_absent(name):
    logits = torch.zeros(2, CLASSES, 4, 4, requires_grad=True)
    get_loss(name)(logits, torch.zeros(2, 4, 4, dtype=torch.long)).backward()
    assert logits.grad.isfinite().all()


def test_cross_entropy_of_no_opinion_is_the_log_of_the_classes(targets):
    assert cross_entropy(torch.zeros(1, CLASSES, 4, 4), targets).item() == pytest.approx(math.log(CLASSES))


def test_class_weights_select_the_classes_that_count(targets):
    logits = certain(targets.clamp(max=2))  # class 3 is called 2, the rest is right
    assert cross_entropy(logits, targets, class_weights=(1, 1, 1, 0)).item() == pytest.approx(0, abs=1e-6)
    assert cross_entropy(logits, targets, class_weights=(0, 0, 0, 1)).item() == pytest.approx(50)


def test_focal_without_focus_is_the_cross_entropy(targets):
    torch.manual_seed(0)
    logits = torch.randn(1, CLASSES, 4, 4)
    torch.testing.assert_close(focal(logits, targets, gamma=0.0), cross_entropy(logits, targets))


def test_focal_scales_cross_entropy_by_the_remaining_doubt(targets):
    doubt = 1 - 1 / CLASSES
    loss = focal(torch.zeros(1, CLASSES, 4, 4), targets)
    assert loss.item() == pytest.approx(doubt**2 * math.log(CLASSES))


def test_soft_dice_of_half_overlap(targets):
    shifted = certain(targets.roll(2, dims=2))  # rows of one label: nothing changes along them
    torch.testing.assert_close(soft_dice(shifted, targets, smooth=0.0), torch.ones(CLASSES))
    half = targets.clone()
    half[0, 1, :2] = 0  # class 1 keeps 2 of 4 pixels: 2 * 2 / (2 + 4)
    assert soft_dice(certain(half), targets, smooth=0.0)[1].item() == pytest.approx(2 / 3)


def test_log_dice_without_overlap_is_log_2(targets):
    loss = log_dice(certain((targets + 1) % CLASSES), targets, smooth=0.0)
    assert loss.item() == pytest.approx(math.log(2))


def test_log_dice_weights_its_classes(targets):
    half = targets.clone()
    half[0, 1, :2] = 0
    loss = log_dice(certain(half), targets, class_weights=(0, 2, 0, 0), smooth=0.0)
    assert loss.item() == pytest.approx(2 * math.log(2 - 2 / 3))


def test_a_perfect_mask_has_a_dice_of_1_and_not_of_a_half_as_in_the_posters_formula(targets):
    truth = torch.nn.functional.one_hot(targets, CLASSES).float()
    printed = (truth * truth).sum(dim=(0, 1, 2)) / (truth + truth).sum(dim=(0, 1, 2))
    assert torch.log(2 - printed).mean().item() == pytest.approx(math.log(1.5))
    assert log_dice(certain(targets), targets).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("volume", [False, True])
@pytest.mark.parametrize("name", ["CE", "logDICE", "hybrid", "hybridlog"])
def test_weighted_losses_have_their_closed_form_in_2d_and_3d(name, volume):
    """Class 1 of 2 pixels is undecided (p = 1/2 of 0 and 1), classes 0 and 2 of 4 and 2 are certain."""
    targets = torch.tensor([[0, 0, 0, 0], [1, 1, 2, 2]])[None]
    logits = 50.0 * torch.nn.functional.one_hot(targets, 3).permute(0, 3, 1, 2)
    logits[:, 0][targets == 1] = 50.0
    weights = (0.2, 0.5, 0.3)
    ce = 0.5 * 2 * math.log(2) / (0.2 * 4 + 0.5 * 2 + 0.3 * 2)
    dice = ((2 * 4 + 1) / (5 + 4 + 1), (2 * 1 + 1) / (1 + 2 + 1), 1)
    log = sum(w * math.log(2 - d) for w, d in zip(weights, dice, strict=True))
    plain = 0.5 * (1 - dice[1]) / (0.5 + 0.3)
    expected = {"CE": ce, "logDICE": log, "hybrid": ce + plain, "hybridlog": ce + log}[name]
    loss = SegmentationLoss(name, weights)
    if volume:  # as two slices, and one that only fills the stack up
        logits, targets = (
            torch.stack([t[..., :2], t[..., 2:], t[..., 2:]], dim=-3) for t in (logits, targets)
        )
        targets[:, 2] = PADDING
    assert loss(logits, targets).item() == pytest.approx(expected, abs=1e-5)


def test_equal_weights_are_none():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, CLASSES, 8, 8), torch.randint(0, CLASSES, (2, 8, 8))
    for name in ("CE", "logDICE", "hybrid", "hybridlog"):
        torch.testing.assert_close(
            get_loss(name, (0.25,) * CLASSES)(logits, targets), get_loss(name)(logits, targets)
        )


def test_a_loss_that_weighs_its_classes_itself_takes_no_weights():
    with pytest.raises(
        ValueError, match="loss DICE takes no class_weights; CE, logDICE, hybrid, hybridlog do"
    ):
        get_loss("DICE", (1, 1, 1, 1))


def test_generalised_dice_weighs_the_classes_of_every_image_as_the_authors():
    targets = torch.tensor([[[0, 0, 0, 1]], [[0, 0, 1, 1]]])  # 3 + 1 and 2 + 2 pixels
    undecided = torch.zeros(2, 2, 1, 4)  # a probability of 1/2: overlap n/2, size 2 + n
    first = 1 - 2 * (1.5 / 9 + 0.5 / 1) / (5 / 9 + 3 / 1)
    second = 1 - 2 * (1 / 4 + 1 / 4) / (4 / 4 + 4 / 4)
    expected = pytest.approx((first + second) / 2, abs=1e-4)
    assert generalised_dice(undecided, targets).item() == expected
    whole = 1 - 2 * (2.5 / 25 + 1.5 / 9) / ((4 + 5) / 25 + (4 + 3) / 9)
    assert batch_generalised_dice(undecided, targets).item() == pytest.approx(whole, abs=1e-4)


def test_a_slice_without_a_structure_teaches_with_batch_weights_only():
    targets = torch.tensor([[[0, 0, 0, 0]], [[0, 0, 1, 1]]])
    for loss, teaches in ((generalised_dice, False), (batch_generalised_dice, True)):
        logits = torch.zeros(2, 2, 1, 4, requires_grad=True)
        loss(logits, targets).backward()
        assert (logits.grad[0].abs().max().item() > 1e-3) is teaches
        assert logits.grad[1].abs().max() > 1e-3


def test_hybrid_is_the_weighted_sum_of_its_terms(targets):
    torch.manual_seed(0)
    logits = torch.randn(1, CLASSES, 4, 4)
    expected = 0.5 * cross_entropy(logits, targets) + 2 * log_dice(logits, targets)
    torch.testing.assert_close(hybrid(logits, targets, log=True, dice_weight=2.0, ce_weight=0.5), expected)


def test_unknown_loss_names_near_matches():
    with pytest.raises(ValueError, match=r"unknown loss 'logdice'; did you mean .*logDICE"):
        get_loss("logdice")


def test_wrong_shapes_and_weights_are_refused(targets):
    with pytest.raises(ValueError, match=r"targets \(b, h, w\), got \(1, 4, 4, 4\) and \(1, 1, 4, 4\)"):
        cross_entropy(certain(targets), targets[None])
    with pytest.raises(ValueError, match="class_weights must hold 4 numbers"):
        cross_entropy(certain(targets), targets, class_weights=(1, 2))
