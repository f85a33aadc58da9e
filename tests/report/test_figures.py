"""What the figures draw: counted artists, not pixels."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.labels import Label
from cmrseg.report.figures import (
    COLOURS,
    Example,
    bland_altman_figure,
    dice_figure,
    learning_curve_figure,
    overlay_figure,
    png_bytes,
)

PNG_HEADER = b"\x89PNG\r\n\x1a\n"


def example(truth=True, dice=0.9):
    mask = np.zeros((40, 30), np.uint8)
    mask[10:20, 10:20] = Label.MYO
    mask[12:18, 12:18] = Label.LV
    image = np.random.default_rng(0).random((40, 30))
    return Example(image, np.roll(mask, 1, 0), mask if truth else None, "p1", "ED", 3, dice, "best")


def history(**columns):
    return pd.DataFrame({"epoch": [0, 1, 2], "stage": ["a", "a", "b"], "lr": [1e-3, 1e-3, 1e-4], **columns})


def metrics():
    rows = [("p1", f, s, "dice", v, "1") for f, v in ((1, 0.9), (12, 0.8)) for s in ("LV", "MYO")]
    return pd.DataFrame(rows, columns=["subject", "frame", "structure", "metric", "value", "unit"])


def test_every_structure_is_contoured_in_truth_and_prediction():
    (ax,) = overlay_figure([example()]).axes
    assert len(ax.collections) == 4
    assert ax.get_title() == "best: p1\nED, slice 3, Dice 0.90"


def test_an_image_without_truth_has_the_prediction_only():
    (ax,) = overlay_figure([example(truth=False, dice=float("nan"))]).axes
    assert len(ax.collections) == 2
    assert ax.get_title() == "best: p1\nED, slice 3"


def test_panels_without_an_image_are_empty():
    axes = overlay_figure([example()] * 4).axes
    assert len(axes) == 6
    assert not axes[5].images


@pytest.mark.parametrize("count", [1, 3, 4, 8])
@pytest.mark.parametrize("shape", [(40, 40), (60, 40), (40, 60)])
def test_overlays_fill_their_figure(count, shape):
    """Titles and legend lie inside, and nothing but the legend below the images."""
    blank = np.zeros(shape, np.uint8)
    blank[0, :3] = Label.LV
    blank[-1, -1] = Label.MYO
    shown = Example(np.zeros(shape), blank, blank, "p1", "ED", 0, 0.5, "best")
    figure = overlay_figure([shown] * count, columns=4)
    png_bytes(figure, dpi=100)
    inside = figure.bbox.padded(1)
    boxes = [ax.title.get_window_extent() for ax in figure.axes if ax.images]
    (legend,) = (each.get_window_extent() for each in figure.legends)
    assert all(inside.contains(*corner) for box in [*boxes, legend] for corner in (box.min, box.max))
    lowest = min(ax.get_window_extent().y0 for ax in figure.axes if ax.images)
    assert 0 <= lowest - legend.y1 < 0.25 * 100  # inches times dpi


def test_overlays_need_an_example():
    with pytest.raises(ValueError, match="at least one image"):
        overlay_figure([])


def test_an_empty_mask_shows_the_whole_image():
    blank = np.zeros((40, 30), np.uint8)
    (ax,) = overlay_figure([Example(np.zeros((40, 30)), blank, blank, "p1", "", 0)]).axes
    assert ax.images[0].get_array().shape == (30, 40)


def test_dice_has_one_box_per_structure_and_phase():
    (ax,) = dice_figure(metrics(), {("p1", 1): "ED", ("p1", 12): "ES"}).axes
    assert len(ax.patches) == 4
    assert [t.get_text() for t in ax.get_xticklabels()] == ["LV", "MYO"]


def test_bland_altman_draws_bias_and_limits():
    figure = bland_altman_figure([101.0, 99, 103], [100.0, 100, 100], name="EDV", unit="ml")
    (ax,) = figure.axes
    assert "n = 3" in ax.get_title()
    assert [t.get_text().split("\n")[0] for t in ax.texts] == ["bias", "-1.96 sd", "+1.96 sd"]
    assert ax.texts[0].get_text().endswith("+1.0 ml")


def test_bland_altman_of_one_subject_has_a_bias_only():
    (ax,) = bland_altman_figure([101.0], [100.0], name="EDV", unit="ml").axes
    assert len(ax.texts) == 1


def test_bland_altman_of_equal_values_is_one_line():
    (ax,) = bland_altman_figure([100.0, 120], [100.0, 120], name="EDV", unit="ml").axes
    assert [t.get_text() for t in ax.texts] == ["bias\n+0.0 ml"]
    assert ax.get_ylim()[0] <= -1


def test_learning_curves_leave_out_what_is_missing():
    data = history(train_loss=[3.0, 2, 1], dice_LV=[0.1, 0.2, 0.3], dice_RV=[np.nan] * 3)
    loss, dice, rate = learning_curve_figure(data).axes
    assert [line.get_label() for line in loss.lines if line.get_marker() == "."] == ["training"]
    assert [line.get_label() for line in dice.lines if line.get_marker() == "."] == ["LV"]
    assert len(rate.lines) == 2  # the rate, and where stage b begins


def test_structures_have_colours_of_their_own():
    assert set(COLOURS) == {Label.LV, Label.MYO, Label.RV}
    assert len(set(COLOURS.values())) == 3


def test_png_is_the_same_every_time():
    first, second = (png_bytes(learning_curve_figure(history()), dpi=40) for _ in range(2))
    assert first.startswith(PNG_HEADER)
    assert first == second


def test_names_with_dollars_are_text_and_no_formulas():
    shown = example()
    figure = overlay_figure(
        [Example(shown.image, shown.predicted, shown.truth, r"a$\frac$", "ED", 3, 0.9, "x")]
    )
    assert png_bytes(figure).startswith(PNG_HEADER)
