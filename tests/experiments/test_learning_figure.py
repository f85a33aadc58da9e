"""What the figure of learning curves shows."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.experiments.curves import LOG_COLUMNS
from cmrseg.experiments.learning_figure import ESED_COLOUR, learning_figure

IMAGES = {"full": 40, "v3": 20, "r3": 20, "esed": 10, "r_esed": 10, "v1": 5}


def make_log(starts=("R", "TL2"), subsets=IMAGES, seeds=(0,), top=0.9):
    runs = []
    for start in starts:
        for subset in subsets:
            for seed in seeds:
                seen = np.arange(IMAGES[subset], 401, IMAGES[subset])
                dice = top - 0.8 * np.exp(-seen / 50) - 0.01 * seed
                run = pd.DataFrame({"images_seen": seen, "dice_LV": dice, "dice_MYO": dice - 0.1})
                tags = {"start": start, "subset": subset, "seed": seed, "images": IMAGES[subset]}
                runs.append(run.assign(epoch=range(len(run)), **tags))
    return pd.concat(runs, ignore_index=True).reindex(columns=list(LOG_COLUMNS))


def test_a_panel_per_structure_and_start_with_a_line_per_subset():
    axes = learning_figure(make_log()).axes
    assert [len(ax.lines) for ax in axes] == [6] * 4
    assert [ax.get_title() for ax in axes[:2]] == ["R: random weights", "TL²: pretrained on cine"]
    assert [axes[0].get_ylabel(), axes[2].get_ylabel()] == ["LV Dice (validation)", "MYO Dice (validation)"]


def test_random_images_are_dotted_in_the_colour_of_their_twin():
    lines = learning_figure(make_log(["R"])).axes[0].lines
    full, v3, r3, esed, r_esed, v1 = lines[::-1]
    assert v3.get_color() == r3.get_color()
    assert esed.get_color() == r_esed.get_color() == ESED_COLOUR
    assert len({line.get_color() for line in (full, v3, esed, v1)}) == 4
    assert [line.is_dashed() for line in (full, v3, r3, esed, r_esed, v1)] == [0, 0, 1, 0, 1, 0]


def test_the_legend_names_sizes_once_and_both_styles():
    (legend,) = learning_figure(make_log()).legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [
        "full set (40 images)",
        "3 subjects (20 images)",
        "ED + ES of all (10 images)",
        "1 subject (5 images)",
        "whole subjects; ED + ES",
        "as many random images",
    ]


def test_raw_curves_are_those_of_the_log():
    log = make_log(["R"], ["full"])
    log.loc[3, "dice_LV"] = 0.2
    raw, smoothed = (learning_figure(log, curve=c).axes[0].lines[0].get_ydata() for c in ("dice", "smooth"))
    assert raw.tolist() == log["dice_LV"].tolist()
    assert smoothed[3] > 0.3


def test_of_several_seeds_the_line_is_the_mean_and_the_band_the_range():
    ax = learning_figure(make_log(["R"], ["full"], seeds=(0, 1)), curve="dice").axes[0]
    one = make_log(["R"], ["full"])["dice_LV"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), one - 0.005)
    (band,) = ax.collections
    assert np.ptp(band.get_paths()[0].vertices[:, 1]) == pytest.approx(np.ptp(one) + 0.01)


def test_seeds_that_were_validated_at_other_images_are_averaged_between_theirs():
    first, second = make_log(["R"], ["full"]), make_log(["R"], ["full"], seeds=(1,))
    second["images_seen"] += 7
    ax = learning_figure(pd.concat([first, second], ignore_index=True), curve="dice").axes[0]
    assert len(ax.lines[0].get_xdata()) == 18  # not where only one of them has values
    assert np.isfinite(ax.lines[0].get_ydata()).all()


@pytest.mark.parametrize(("worst", "low"), [(0.85, 0.7), (0.4, 0.3)])
def test_the_axis_shows_where_every_run_ends_up(worst, low):
    log = pd.concat(
        [make_log(["TL2"], ["full"], top=0.93), make_log(["R"], ["v1"], top=worst)], ignore_index=True
    )
    assert learning_figure(log).axes[0].get_ylim()[0] == pytest.approx(low)


def test_a_start_without_a_structure_has_an_empty_panel():
    log = make_log()
    log.loc[log["start"] == "R", "dice_MYO"] = np.nan
    assert [len(ax.lines) for ax in learning_figure(log).axes] == [6, 6, 0, 6]
