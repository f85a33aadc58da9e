"""Dice, volume and EF of base, middle and apex, on masks of known error."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.evaluation.regions import evaluate_regions, interpolated
from cmrseg.io.images import load_image, save_image, save_mask
from cmrseg.problems import DataError

SLICES, SPACING = 10, (2.0, 2.0, 10.0)


def heart(radius, *, shrink=()):
    """LV and MYO squares that grow towards the last slice, the base; half an LV where it is shrunk."""
    mask = np.zeros((40, 40, SLICES, 1), np.uint8)
    for z in range(SLICES):
        r = radius + z // 2
        mask[20 - r - 2 : 20 + r + 2, 20 - r - 2 : 20 + r + 2, z] = 2
        mask[20 - r : 20 + r, 20 - r : 20 + r, z] = 1
        if z in shrink:
            mask[20 - r : 20, 20 - r : 20 + r, z] = 0
    return mask


def write(folder, *, shrink=(), subjects=4, name="truth"):
    """Subjects with ED and ES, in cmrseg's own layout; masks only where they are predictions."""
    rows = []
    for number in range(subjects):
        for phase, radius in (("ED", 8), ("ES", 5)):
            place = f"s{number}/{phase}"
            image = Cine(np.zeros((40, 40, SLICES, 1), np.float32), SPACING)
            save_image(image, folder / f"{place}_img.nii.gz")
            save_mask(
                Cine(heart(radius + number % 2, shrink=shrink), SPACING), folder / f"{place}_{name}.nii.gz"
            )
            frame = {"ED": 0, "ES": 5}[phase]
            row = {"subject": f"s{number}", "frame": frame, "phase": phase, "split": "test"}
            rows.append(row | {"image": f"{place}_img.nii.gz", "mask": f"{place}_{name}.nii.gz"})
    pd.DataFrame(rows).to_csv(folder / "catalog.csv", index=False)
    return folder


@pytest.fixture
def truth(tmp_path):
    return write(tmp_path / "truth")


@pytest.fixture
def other(tmp_path):
    """Misses half of the LV in the two basal slices."""
    return write(tmp_path / "other", shrink=(8, 9))


def test_an_error_at_the_base_is_found_at_the_base(truth, other):
    found = evaluate_regions(truth, {"a": other}).table1.set_index(["structure", "region"])
    assert found.loc[("LV", "base"), "mean"] == pytest.approx(100 * 2 / 3)  # half against whole
    assert found.loc[("LV", ["middle", "apex"]), "mean"].tolist() == [100, 100]
    assert found.loc[("LV", "base"), "n"] == 4 * 2 * 2
    assert found.loc[("LV", "base"), "star"] == "*"
    assert found.loc[("LV", "base"), ["gap", "gap_low", "gap_high"]].to_numpy(float) == pytest.approx(
        -100 / 3
    )


def test_the_baseline_is_the_first_method(truth, other):
    found = evaluate_regions(truth, {"base": other, "perfect": truth}).table3
    row = found[(found["structure"] == "LV") & (found["region"] == "base")].iloc[0]
    assert (row["method"], row["n"]) == ("perfect", 16)
    assert row["mean"] == pytest.approx(100 / 3)
    assert (row["low"], row["high"]) == pytest.approx((100 / 3, 100 / 3))


def test_what_the_base_costs_in_ml_and_ef_points(truth, other):
    found = evaluate_regions(truth, {"a": other}).volumes.set_index(["structure", "region"])
    voxel_ml, base = 0.04, found.loc[("LV", "base")]
    missed = {r: sum((2 * (r + z // 2)) ** 2 / 2 for z in (8, 9)) for r in (8, 9, 5, 6)}
    assert base["EDV_error_ml"] == pytest.approx(-voxel_ml * (missed[8] + missed[9]) / 2)
    assert base["ESV_error_ml"] == pytest.approx(-voxel_ml * (missed[5] + missed[6]) / 2)
    whole = {r: sum((2 * (r + z // 2)) ** 2 for z in range(10)) for r in (8, 9, 5, 6)}

    def change(ed, es):
        return 100 * ((whole[es] / whole[ed]) - (whole[es] - missed[es]) / (whole[ed] - missed[ed]))

    assert base["EF_error"] == pytest.approx((change(8, 5) + change(9, 6)) / 2)
    assert found.loc[("LV", "middle"), ["EDV_error_ml", "EF_error"]].tolist() == [0, 0]


def test_absent_in_both_counts_as_one_and_is_told_apart(tmp_path):
    truth = write(tmp_path / "truth", shrink=())
    mask = heart(8)
    mask[..., :3, :][mask[..., :3, :] == 1] = 2  # an apex without a cavity
    for path in truth.rglob("*_truth.nii.gz"):
        save_mask(Cine(mask, SPACING), path)
    found = evaluate_regions(truth, {"same": truth}).table1.set_index(["structure", "region"])
    apex = found.loc[("LV", "apex")]
    assert (apex["mean"], apex["n"], apex["n_present"]) == (100, 16, 0)


def test_curves_run_from_base_to_apex(truth, other):
    curve = interpolated(evaluate_regions(truth, {"a": other}).slices)
    lv = curve[curve["structure"] == "LV"].set_index("percent")["mean"]
    assert len(lv) == 101
    assert (lv[0], lv[100]) == pytest.approx((200 / 3, 100))


def test_unknown_pixel_size_leaves_the_ml_out_and_the_ef_in(truth, other):
    for folder in (truth, other):
        for path in folder.rglob("*.nii.gz"):
            save = save_image if "img" in path.name else save_mask
            kind = np.float32 if "img" in path.name else np.uint8
            save(Cine(load_image(path).array.astype(kind), (1.0, 1.0, 1.0)), path)
    found = evaluate_regions(truth, {"a": other}).volumes.set_index(["structure", "region"])
    assert np.isnan(found.loc[("LV", "base"), "EDV_error_ml"])
    assert abs(found.loc[("LV", "base"), "EF_error"]) > 0.5
    function = evaluate_regions(truth, {"a": other}).function.set_index(["structure", "quantity"])
    assert function.loc[("LV", ["EDV", "EF"]), "n"].tolist() == [0, 4]


def test_masks_of_another_data_set_are_refused(truth, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        evaluate_regions(truth, {"a": tmp_path / "empty"})


def test_where_only_the_base_errs_the_whole_error_is_its_own(truth, other):
    found = evaluate_regions(truth, {"a": other})
    errors = found.function[found.function["structure"] == "LV"].set_index("quantity")
    base = found.volumes.set_index(["structure", "region"]).loc[("LV", "base")]
    assert errors.loc[["EDV", "ESV", "EF"], "bias"].tolist() == pytest.approx(
        base[["EDV_error_ml", "ESV_error_ml", "EF_error"]].tolist()
    )
    assert errors.loc["EDV", "abs_error"] == pytest.approx(-errors.loc["EDV", "bias"])
    assert (errors["n"] == 4).all()


def test_a_method_without_a_phase_has_no_errors_of_function(truth, other):
    table = pd.read_csv(truth / "catalog.csv")
    table[table["phase"] == "ED"].to_csv(truth / "catalog.csv", index=False)
    function = evaluate_regions(truth, {"a": other}).function
    assert (function["n"] == 0).all()
    assert function["bias"].isna().all()
