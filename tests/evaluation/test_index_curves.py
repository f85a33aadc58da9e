"""Curves of indices over the cycle: which slice is shown, how far network and masks are apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cmrseg.evaluation.index_curves import IndexCurves, curves_figure, curves_report
from cmrseg.metrics.indices import INDICES

FRAMES = 8


def table(slices, value, subject="a", **columns):
    places = [(subject, frame, number) for frame in range(FRAMES) for number in slices]
    rows = pd.DataFrame(places, columns=["subject", "frame", "slice"])
    return rows.assign(**dict.fromkeys(INDICES, value), **columns)


@pytest.fixture
def curves():
    systole = np.repeat(np.arange(FRAMES) < 3, 9).astype(float)
    return IndexCurves(table(range(9), 12.0, phase=systole), table((3, 4, 5), 10.0, phase=0.0), ["a"])


def test_the_middle_one_of_the_measured_slices_is_shown(curves):
    network, masks = curves.shown("a")
    assert set(network["slice"]) == set(masks["slice"]) == {4}
    assert network["frame"].tolist() == list(range(FRAMES))


def test_without_masks_the_middle_slice_is_shown(curves):
    alone = IndexCurves(curves.network, curves.masks.iloc[:0], ["a"])
    network, masks = alone.shown("a")
    assert set(network["slice"]) == {4}
    assert masks.empty
    assert alone.differences().empty
    assert len(curves_report(alone, {}).sections) == 2


def test_network_and_masks_are_compared_where_both_answer(curves):
    (row,) = curves.differences().to_dict("records")
    assert row == {
        "subject": "a", "areas (mm2)": 2, "dimensions (mm)": 2, "thicknesses (mm)": 2, "phase (%)": 37.5,
    }  # fmt: skip


def test_systole_is_shaded_and_masks_are_dashed(curves):
    figure = curves_figure(*curves.shown("a"))
    assert len(figure.axes) == 3
    areas = figure.axes[0]
    assert sorted(patch.get_x() + 0.5 for patch in areas.patches) == [0, 1, 2]
    assert [line.get_linestyle() for line in areas.lines] == ["-", "--"] * 2


def test_the_phase_alone_is_one_panel(curves):
    only = curves.network[["subject", "frame", "slice", "phase"]]
    (panel,) = curves_figure(*IndexCurves(only, curves.masks, ["a"]).shown("a")).axes
    assert len(panel.lines) == 1
