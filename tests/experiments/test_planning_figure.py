"""What the planning figure draws: counted artists, not pixels."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from cmrseg.experiments.planning import planning_table, reader_table
from cmrseg.experiments.planning_figure import START_STYLES, planning_figure
from cmrseg.report.figures import COLOURS

SIZES = {"v1": (1, 20), "v3": (3, 60), "full": (12, 240), "r3": (12, 60)}


def scores(starts=("R", "TL2"), *, structures=("LV", "MYO", "RV"), subjects=4, seeds=2):
    runs = [
        (start, subset, *SIZES[subset], seed) for start in starts for subset in SIZES for seed in range(seeds)
    ]
    rows = [
        (*run, f"p{i}", s, 0.7 + 0.01 * i + 0.02 * run[4])
        for run in [*runs, ("base", "", 0, 0, 0)]
        for s in structures
        for i in range(subjects)
    ]
    columns = ["start", "subset", "subjects", "images", "seed", "subject", "structure", "dice"]
    return pd.DataFrame(rows, columns=columns)


def drawn(ax):
    """Lines of the starts by their labels."""
    return {container.get_label(): container for container in ax.containers}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_structure_is_a_panel():
    axes = planning_figure(planning_table(scores(structures=("LV", "MYO")))).axes
    assert [ax.get_title() for ax in axes] == ["LV", "MYO"]


def test_every_start_is_a_line_over_whole_subjects():
    ax = planning_figure(planning_table(scores())).axes[0]
    assert set(drawn(ax)) == {"base", "R", "TL2"}
    line, _, _ = drawn(ax)["TL2"]
    assert line.get_ydata() == pytest.approx([0.725] * 3)  # not the random images
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "3", "12"]


def test_bars_are_the_intervals():
    table = planning_table(scores())
    ax = planning_figure(table).axes[0]
    _, _, (bars,) = drawn(ax)["R"]
    expected = table[(table["start"] == "R") & (table["structure"] == "LV") & (table["subset"] != "r3")]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, expected[["low", "high"]].to_numpy())


def test_starts_stand_beside_each_other():
    ax = planning_figure(planning_table(scores())).axes[0]
    first, second = (drawn(ax)[start][0].get_xdata() for start in ("R", "TL2"))
    assert (np.abs(first - second) > 0.1).all()


def test_the_base_model_stands_at_no_subjects():
    line, _, _ = drawn(planning_figure(planning_table(scores())).axes[0])["base"]
    assert line.get_xdata().tolist() == [0]


def test_seeds_are_shown_where_there_are_several():
    several, one = (planning_figure(planning_table(scores(seeds=n))) for n in (2, 1))
    assert "lowest and highest seed" in legend(several)
    assert "lowest and highest seed" not in legend(one)


def test_the_second_reader_is_a_band():
    reader = pd.DataFrame({"subject": ["a", "b"], "structure": "LV", "dice": [0.9, 0.94]})
    figure = planning_figure(planning_table(scores()), reader_table(reader))
    lv, myo, _ = figure.axes
    (band,) = lv.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.9, 0.94))
    assert not myo.patches
    assert "second reader" in legend(figure)


def test_intervals_are_not_promised_for_one_subject():
    figure = planning_figure(planning_table(scores(subjects=1)))
    assert not any("interval" in text for text in legend(figure))


def test_the_legend_names_the_starts_in_their_order():
    names = legend(planning_figure(planning_table(scores(("TL2", "R")))))
    assert [name.split(":")[0] for name in names[:3]] == ["base model as it is", "R", "TL2"]


def test_starts_have_colours_of_their_own():
    colours = [to_hex(colour) for colour, _ in START_STYLES.values()]
    assert len(set(colours) | {to_hex(c) for c in COLOURS.values()}) == len(START_STYLES) + len(COLOURS)


def test_whole_subjects_are_needed():
    table = planning_table(scores())
    with pytest.raises(ValueError, match="at least one set of whole subjects"):
        planning_figure(table[table["start"] == "base"])
