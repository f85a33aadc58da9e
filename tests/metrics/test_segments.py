"""Segments of stacks whose wall is as thick as the test says."""

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.labels import Label
from cmrseg.metrics.segments import SEGMENT_COLUMNS, SEGMENTS, aha_segments, middle_third
from tests.metrics.hearts import LOST, ring, stack


def rings(thicknesses, *, endo=20, rv_slices=99):
    """Slices of one cavity; the first ones have an RV on the left."""
    return [
        ring(endo, endo + thickness, centre=(0.37, -0.21), rv_deg=180 if z < rv_slices else None)
        for z, thickness in enumerate(thicknesses)
    ]


def by_level(table, column="ed_mm"):
    return table.groupby("level", sort=False)[column].mean().to_numpy()


def test_the_table_has_the_16_segments_of_the_heart_association():
    table = aha_segments(stack(rings([8] * 6)), ed_frame=0, es_frame=0)
    assert list(table.columns) == list(SEGMENT_COLUMNS)
    assert list(table["segment"]) == list(range(1, 17))
    assert table["name"].iloc[[0, 1, 3, 7, 13, 15]].tolist() == [
        "basal anterior", "basal anteroseptal", "basal inferior", "mid anteroseptal", "apical septal",
        "apical lateral",
    ]  # fmt: skip
    assert table["level"].value_counts().to_dict() == {"basal": 6, "mid": 6, "apical": 4}


def test_a_wall_that_grows_by_half_thickens_by_50_percent():
    mask = stack(None, frames=[rings([8] * 6, endo=24), rings([12] * 6, endo=16)])
    table = aha_segments(mask, ed_frame=0, es_frame=1)
    assert table["ed_mm"].to_numpy() == pytest.approx(np.full(16, 8), abs=0.3)
    assert table["es_mm"].to_numpy() == pytest.approx(np.full(16, 12), abs=0.3)
    assert table["thickening_percent"].to_numpy() == pytest.approx(np.full(16, 50), abs=6)


@pytest.mark.parametrize("affine_known", [True, False])
@pytest.mark.parametrize("base_last", [True, False])
def test_levels_run_from_base_to_apex_whichever_way_the_slices_run(affine_known, base_last):
    mask = stack(rings([11, 11, 9, 9, 7, 7], rv_slices=4))
    if base_last:
        mask = Cine(mask.array[:, :, ::-1], mask.spacing, mask.affine * [1, 1, -1, 1])
    if not affine_known:
        mask = Cine(mask.array, mask.spacing, LOST)
    assert by_level(aha_segments(mask, ed_frame=0, es_frame=0)) == pytest.approx([11, 9, 7], abs=0.2)


@pytest.mark.parametrize(
    ("direction", "segments"),
    [(-90, (1, 7, 13)), (-150, (2, 8, 14)), (150, (3, 9, 14)), (90, (4, 10, 15)), (30, (5, 11, 16)),
     (-30, (6, 12, 16))],
)  # fmt: skip
def test_a_thin_wall_is_found_in_its_segment(direction, segments):
    towards = 4 * np.array([np.cos(np.deg2rad(direction)), np.sin(np.deg2rad(direction))])
    one = ring(20, 30, centre=tuple(towards), epi_centre=(0, 0), rv_deg=180)
    table = aha_segments(stack([one] * 6), ed_frame=0, es_frame=0)
    thinnest = table.loc[table.groupby("level", sort=False)["ed_mm"].idxmin(), "segment"]
    assert tuple(thinnest) == segments


def test_a_slice_without_rv_takes_the_septum_of_the_others():
    one = ring(20, 30, centre=(0, 4), epi_centre=(0, 0))
    with_rv = ring(20, 30, centre=(0, 4), epi_centre=(0, 0), rv_deg=90)
    turned = aha_segments(stack([with_rv, with_rv, with_rv, one]), ed_frame=0, es_frame=0)
    assert turned.loc[turned["level"] == "apical"].set_index("name")["ed_mm"].idxmin() == "apical septal"


def test_at_end_systole_the_shorter_ventricle_has_thirds_of_its_own():
    gone = np.zeros((96, 96), np.uint8)
    end_systole = [gone, *rings([14, 14, 10, 10, 6], endo=14)]
    mask = stack(None, frames=[rings([8] * 6, endo=24), [*end_systole[:5], gone]])
    table = aha_segments(mask, ed_frame=0, es_frame=1)
    assert by_level(table, "es_mm") == pytest.approx([14, 12, 10], abs=2.1)
    assert table["es_mm"].notna().all()


def test_open_rings_are_no_level():
    open_ring = ring(20, 40)
    open_ring[:40][open_ring[:40] == Label.MYO] = Label.BACKGROUND
    table = aha_segments(stack([open_ring, *rings([8] * 6)]), ed_frame=0, es_frame=0)
    assert table["ed_mm"].to_numpy() == pytest.approx(np.full(16, 8), abs=0.3)


def test_where_all_rings_are_open_the_open_segments_have_no_value():
    open_ring = ring(20, 30, rv_deg=180)
    open_ring[:, :36][open_ring[:, :36] == Label.MYO] = Label.BACKGROUND  # the anterior wall, up
    table = aha_segments(stack([open_ring] * 3), ed_frame=0, es_frame=0).set_index("segment")
    assert np.isnan(table.loc[[1, 7, 13], "ed_mm"]).all()
    assert table.loc[[4, 10, 15], "ed_mm"].to_numpy() == pytest.approx(np.full(3, 10), abs=0.4)


def test_thickening_needs_no_pixel_size():
    frames = [rings([8] * 3, endo=24), rings([12] * 3, endo=16)]
    table = aha_segments(stack(None, frames=frames, spacing=(np.nan, np.nan, 8)), ed_frame=0, es_frame=1)
    assert table[["ed_mm", "es_mm"]].isna().to_numpy().all()
    assert table["thickening_percent"].to_numpy() == pytest.approx(np.full(16, 50), abs=6)


def test_an_empty_mask_has_no_thickness():
    table = aha_segments(stack([np.zeros((16, 16), np.uint8)] * 3), ed_frame=0, es_frame=0)
    assert len(table) == len(SEGMENTS)
    assert table[["ed_mm", "es_mm", "thickening_percent"]].isna().to_numpy().all()


def test_a_frame_outside_the_cycle_is_refused():
    with pytest.raises(ValueError, match="es_frame"):
        aha_segments(stack(rings([8] * 3)), ed_frame=0, es_frame=1)


@pytest.mark.parametrize(
    ("held", "middle"),
    [(1, [0]), (2, [0, 1]), (3, [1]), (4, [1, 2]), (6, [2, 3]), (9, [3, 4, 5]), (10, [3, 4, 5, 6])],
)
def test_the_middle_third_of_so_many_slices(held, middle):
    slices = np.array([False, *[True] * held, False])
    assert list(np.flatnonzero(middle_third(slices)) - 1) == middle
