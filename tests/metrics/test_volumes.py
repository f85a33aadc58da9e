"""Volumes of cylinders and of cines whose ejection fraction is given."""

import math

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.labels import Label
from cmrseg.metrics.volumes import (
    FUNCTION_COLUMNS,
    VOLUME_COLUMNS,
    cardiac_function,
    ed_es_frames,
    ejection_fraction,
    pixel_curve,
    summary_row,
    volume_curve,
    volume_table,
    voxel_volume,
)

UNKNOWN = (math.nan,) * 3


def cine(spacing=(1.0, 1.0, 10.0), times=(0.0, 40.0, 80.0)):
    """LV of 60, 100 and 40 voxels over three frames, MYO of 20 at every frame."""
    array = np.zeros((20, 20, 1, 3), np.uint8)
    for frame, rows in enumerate((6, 10, 4)):
        array[:rows, :10, 0, frame] = Label.LV
        array[18:, :10, 0, frame] = Label.MYO
    return Cine(array, spacing, frame_times_ms=times)


def test_cylinder_has_its_closed_form_volume():
    x, y = np.ogrid[-50:51, -50:51]
    disk = (x**2 + y**2 <= 30**2).astype(np.uint8) * np.uint8(Label.LV)
    labels = np.repeat(disk[:, :, None, None], 8, axis=2)  # 8 slices of 10 mm
    (volume,) = volume_curve(labels, (1.0, 1.0, 10.0), Label.LV)
    assert volume == pytest.approx(np.pi * 3**2 * 8, rel=0.01)


def test_unknown_spacing_gives_unknown_volumes():
    assert np.isnan(volume_curve(cine().array, UNKNOWN, Label.LV)).all()


def test_spacing_must_be_positive():
    with pytest.raises(ValueError, match=r"spacing must be positive \(mm\), got \(1.0, -1.0, 8.0\)"):
        voxel_volume((1.0, -1.0, 8.0))


def test_frames_are_those_of_the_largest_and_smallest_volume():
    assert ed_es_frames(np.array([60.0, 100.0, 40.0, 40.0]), smooth=False) == (1, 2)


@pytest.mark.parametrize("curve", [[], [1.0, math.nan]])
def test_frames_need_a_whole_curve(curve):
    with pytest.raises(ValueError, match="curve must be"):
        ed_es_frames(np.array(curve), smooth=False)


def test_ejection_fraction_is_the_ejected_share():
    assert ejection_fraction(120, 48) == pytest.approx(60)
    assert math.isnan(ejection_fraction(0, 0))


def test_ejection_fraction_does_not_need_a_spacing():
    function = cardiac_function(pixel_curve(cine().array, Label.LV), math.nan)
    assert function.ef_percent == pytest.approx(60)
    assert math.isnan(function.edv_ml)


def test_frames_of_the_lv_can_be_given_for_the_rv():
    function = cardiac_function(np.array([5.0, 10.0, 20.0]), 0.5, frames=(1, 0))
    assert (function.edv_ml, function.esv_ml, function.sv_ml) == (5.0, 2.5, 2.5)


def test_summary_row_has_the_columns_of_the_contract():
    row = summary_row("a", cine())
    assert tuple(row) == FUNCTION_COLUMNS
    assert row["EDV_ml"] == pytest.approx(1.0)
    assert row["ESV_ml"] == pytest.approx(0.4)
    assert row["SV_ml"] == pytest.approx(0.6)
    assert row["EF_percent"] == pytest.approx(60)
    assert row["MYO_mass_g"] == pytest.approx(0.2 * 1.05)
    assert (row["ED_frame"], row["ES_frame"]) == (1, 2)


def test_summary_row_names_frames_as_the_study_does():
    row = summary_row("a", cine(), frames=(1, 12, 20))
    assert (row["ED_frame"], row["ES_frame"]) == (12, 20)


def test_a_single_frame_has_a_volume_and_no_ejection_fraction():
    one = Cine(cine().array[..., :1], (1.0, 1.0, 10.0))
    row = summary_row("a", one)
    assert row["EDV_ml"] == pytest.approx(0.6)
    assert math.isnan(row["EF_percent"])
    assert math.isnan(row["ESV_ml"])


def test_without_an_lv_nothing_is_known_rather_than_0():
    row = summary_row("a", cine().with_array(np.zeros_like(cine().array)))
    assert np.isnan([row[name] for name in FUNCTION_COLUMNS[1:6]]).all()
    assert (row["ED_frame"], row["ES_frame"]) == (None, None)


def test_volume_table_has_one_row_per_frame():
    table = volume_table("a", cine())
    assert tuple(table.columns) == VOLUME_COLUMNS
    assert table["LV_ml"].tolist() == pytest.approx([0.6, 1.0, 0.4])
    assert table["time_ms"].tolist() == [0, 40, 80]
    assert table["RV_ml"].tolist() == [0, 0, 0]


def test_volume_table_leaves_unknown_times_empty():
    assert volume_table("a", cine(times=()))["time_ms"].isna().all()


def test_frame_numbers_must_fit_the_cine():
    with pytest.raises(ValueError, match="names 2 frames, the mask has 3"):
        volume_table("a", cine(), frames=(1, 2))


def test_several_beats_have_no_volumes():
    """Slices of two beats that do not start together."""
    share = (np.arange(24) / 12 + np.array([0.0, 0.3, 0.6, 0.8])[:, None]) % 1
    radius = 10 - 4 * np.where(share < 0.6, np.sin(np.pi * share / 0.6) ** 2, 0)
    x, y = np.ogrid[:30, :30]
    mask = ((x - 15) ** 2 + (y - 15) ** 2)[:, :, None, None] < radius**2
    row = summary_row("a", Cine(mask.astype(np.uint8) * Label.LV, (1.0, 1.0, 10.0)))
    assert np.isnan([row[name] for name in FUNCTION_COLUMNS[1:6]]).all()
    one = summary_row("a", Cine(mask[..., :12].astype(np.uint8) * Label.LV, (1.0, 1.0, 10.0)))
    assert one["EF_percent"] > 0
