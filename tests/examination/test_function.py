import math

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.function import (
    curve_table,
    end_slices,
    function_table,
    sensitivity_table,
)
from cmrseg.labels import Label
from cmrseg.metrics.volumes import ed_es_frames, pixel_curve

SPACING = (2.0, 2.0, 10.0)  # 25 voxels per ml
FRAMES = 20


def block(voxels: int, label: Label, *, row: int) -> np.ndarray:
    """A slice (40, 40) with so many voxels of a label, from a row on."""
    flat = np.zeros((40, 40), np.uint8)
    flat[row:].ravel()[:voxels] = label
    return flat


def beating(*, slices: int = 4, spacing=SPACING, times=True) -> Cine:
    """LV of 40 to 16 ml and MYO of 20 ml in a stack whose first slice is the base; RV of 30 to 15 ml."""
    array = np.zeros((40, 40, slices, FRAMES), np.uint8)
    for t in range(FRAMES):
        share = (1 + math.cos(2 * math.pi * t / FRAMES)) / 2  # 1 at end-diastole
        for z in range(slices):
            lv = block(round((100 + 150 * share) * 2 * (slices - z) / (slices + 1)), Label.LV, row=0)
            myo, rv = block(125, Label.MYO, row=15), block(round(94 + 94 * share), Label.RV, row=25)
            array[:, :, z, t] = np.maximum.reduce([lv, myo, rv])
    return Cine(array, spacing, frame_times_ms=tuple(40.0 * t for t in range(FRAMES)) if times else ())


def measured(cine: Cine, facts: PatientFacts = PatientFacts()):  # noqa: B008 (frozen)
    return function_table(cine, facts, ed_es_frames(pixel_curve(cine.array, Label.LV), smooth=True))


def number(table, ventricle, quantity, column="value"):
    return table.query("ventricle == @ventricle and quantity == @quantity")[column].item()


def test_volumes_ef_and_mass_are_those_of_the_mask():
    table = measured(beating())
    assert ed_es_frames(pixel_curve(beating().array, Label.LV), smooth=True) == (0, 10)
    assert number(table, "LV", "EDV") == pytest.approx(40, rel=0.01)
    assert number(table, "LV", "ESV") == pytest.approx(16, rel=0.01)
    assert number(table, "LV", "EF") == pytest.approx(60, abs=0.5)
    assert number(table, "LV", "mass") == pytest.approx(21, rel=0.01)
    assert number(table, "RV", "SV") == pytest.approx(15, rel=0.01)


def test_output_and_index_need_what_they_are_made_of():
    known = measured(beating(), PatientFacts(height_m=1.8, weight_kg=80, heart_rate_bpm=50))
    assert number(known, "LV", "cardiac output") == pytest.approx(24 * 50 / 1000, rel=0.01)
    assert number(known, "LV", "EDV", "indexed") == pytest.approx(20, rel=0.01)  # 2 m2
    assert number(known, "LV", "EDV", "indexed_unit") == "ml/m2"
    unknown = measured(beating())
    assert math.isnan(number(unknown, "LV", "cardiac output"))
    assert unknown["indexed"].isna().all()


def test_without_a_spacing_only_ef_is_known():
    table = measured(beating(spacing=(math.nan,) * 3))
    assert number(table, "LV", "EF") == pytest.approx(60, abs=0.5)
    assert math.isnan(number(table, "LV", "EDV"))
    assert math.isnan(number(table, "LV", "mass"))


def test_a_single_frame_has_a_volume_and_no_function():
    cine = beating()
    single = Cine(cine.array[..., :1], SPACING)
    table = measured(single)
    assert number(table, "LV", "EDV") == pytest.approx(40, rel=0.01)
    assert math.isnan(number(table, "LV", "EF"))
    assert math.isnan(number(table, "LV", "ESV"))


def test_a_missing_ventricle_is_unknown_rather_than_empty():
    cine = beating()
    table = measured(cine.with_array(np.where(cine.array == Label.RV, 0, cine.array)))
    assert math.isnan(number(table, "RV", "EDV"))
    assert math.isnan(number(table, "RV", "EF"))


@pytest.mark.parametrize("turn", [1, -1])
def test_leaving_out_the_base_takes_its_volume_away(turn):
    cine = beating()
    table = sensitivity_table(cine.with_array(cine.array[:, :, ::turn]), (0, 10)).set_index("left_out")
    base, apex = table.loc["most basal slice"], table.loc["most apical slice"]
    assert base["EDV_change_ml"] == pytest.approx(-16, rel=0.01)  # 4 / 10 of the volume
    assert apex["EDV_change_ml"] == pytest.approx(-4, rel=0.02)
    assert table.loc["both", "EDV_ml"] == pytest.approx(20, rel=0.01)
    assert abs(base["EF_change_points"]) < 1  # all slices contract alike


def test_of_a_single_frame_only_the_volume_hangs_on_the_end_slices():
    cine = beating()
    table = sensitivity_table(Cine(cine.array[..., :1], SPACING), (0, 0))
    assert table["EDV_ml"].notna().all()
    assert table[["ESV_ml", "EF_percent", "EF_change_points"]].isna().all(axis=None)


def test_two_slices_have_no_end_to_spare():
    cine = beating(slices=2)
    assert end_slices(cine, 0) is None
    assert sensitivity_table(cine, (0, 10)).empty


def test_the_curve_tells_every_frame_and_its_time():
    table = curve_table(beating())
    assert table["time_ms"].tolist() == [40.0 * t for t in range(FRAMES)]
    assert table["LV_smooth_ml"].to_numpy() == pytest.approx(table["LV_ml"].to_numpy(), abs=1)
    assert curve_table(beating(times=False))["time_ms"].isna().all()
