"""Methods that are compared on the same subjects, on masks of known error."""

import json

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.evaluation.compared_masks import compare_masks
from cmrseg.evaluation.compared_masks_report import comparison_report, verdicts
from cmrseg.io.own_masks import save_own_mask
from cmrseg.problems import DataError
from tests.evaluation.test_regions import SPACING, heart, write


@pytest.fixture
def truth(tmp_path):
    return write(tmp_path / "truth", subjects=3)


@pytest.fixture
def half(tmp_path):
    """Misses half of the LV in two slices."""
    return write(tmp_path / "half", shrink=(8, 9), subjects=3)


def of(found, structure, metric):
    table = found.differences.set_index(["structure", "metric"])
    return table.loc[(structure, metric)]


def test_a_method_that_is_the_truth_gains_what_the_baseline_lacks(truth, half, tmp_path):
    same = write(tmp_path / "same", subjects=3)
    found = compare_masks(truth, {"half": half, "same": same})
    lv = of(found, "LV", "dice")
    assert (lv["baseline"], lv["method"], lv["n"], lv["better"], lv["worse"]) == ("half", "same", 3, 3, 0)
    assert lv["method_mean"] == 1
    assert lv["difference"] == pytest.approx(1 - lv["baseline_mean"])
    assert lv["low"] > 0
    assert of(found, "MYO", "dice")["difference"] == 0
    (said,) = verdicts(found)
    assert said == f"same against half: {found.changes['same']}. This is no proof: fewer than 10 subjects."


def test_the_size_of_a_signed_error_is_compared(truth, half, tmp_path):
    same = write(tmp_path / "same", subjects=3)
    found = compare_masks(truth, {"same": same, "half": half})
    volume = of(found, "LV", "volume_abs_error")
    # Half of the squares of the slices 8 and 9 of ED and ES are missing, in every other subject larger ones.
    missing = [(2 * (r + 4)) ** 2 for r in (8, 5, 9, 6, 8, 5)]  # two halves of a square of that side
    assert volume["difference"] == pytest.approx(np.mean(missing) * np.prod(SPACING) / 1000)
    assert (volume["better"], volume["worse"]) == (0, 3)
    assert "volume_error" not in set(found.differences["metric"])


def test_the_images_that_differ_most_come_first(truth, half, tmp_path):
    other = write(tmp_path / "other", shrink=(3,), subjects=3)
    found = compare_masks(truth, {"half": half, "other": other})
    images = found.images
    assert set(images.loc[images["change"] > 0, "slice"]) == {8, 9}
    assert set(images.loc[images["change"] < 0, "slice"]) == {3}
    sizes = images["change"].abs().to_numpy()
    assert (np.diff(sizes) <= 0).all()
    pictures = comparison_report(found, provenance={}).sections[2].pictures
    assert [p.name for p in pictures] == ["gains_1", "loses_1"]
    titles = [ax.get_title() for ax in pictures[0].figure.axes]
    assert titles[0].startswith("half: s")
    assert titles[1].startswith("other: s")
    assert titles[1].endswith("Dice 1.00")


def test_a_subject_that_one_method_lacks_is_no_difference(truth, half, tmp_path):
    part = write(tmp_path / "part", subjects=2)
    found = compare_masks(truth, {"half": half, "part": part})
    assert set(found.subjects["subject"]) == {"s0", "s1"}
    assert set(found.images["subject"]) == {"s0", "s1"}
    assert {p.study for p in found.problems} == {"s2"}


def test_a_truth_of_predicted_masks_is_refused(truth, half, tmp_path):
    save_own_mask(Cine(heart(8), SPACING), tmp_path / "own" / "s0" / "seg.nii.gz")
    with pytest.raises(DataError, match=r"as cmrseg wrote them .* the truth comes first"):
        compare_masks(tmp_path / "own", {"half": half, "truth": truth})


def test_what_a_person_corrected_may_be_the_truth(truth, half):
    """Their checksum is no longer that which was noted."""
    noted = {"ED_truth.nii.gz": {"sha256": ["0"], "source": ""}}
    (truth / "s0" / "masks.json").write_text(json.dumps(noted))
    assert compare_masks(truth, {"half": half, "also": half}).baseline == "half"


def test_a_folder_without_masks_first_is_told_the_order(truth, half, tmp_path):
    table = pd.read_csv(half / "catalog.csv").drop(columns="mask")
    table.to_csv(half / "catalog.csv", index=False)
    with pytest.raises(DataError, match=r"no data set with true masks.*TRUTH A B"):
        compare_masks(half, {"a": tmp_path, "truth": truth})


def test_one_folder_twice_is_refused(truth, half):
    with pytest.raises(DataError, match="as truth and as the method again"):
        compare_masks(truth, {"half": half, "again": truth})
    with pytest.raises(ValueError, match="at least two"):
        compare_masks(truth, {"half": half})
