"""Two readers and a model: disks whose Dice and volumes are known, small tables, and the published ones."""

import math

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from cmrseg.evaluation.reader_agreement import agreement
from cmrseg.evaluation.readers import ReaderOptions, evaluate_readers, read_counts
from cmrseg.problems import DataError

VOXEL_ML = 2 * 2 * 10 / 1000
HEAD = "image,set,methodA,methodB,bg_bg,bg_lv,lv_bg,lv_lv"


def disk(radius):
    """Two slices with a disk of LV in a ring of MYO 2 pixels wide."""
    x, y = np.ogrid[-20:21, -20:21]
    distance = np.hypot(x, y)
    mask = np.where(distance <= radius, 1, np.where(distance <= radius + 2, 2, 0))
    return np.repeat(mask[:, :, None], 2, axis=2).astype(np.uint8)


def area(radius):
    return int((disk(radius)[..., 0] == 1).sum())


def save(array, path, zooms=(2.0, 2.0, 10.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array.astype(np.uint8), np.diag([*zooms[:3], 1.0]))
    image.header.set_zooms(zooms)
    nib.save(image, path)


def write_reader(root, *, grow=0, subjects=("A1", "B2", "C3"), zooms=(2.0, 2.0, 10.0)):
    """Data set in M&Ms layout: ED of radius 12, ES of radius 8, both larger by some pixels."""
    for subject in subjects:
        for phase, radius in (("ED", 12), ("ES", 8)):
            name = f"{subject}_sa_{phase}"
            save(np.ones((41, 41, 2)), root / subject / f"{name}.nii.gz", zooms)
            save(disk(radius + grow), root / subject / f"{name}_gt.nii.gz", zooms)
    return root


def compare(first, second=None, *models, **options):
    return evaluate_readers(read_counts(first, second, models, ReaderOptions(**options)))


def pick(table, column="value", **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table[column].item()


@pytest.fixture
def readers(tmp_path):
    return write_reader(tmp_path / "a"), write_reader(tmp_path / "b", grow=1)


def test_a_disk_one_pixel_larger_has_its_dice_and_volume(readers):
    found = compare(*readers)
    key = {"pair": "A vs B", "subject": "A1", "frame": 0, "structure": "LV"}
    small, large = area(12), area(13)
    assert pick(found.metrics, metric="dice", **key) == pytest.approx(2 * small / (small + large))
    difference = 2 * (large - small) * VOXEL_ML
    assert pick(found.metrics, metric="volume_difference", **key) == pytest.approx(difference)
    assert pick(found.slices, "difference", slice=1, **key) == pytest.approx(difference / 2)


def test_agreement_is_that_of_second_minus_first(readers):
    found = compare(*readers)
    row = found.agreement.query("measure == 'EDV'").iloc[0]
    assert row["bias"] == pytest.approx(2 * (area(13) - area(12)) * VOXEL_ML)
    assert (row["n"], row["unit"], row["sd"]) == (3, "ml", pytest.approx(0))
    ef = [100 * (1 - area(8 + grow) / area(12 + grow)) for grow in (0, 1)]
    assert pick(found.agreement, "bias", measure="EF") == pytest.approx(ef[1] - ef[0])
    assert set(found.agreement["measure"]) == {"EDV", "ESV", "EF", "mass"}


def test_readers_can_be_swapped(readers):
    there, back = (compare(*order) for order in (readers, readers[::-1]))
    assert there.slices["dice"].tolist() == back.slices["dice"].tolist()
    assert there.slices["difference"].tolist() == (-back.slices["difference"]).tolist()


def test_a_model_is_compared_with_each_reader(tmp_path, readers):
    found = compare(*readers, write_reader(tmp_path / "m", grow=2))
    assert found.pairs == ("A vs B", "A vs model", "B vs model")
    scores = found.summary.query("metric == 'dice' and structure == 'LV'").set_index("pair")["mean"]
    assert scores["B vs model"] > scores["A vs model"]
    assert found.verdicts[0].startswith("LV: A and B agree with a mean Dice of ")
    assert "less well than A and B" in found.verdicts[0].split(", and with B")[0]
    assert "better than A and B" in found.verdicts[0].split(", and with B")[1]


def test_a_verdict_is_on_the_volumes_that_all_pairs_have(tmp_path, readers):
    (readers[1] / "C3" / "C3_sa_ED_gt.nii.gz").unlink()
    model = write_reader(tmp_path / "m", grow=1)
    save(disk(3), model / "C3" / "C3_sa_ED_gt.nii.gz")
    (sentence, _) = compare(*readers, model).verdicts
    assert "as well as A and B as far as 3 subjects tell (difference +0.000" in sentence


def test_one_subject_gives_no_verdict(tmp_path):
    paths = [write_reader(tmp_path / str(grow), grow=grow, subjects=["A1"]) for grow in range(3)]
    assert all("too few subjects to compare" in sentence for sentence in compare(*paths).verdicts)


def test_a_subject_that_b_lacks_is_a_problem_and_the_others_go_on(tmp_path, readers):
    other = write_reader(tmp_path / "other", grow=1, subjects=("A1", "C3"))
    found = compare(readers[0], other, readers[1])
    assert found.failed == ("B2",)
    assert {p.problem for p in found.problems} == {"masks of B missing"}
    chosen = found.slices.groupby("pair")["subject"].unique().map(list).to_dict()
    assert chosen["A vs B"] == ["A1", "C3"]
    assert chosen["A vs model"] == ["A1", "B2", "C3"]


def test_another_grid_is_a_problem(tmp_path, readers):
    path = readers[1] / "B2" / "B2_sa_ED_gt.nii.gz"
    save(disk(13)[:-1], path)
    save(np.ones((40, 41, 2)), path.with_name("B2_sa_ED.nii.gz"))
    found = compare(*readers)
    assert found.failed == ("B2",)
    assert "of shape 40 x 41 x 2 does not fit its image of shape 41 x 41 x 2" in found.problems[0].extra_info


def test_unknown_spacing_is_measured_in_pixels(tmp_path):
    paths = [write_reader(tmp_path / str(grow), grow=grow, zooms=(1.0, 1.0, 1.0)) for grow in (0, 1)]
    found = compare(*paths)
    assert found.unit == "pixels"
    assert pick(found.agreement, "bias", measure="EDV") == 2 * (area(13) - area(12))
    assert "mass" not in set(found.agreement["measure"])
    assert compare(*paths, spacing=(2.0, 2.0, 10.0)).unit == "ml"


def test_a_structure_of_one_reader_only_is_told_and_not_compared(readers):
    for path in (readers[1] / "A1").glob("*_gt.nii.gz"):
        mask = np.asarray(nib.load(path).dataobj)
        save(np.where(mask == 2, 0, mask), path)
    found = compare(*readers)
    assert set(found.slices.query("subject == 'A1'")["structure"]) == {"LV"}
    assert found.notes[-1].startswith("MYO is contoured by one reader only in 1 subject(s)")


def test_frames_of_a_cine_that_one_reader_left_empty_are_left_out(tmp_path):
    cine = np.stack([disk(12), disk(8), disk(6)], axis=-1)
    sparse = cine.copy()
    sparse[..., 1] = 0
    for folder, masks in (("a", cine), ("b", sparse)):
        for name, array in (("sa", np.ones_like(cine)), ("truth", masks)):
            save(array, tmp_path / folder / "s1" / f"{name}.nii.gz", (2.0, 2.0, 10.0, 0.04))
    found = compare(tmp_path / "a", tmp_path / "b")
    assert set(found.slices["frame"]) == {0, 2}
    assert any(note.startswith("1 frame(s) of cines") for note in found.notes)
    assert pick(found.measurements, "B", measure="EF") == pytest.approx(100 * (1 - area(6) / area(12)))


def test_empty_masks_are_refused(readers):
    for path in readers[1].rglob("*_gt.nii.gz"):
        save(0 * disk(2), path)
    with pytest.raises(DataError, match="no contoured structure in common"):
        compare(*readers)


@pytest.mark.slow  # starts two interpreters
def test_processes_change_nothing(readers):
    assert compare(*readers, jobs=2).slices.equals(compare(*readers).slices)


def test_a_folder_without_masks_is_refused(tmp_path, readers):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("none")
    with pytest.raises(DataError, match="holds no prediction for any subject"):
        compare(readers[0], tmp_path / "empty")


def test_one_reader_is_not_enough(readers):
    with pytest.raises(DataError, match="name the masks of the other too, or one table of both"):
        compare(readers[0])


@pytest.mark.filterwarnings("error")
def test_readers_who_disagree_have_an_icc_without_its_lower_limit():
    ef = {"A": [46.98, 60.27, 55.68], "B": [53.80, 43.92, 46.99]}
    table = pd.DataFrame({**ef, "model": np.nan, "structure": "LV", "measure": "EF", "unit": "%"})
    (row,) = agreement(table).to_dict("records")
    assert row["icc"] < 0
    assert math.isnan(row["icc_low"])


def write_table(path, *rows, head=HEAD):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def readers_table(tmp_path):
    """A draws 8 and 4 pixels at both phases, B 10 and 5."""
    rows = ["1_slice000_frame000,test,A,B,90,2,0,8", "1_slice000_frame001,test,A,B,94,2,1,3"]
    return write_table(tmp_path / "ab.csv", *rows)


def test_a_table_compares_two_readers(tmp_path):
    found = compare(readers_table(tmp_path), spacing=(10.0, 10.0, 10.0))
    assert found.slices["dice"].tolist() == pytest.approx([16 / 18, 6 / 9])
    assert found.slices["difference"].tolist() == pytest.approx([2, 1])
    assert found.measurements.set_index("measure")["B"].to_dict() == {"EDV": 10, "ESV": 5, "EF": 50}


def test_a_model_against_a_has_a_volume_against_b_but_no_dice(tmp_path):
    rows = ["1_slice000_frame000,test,A,m,91,1,0,8", "1_slice000_frame001,test,A,m,96,0,0,4"]
    found = compare(readers_table(tmp_path), None, write_table(tmp_path / "am.csv", *rows))
    chosen = found.slices.query("pair == 'B vs model'")
    assert chosen["difference"].tolist() == [-1, -1]
    assert chosen["dice"].isna().all()
    assert "B vs model" not in set(found.metrics.query("metric == 'dice'")["pair"])


def test_the_pixels_tell_which_reader_a_table_of_the_model_is_of(tmp_path):
    rows = ["1_slice000_frame000,test,x,m,89,1,2,8", "1_slice000_frame001,test,x,m,95,0,1,4"]
    found = compare(readers_table(tmp_path), None, write_table(tmp_path / "bm.csv", *rows))
    assert found.slices.query("pair == 'B vs model'")["dice"].tolist() == pytest.approx([16 / 19, 8 / 9])


def test_tables_of_different_images_count_only_what_each_has(tmp_path):
    am = write_table(tmp_path / "am.csv", "1_slice000_frame000,test,A,m,91,1,0,8")
    bm = write_table(tmp_path / "bm.csv", "1_slice000_frame001,test,B,m,95,0,1,4")
    found = compare(readers_table(tmp_path), None, am, bm)
    pooled = found.summary.query("metric == 'dice_pooled'").set_index("pair")["mean"]
    assert pooled["A vs model"] == pytest.approx(16 / 17)
    assert pooled["B vs model"] == pytest.approx(8 / 9)
    assert found.problems == []


def test_images_that_the_model_lacks_are_a_problem(tmp_path):
    found = compare(
        readers_table(tmp_path),
        None,
        write_table(tmp_path / "am.csv", "1_slice000_frame000,test,A,m,91,1,0,8"),
    )
    assert found.failed == ("1",)
    assert found.problems[0].extra_info.startswith("1 image(s)")


def test_a_volume_of_which_a_slice_lacks_is_not_measured(tmp_path):
    rows = [f"1_slice00{z}_frame00{t},test,A,B,90,2,0,{8 - 4 * t}" for z in (0, 1) for t in (0, 1)]
    model = [f"1_slice00{z}_frame00{t},test,A,m,92,0,0,{8 - 4 * t}" for z, t in ((0, 0), (1, 0), (0, 1))]
    paths = (write_table(tmp_path / f"{name}.csv", *each) for name, each in (("ab", rows), ("am", model)))
    found = compare(next(paths), None, *paths)
    by_model = found.measurements.set_index("measure")["model"]
    assert by_model["EDV"] == 16
    assert by_model[["ESV", "EF"]].isna().all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1_slice000_frame000,test,A,m,80,9,5,6", r"am.csv are neither reader A nor B"),
        ("7_slice000_frame000,test,A,m,80,10,5,5", r"am.csv has none of the images of the readers"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        compare(readers_table(tmp_path), None, write_table(tmp_path / "am.csv", row))


def test_frames_of_different_slices_have_no_ejection_fraction(tmp_path):
    rows = [f"1_slice00{z}_frame00{t},test,A,B,90,2,0,8" for z, t in ((0, 0), (1, 0), (0, 1))]
    found = compare(write_table(tmp_path / "ab.csv", *rows))
    assert found.measurements.empty
    assert any("different slices" in note for note in found.notes)


def test_the_published_tables_give_the_published_agreement(published):
    folder = published / "7T"
    model = folder / "confusion_WS_doubleTransferLearn.tsv"
    found = compare(folder / "confusion_WS_TR.tsv", None, model, spacing=(2 * 0.625, 2 * 0.625, 6.0))
    scores = found.summary.query("metric == 'dice_image'").set_index(["pair", "structure"])["mean"].round(3)
    assert scores.to_dict() == {
        ("A vs B", "LV"): 0.939,
        ("A vs B", "MYO"): 0.813,
        ("A vs model", "LV"): 0.9,
        ("A vs model", "MYO"): 0.791,
    }
    lv = found.slices.query("structure == 'LV'")
    worst = lv.loc[lv.query("pair == 'A vs B'")["difference"].abs().idxmax()]
    assert (worst["subject"], worst["slice"], worst["frame"]) == ("28", 12, 3)  # "set 3, slice 12, phase 4"
    within = (lv["difference"].abs() <= 5).groupby(lv["pair"]).agg(["sum", "count"])
    assert within.loc["A vs B"].tolist() == [954, 955]
    assert (within["sum"] / within["count"]).min() > 0.95
    assert not math.isnan(found.agreement["bias"].sum())


def test_the_published_tables_give_the_published_differences_of_edv_and_esv(published):
    folder = published / "7T"
    model = folder / "confusion_WS_doubleTransferLearn.tsv"
    found = compare(folder / "confusion_WS_TR.tsv", None, model).agreement.query("pair == 'A vs model'")
    assert pick(found, "relative_percent", measure="EDV") == pytest.approx(3.5, abs=0.05)
    assert pick(found, "relative_percent", measure="ESV") == pytest.approx(10.5, abs=0.05)
