"""Structures that were not contoured cost nothing and are counted nowhere."""

import pytest
import torch
from torch.nn import functional as F

from cmrseg.losses import LOSSES, get_loss
from cmrseg.partial_labels import (
    FIRST_CODE,
    code_of,
    join_codes,
    merge_answers,
    merge_unknown,
    split_codes,
    unknown_classes,
)

MYO, RV = 2, 3


def targets_of(*images):
    return torch.tensor(images, dtype=torch.uint8)


def coded(plain, *unknown):
    """One-row images with codes for the classes that were not contoured in each."""
    return join_codes(plain, torch.tensor([code_of(classes) for classes in unknown]))


def test_a_code_tells_its_classes():
    codes = torch.tensor([code_of([]), code_of([RV]), code_of([1, MYO])])
    assert unknown_classes(codes, 4).tolist() == [
        [False] * 4,
        [False, False, False, True],
        [False, True, True, False],
    ]


def test_codes_stand_for_the_background_only_and_come_off_again():
    plain = targets_of([[0, 1, 2, 0]], [[0, 1, 2, 0]])
    both = coded(plain, [RV], [])
    assert both.tolist() == [[[FIRST_CODE + 4, 1, 2, FIRST_CODE + 4]], [[0, 1, 2, 0]]]
    again, codes = split_codes(both)
    assert torch.equal(again, plain)
    assert codes.tolist() == [FIRST_CODE + 4, 0]


def test_where_everything_is_known_nothing_changes():
    logits, targets = torch.randn(2, 4, 1, 4), targets_of([[0, 1, 2, 3]], [[0, 0, 1, 1]])
    same, plain = merge_unknown(logits, targets)
    assert same is logits
    assert torch.equal(plain, targets)


def test_probabilities_of_unknown_classes_are_added_to_the_background():
    logits = torch.randn(1, 4, 1, 2)
    merged, _ = merge_unknown(logits, coded(targets_of([[0, 1]]), [MYO, RV]))
    before, after = logits.softmax(1)[0, :, 0], merged.softmax(1)[0, :, 0]
    torch.testing.assert_close(after[0], before[[0, MYO, RV]].sum(0))
    torch.testing.assert_close(after[1], before[1])
    assert not after[[MYO, RV]].any()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_any_split_of_unknown_and_background_costs_the_same(name):
    targets = coded(targets_of([[0, 0, 1, 2]]), [RV])
    truth = F.one_hot(torch.tensor([[[0, 0, 1, 2]]]), 4).permute(0, 3, 1, 2) * 12.0
    painted = truth.clone()
    painted[0, [0, RV], 0, 1] = torch.tensor([0.0, 12.0])  # the second pixel is called RV
    costs = [get_loss(name)(*merge_unknown(logits, targets)).item() for logits in (truth, painted)]
    assert costs[0] == pytest.approx(costs[1], abs=1e-5)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_gradient_is_finite_and_lets_known_structures_learn(name):
    logits = torch.zeros(1, 4, 1, 4, requires_grad=True)
    get_loss(name)(*merge_unknown(logits, coded(targets_of([[0, 0, 1, 2]]), [RV]))).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 1, 0, 2] < 0


def test_an_unknown_answer_counts_as_background():
    answers, plain, unknown = merge_answers(
        torch.tensor([[[RV, 1, MYO]]]), coded(targets_of([[0, 1, 0]]), [RV]), 4
    )
    assert answers.tolist() == [[[0, 1, MYO]]]
    assert plain.tolist() == [[[0, 1, 0]]]
    assert unknown.tolist() == [[False, False, False, True]]
