"""What the report on two readers draws and writes."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.evaluation.reader_figures import agreement_figure, volume_maps
from cmrseg.evaluation.readers import ReaderOptions
from cmrseg.evaluation.readers_report import agreement_table, dice_table, few_warning, within_table
from cmrseg.problems import DataError
from cmrseg.workflows import evaluate

HEAD = "image,set,methodA,methodB,bg_bg,bg_lv,lv_bg,lv_lv"
IN_ML = ReaderOptions(spacing=(10.0, 10.0, 10.0))  # a pixel is a millilitre


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Two subjects of two phases and two slices; B draws 6 ml more than A in one image of subject 2."""
    images = [(s, z, t) for s in (1, 2) for z in (0, 1) for t in (0, 1)]
    rows = [
        f"{s}_slice00{z}_frame00{t},test,A,B,80,{6 if (s, z, t) == (2, 1, 1) else 1},0,{9 - 3 * t}"
        for s, z, t in images
    ]
    path = tmp_path_factory.mktemp("table") / "ab.csv"
    path.write_text("\n".join([HEAD, *rows]))
    return path


@pytest.fixture(scope="module")
def out(table):
    return table.parent / "out"


@pytest.fixture(scope="module")
def found(table, out):
    return evaluate.readers(table, None, out, options=IN_ML)


def slices(subjects, *, frames=2, difference=1.0, pairs=("A vs B",)):
    rows = [
        (p, s, t, z, "LV", difference) for p in pairs for s in subjects for t in range(frames) for z in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["pair", "subject", "frame", "slice", "structure", "difference"])


def test_all_files_are_written(found, out):
    names = {path.name for path in out.iterdir()}
    tables = {"metrics.csv", "slices.csv", "measurements.csv", "agreement.csv", "summary.csv", "within.csv"}
    assert names == {*tables, "figures", "report.html"}
    assert len(pd.read_csv(out / "slices.csv")) == len(found.slices) == 8
    drawn = {path.stem for path in (out / "figures").iterdir()}
    assert drawn == {"dice", "lv_volume_1", *(f"bland_altman_LV_{m}" for m in ("EDV", "ESV", "EF"))}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "2 subject(s): with fewer than 10" in page
    assert "2 subjects, 8 images" in page


def test_images_beyond_5_ml_are_counted_and_the_largest_is_named(found):
    (row,) = within_table(found).values.tolist()
    assert row == ["A vs B", 8, 7, 87.5, 6.0, "2, slice 1, phase 1"]


@pytest.mark.slow  # draws five figures twice
def test_nothing_is_counted_in_ml_without_a_spacing(table, tmp_path):
    found = evaluate.readers(table, None, tmp_path / "out")
    assert within_table(found).empty
    assert "A point: more than 5 ml" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_people_read_dice_and_agreement_with_their_spread(found):
    assert dice_table(found)[["pair", "structure", "volumes", "images"]].values.tolist() == [
        ["A vs B", "LV", 4, 8]
    ]
    bias = agreement_table(found).set_index("measurement")["bias"]
    assert bias["LV EDV (ml)"] == "2.0 (2.0 to 2.0)"
    assert few_warning(found)


def test_figures_of_an_earlier_run_are_removed(tmp_path):
    old = tmp_path / "figures" / "bland_altman_RV_EF.png"
    old.parent.mkdir()
    old.write_bytes(b"of an earlier run")
    table = tmp_path / "ab.csv"
    table.write_text("\n".join([HEAD, "1_slice000_frame000,test,A,B,80,1,0,9"]))
    evaluate.readers(table, None, tmp_path, options=IN_ML)
    assert {path.stem for path in old.parent.iterdir()} == {"dice", "lv_volume_1"}


def test_nothing_is_written_for_something_else(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        evaluate.readers(tmp_path / "none.csv", None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_maps_have_a_row_per_pair_and_a_column_per_subject_on_one_scale():
    pairs = ("A vs B", "A vs model")
    table = pd.concat([slices(["x"], pairs=pairs), slices(["y"], pairs=pairs, difference=-7.0)])
    (figure,) = volume_maps(table, unit="ml")
    maps = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in maps] == ["x", "y", "", ""]
    assert [ax.get_ylabel() for ax in maps[::2]] == ["B - A\nslice", "model - A\nslice"]
    assert {ax.images[0].get_clim() for ax in maps} == {(-7, 7)}
    assert [len(ax.collections[0].get_offsets()) for ax in maps] == [0, 4, 0, 4]


def test_slice_0_is_at_the_bottom_and_absent_images_are_grey():
    table = slices(["x"]).query("not (slice == 1 and frame == 0)")
    ax = volume_maps(table, unit="ml")[0].axes[0]
    assert ax.images[0].origin == "lower"
    assert np.ma.getmaskarray(ax.images[0].get_array()).tolist() == [[False, False], [True, False]]


def test_many_subjects_take_several_figures():
    assert len(volume_maps(slices([f"{i:02d}" for i in range(21)]), unit="ml")) == 3
    assert volume_maps(slices(["x"]).assign(structure="MYO"), unit="ml") == []


def test_agreement_panels_share_one_scale_that_shows_all_points():
    values = pd.DataFrame({"A": [100.0, 120, 140], "B": [101.0, 119, 142], "model": [130.0, 150, 180]})
    pairs = {"A vs B": ("A", "B"), "A vs model": ("A", "model")}
    axes = agreement_figure(values, pairs, name="LV EDV", unit="ml").axes
    assert [ax.get_ylabel() for ax in axes] == ["B - A (ml)", "model - A (ml)"]
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert axes[0].get_ylim()[1] > 40
    assert axes[0].get_title().startswith("bias +0.7 ml, limits ")


def test_one_subject_has_a_bias_only():
    values = pd.DataFrame({"A": [100.0], "B": [103.0]})
    (ax,) = agreement_figure(values, {"A vs B": ("A", "B")}, name="LV EDV", unit="ml").axes
    assert ax.get_title() == "bias +3.0 ml (n = 1)"
