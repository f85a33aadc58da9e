"""Segmentation as a task: its scores, on numbers that can be worked out by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cmrseg.tasks import get_task
from cmrseg.tasks.segmentation.training import DiceByStructure


def count(callback, truth, predicted):
    """Show one validation batch of two classes or more."""
    logits = nn.functional.one_hot(torch.tensor(predicted), callback.classes).permute(0, 3, 1, 2).float()
    targets = torch.tensor(truth, dtype=torch.uint8)
    callback.learn = SimpleNamespace(training=False, yb=(targets,), pred=logits)
    callback.after_batch()


def test_dice_from_counts_of_all_batches():
    callback = DiceByStructure(["BACKGROUND", "LV", "MYO"])
    count(callback, [[[1, 1, 2, 0]]], [[[1, 0, 2, 2]]])
    count(callback, [[[1, 0, 0, 0]]], [[[1, 1, 0, 0]]])
    assert callback.dice(1) == pytest.approx(2 * 2 / (3 + 3))
    assert callback.dice(2) == pytest.approx(2 * 1 / (1 + 2))


def test_a_structure_absent_from_both_has_dice_one():
    callback = DiceByStructure(["BACKGROUND", "LV", "MYO"])
    count(callback, [[[1, 0]]], [[[1, 0]]])
    assert callback.dice(2) == 1.0


def test_training_batches_are_not_counted_and_every_validation_begins_anew():
    callback = DiceByStructure(["BACKGROUND", "LV"])
    count(callback, [[[1, 1]]], [[[0, 0]]])
    callback.learn.training = True
    callback.after_batch()
    assert callback.counts.sum() == 2
    callback.before_validate()
    assert callback.counts.sum() == 0


def test_scores_per_image_are_averaged_over_images():
    callback = DiceByStructure(["BACKGROUND", "LV", "MYO"])
    count(callback, [[[1, 1, 2, 0]], [[0, 0, 0, 0]]], [[[1, 0, 2, 2]], [[0, 0, 0, 0]]])
    scores = callback.details()
    assert scores == pytest.approx(
        {
            "accuracy": (2 / 4 + 1) / 2,
            "image_dice_LV": (2 / 3 + 1) / 2,
            "image_dice_MYO": (2 / 3 + 1) / 2,
            "image_dice_heart": (2 * 2 / (3 + 3) + 1) / 2,
        }
    )


def test_the_heart_is_all_structures_together():
    callback = DiceByStructure(["BACKGROUND", "LV", "MYO"])
    count(callback, [[[1, 1, 2, 0]]], [[[2, 2, 1, 0]]])
    scores = callback.details()
    assert (scores["image_dice_heart"], scores["image_dice_LV"]) == (1.0, 0.0)


def test_there_is_a_metric_for_every_structure_but_background():
    counts = DiceByStructure(["BACKGROUND", "LV", "RV"])
    count(counts, [[[1, 2]]], [[[1, 0]]])
    assert [(m.name, m.value) for m in counts.metrics] == [("dice_LV", 1.0), ("dice_RV", 0.0)]
    assert counts.scores() == {"dice_LV": 1.0, "dice_RV": 0.0}


def test_the_mean_of_the_known_structures_chooses_the_epoch():
    task = get_task("segmentation")
    assert task.score({"dice_LV": 0.9, "dice_MYO": 0.7, "dice_RV": float("nan"), "lr": 1.0}) == pytest.approx(
        0.8
    )
    assert task.score({"dice_LV": float("nan")}) == 0.0


def test_an_unknown_task_names_those_that_are_known():
    with pytest.raises(ValueError, match="unknown task 'segment'; did you mean segmentation"):
        get_task("segment")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("LV", "MYO"), "BACKGROUND and then structures"),
        (("BACKGROUND",), "BACKGROUND and then structures"),
        (("BACKGROUND", "LV", "LV"), "each once"),
        (("BACKGROUND", "LA"), "segments LA, which this cmrseg"),
    ],
)
def test_outputs_without_a_meaning_are_refused(labels, said):
    with pytest.raises(ValueError, match=said):
        get_task("segmentation").check_labels(labels)
