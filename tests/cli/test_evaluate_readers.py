"""`cmrseg evaluate readers`: exit codes and what is said."""

from functools import partial

import nibabel as nib
import numpy as np
import pytest

from tests.cli.conftest import assert_one_sentence

HEAD = "image,set,methodA,methodB,bg_bg,bg_lv,lv_bg,lv_lv"


@pytest.fixture
def readers(cmrseg):
    return partial(cmrseg, "evaluate", "readers")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "ab.csv"
    path.write_text(
        "\n".join([HEAD, *(f"1_slice000_frame00{t},test,A,B,90,2,0,{8 - 4 * t}" for t in (0, 1))])
    )
    return path


@pytest.fixture
def masks(tmp_path):
    """Two readers in M&Ms layout; the second draws one row more."""
    for reader, rows in (("a", 8), ("b", 9)):
        for subject in ("A1", "B2"):
            mask = np.zeros((16, 16, 2), np.uint8)
            mask[:rows, :10] = 1
            name = tmp_path / reader / subject / f"{subject}_sa_ED"
            name.parent.mkdir(parents=True)
            for array, suffix in ((np.ones_like(mask), ""), (mask, "_gt")):
                image = nib.Nifti1Image(array, np.diag([2.0, 2.0, 10.0, 1.0]))
                nib.save(image, name.with_name(f"{name.name}{suffix}.nii.gz"))
    return tmp_path / "a", tmp_path / "b"


def test_the_screen_shows_the_dice_of_masks(readers, masks, tmp_path):
    code, said, _ = readers(*masks, "--out", tmp_path / "out")
    assert code == 0
    (line,) = [line for line in said.splitlines() if "LV" in line and "±" in line]
    assert line.count("0.941") == 3  # 2 * 8 / (8 + 9)
    assert "A vs B: 4 of 4 images differ by no more than 5 ml of LV" in said
    assert "fewer than 10" in said


def test_a_table_needs_no_second_reader(readers, table, tmp_path):
    code, said, _ = readers(table, "--spacing", "10,10,10", "--out", tmp_path / "out")
    assert code == 0
    assert "LV EDV (ml)" in said


def test_volumes_without_a_spacing_are_in_pixels(readers, table, tmp_path):
    code, said, _ = readers(table, "--out", tmp_path / "out")
    assert code == 0
    assert "LV EDV (pixels)" in said
    assert "volumes are in pixels" in said


def test_a_subject_that_b_lacks_ends_with_1(readers, masks, tmp_path):
    for path in (masks[1] / "B2").iterdir():
        path.unlink()
    code, said, complaint = readers(*masks, "--out", tmp_path / "out")
    assert code == 1
    assert "A vs B: 2 of 2 images" in said
    assert "1 problem(s)" in complaint


@pytest.mark.parametrize("spacing", ["1,2", "1,2,x", "1,2,0", "nan,1,1", "1,1,inf"])
def test_a_spacing_is_three_lengths(readers, table, tmp_path, spacing):
    code, _, complaint = readers(table, "--spacing", spacing, "--out", tmp_path / "out")
    assert code == 2
    assert "three lengths in mm" in complaint


def test_wrong_input_is_one_sentence(readers, masks, table, tmp_path):
    out = ("--out", tmp_path / "out")
    (tmp_path / "bad.csv").write_text("image,a,b\n1_slice000_frame000,1,2\n")
    (tmp_path / "nothing").mkdir()
    assert_one_sentence(readers(masks[0], *out), "is one reader")
    assert_one_sentence(readers(table, masks[0], *out), "ab.csv is a file")
    assert_one_sentence(readers(masks[0], tmp_path / "nothing", *out), "is empty")
    assert_one_sentence(readers(masks[0], tmp_path / "absent", *out), "does not exist")
    assert_one_sentence(readers(tmp_path / "bad.csv", *out), "no confusion counts")
    assert_one_sentence(readers(tmp_path / "absent.csv", *out), "does not exist")
    assert_one_sentence(readers(*masks, "--split", "test", *out), "no images in split test")
    assert_one_sentence(readers(table, "--split", "train", *out), "no image in split train")
    assert_one_sentence(
        readers(*masks, "--model", masks[0], "--model", masks[1], *out), "one model at a time"
    )
