"""Box plots: what is drawn, counted by artists."""

import numpy as np
import pytest

from cmrseg.report.boxes import error_figure, score_figure, short_names


def test_the_lowest_median_is_a_dashed_line():
    figure = error_figure({"a": [1, 2, 3], "b": [3, 4, 5]}, label="error")
    (ax,) = figure.axes
    (dashed,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert set(dashed.get_ydata()) == {2}
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["lowest median, 2.00"]


def test_there_is_a_box_per_method():
    (ax,) = error_figure({"a": [1, 2, 3], "b": [3, 4, 5]}, label="error").axes
    assert len(ax.patches) == 2
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b"]


def test_what_lies_above_the_axis_is_counted():
    (ax,) = error_figure({"a": [*np.linspace(0, 10, 50), 100, 100]}, label="error").axes
    assert ax.get_ylim()[1] == pytest.approx(15)
    assert [t.get_text() for t in ax.texts] == ["2 above"]


def test_errors_of_0_have_an_axis():
    (ax,) = error_figure({"a": [0.0, 0.0]}, label="error").axes
    assert ax.get_ylim() == (0, 1)


def test_figures_need_values():
    with pytest.raises(ValueError, match="at least one method"):
        error_figure({}, label="error")
    with pytest.raises(ValueError, match="at least one structure"):
        score_figure({}, label="Dice")


def test_every_structure_has_a_panel():
    figure = score_figure({"LV": {"m, test": [0.9, 1]}, "MYO": {"m, test": [0.7, 0.8]}}, label="Dice")
    assert [ax.get_title() for ax in figure.axes] == ["LV", "MYO"]


def test_names_lose_the_words_that_all_share():
    names = ["resnet34_5percent_ce", "vgg16_5percent_ce"]
    assert list(short_names(names).values()) == ["resnet34", "vgg16"]
    assert list(short_names(["x_r34_p5", "x_r34_p10"]).values()) == ["p5", "p10"]


@pytest.mark.parametrize("names", [["r34_p5"], ["r34", "r34_p5"], ["a", "b"]])
def test_names_stay_where_nothing_would_be_left(names):
    assert short_names(names) == {name: name for name in names}
