"""What the bull's eyes say, by their texts and wedges."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from cmrseg.metrics.segments import SEGMENTS
from cmrseg.report.figures import png_bytes
from cmrseg.report.segments_figure import segments_figure, wall_motion_hint


def table(**columns):
    names, levels = zip(*SEGMENTS, strict=True)
    ed = np.arange(1, 17) + 0.1
    values = {"ed_mm": ed, "es_mm": ed * 1.5, "thickening_percent": np.full(16, 50.0), **columns}
    return pd.DataFrame({"segment": range(1, 17), "name": names, "level": levels, **values})


def eyes(figure):
    return [ax for ax in figure.axes if ax.name == "polar"]


def place(ax, text):
    """Angle in degrees and radius of a text."""
    (found,) = [t for t in ax.texts if t.get_text() == text]
    angle, radius = found.get_position()
    return np.rad2deg(angle) % 360, radius


def test_every_segment_bears_its_value_in_both_plots():
    thickness, thickening = eyes(segments_figure(table(thickening_percent=np.arange(16) * 5.0)))
    assert {f"{i}.1" for i in range(1, 17)} <= {t.get_text() for t in thickness.texts}
    assert {str(i * 5) for i in range(16)} <= {t.get_text() for t in thickening.texts}


@pytest.mark.parametrize(
    ("segment", "angle", "ring"),
    [(1, 90, 3), (2, 150, 3), (4, 270, 3), (6, 30, 3), (9, 210, 2), (13, 90, 1), (14, 180, 1), (16, 0, 1)],
)
def test_segments_stand_where_the_heart_association_puts_them(segment, angle, ring):
    found, radius = place(eyes(segments_figure(table()))[0], f"{segment}.1")
    assert found == pytest.approx(angle)
    assert radius == pytest.approx(ring + 0.5)


def test_rows_may_come_in_any_order():
    ax = eyes(segments_figure(table().sample(frac=1, random_state=0)))[0]
    assert place(ax, "4.1")[0] == pytest.approx(270)


def test_segments_without_a_value_are_hatched_and_say_so():
    ed = np.where(np.arange(16) == 3, np.nan, 8.0)
    ax = eyes(segments_figure(table(ed_mm=ed)))[0]
    assert [t.get_text() for t in ax.texts].count("n/a") == 1
    assert sum(bool(patch.get_hatch()) for patch in ax.patches) == 2  # the segment and the apical cap


def test_a_wall_that_thins_has_another_hue_than_one_that_thickens():
    change = np.where(np.arange(16) < 8, -50.0, 50.0)
    ax = eyes(segments_figure(table(thickening_percent=change)))[1]
    colours = {to_hex(patch.get_facecolor()) for patch in ax.patches if not patch.get_hatch()}
    assert len(colours) == 2
    red_minus_blue = sorted(int(c[1:3], 16) - int(c[5:7], 16) for c in colours)
    assert red_minus_blue[0] < 0 < red_minus_blue[1]


def test_colours_mean_the_same_in_every_study():
    thin, thick = (eyes(segments_figure(table(ed_mm=np.full(16, mm))))[0] for mm in (6.0, 12.0))
    assert thin.patches[1].get_facecolor() != thick.patches[1].get_facecolor()


def test_a_study_without_any_value_is_drawn():
    nothing = np.full(16, np.nan)
    assert png_bytes(segments_figure(table(ed_mm=nothing, thickening_percent=nothing)), dpi=40)


def test_a_missing_segment_is_refused():
    with pytest.raises(ValueError, match=r"\[16\]"):
        segments_figure(table().iloc[:15])


def test_the_hint_names_what_thins_worst_first():
    thickening = np.full(16, 40.0)
    thickening[[1, 7]] = -3.4, -12.0
    hint = wall_motion_hint(table(thickening_percent=thickening))
    assert hint.startswith(
        f"Of 16 segments thinner in systole: 8 {SEGMENTS[7][0]} (-12 %), 2 {SEGMENTS[1][0]} (-3 %). "
    )


def test_where_all_thicken_the_hint_names_the_least_of_those_that_are_known():
    thickening = np.r_[np.nan, np.arange(15.0, 0.0, -1.0)]
    hint = wall_motion_hint(table(thickening_percent=thickening))
    assert hint.startswith(
        f"Of 15 segments none thins in systole, 16 {SEGMENTS[15][0]} (+1 %) thickens least. "
    )


def test_less_than_half_a_percent_is_not_thinner():
    thickening = np.full(16, 40.0)
    thickening[3] = -0.4
    assert "none thins in systole" in wall_motion_hint(table(thickening_percent=thickening))


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_without_two_phases_there_is_no_hint(value):
    assert wall_motion_hint(table(thickening_percent=np.full(16, value))) == ""
