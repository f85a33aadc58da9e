"""Points of subjects and bars of means."""

import math

import pytest

from cmrseg.report.change_figure import BETTER, WORSE, change_figure


def test_a_panel_per_method_and_a_line_per_structure():
    rows = {"LV": ([0.1, -0.1, 0.0], (-0.1, 0.1)), "RV": ([0.2], (math.nan, math.nan))}
    figure = change_figure({"a": rows, "b": rows}, label="change")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["LV", "RV"]
    bars = [line for line in figure.axes[0].lines if line.get_color() == "black"]
    assert list(bars[0].get_xdata()) == [-0.1, 0.1]
    assert bars[1].get_xdata()[0] == pytest.approx(0.0)
    assert (BETTER, WORSE) == ("#0072B2", "#D55E00")


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="at least one method"):
        change_figure({}, label="change")
