"""Finding the predicted masks that belong to true volumes."""

import numpy as np
import pytest
from PIL import Image

from cmrseg.data.catalog import read_catalog
from cmrseg.data.predictions import NOT_EVALUATED, find_predictions
from cmrseg.problems import DataError


def png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ones((4, 4), np.uint8)).save(path)
    return path


@pytest.fixture
def truth(tmp_path):
    """One subject with two slices at one frame, in the paper's PNG layout."""
    for folder in ("images", "masks"):
        for z in (0, 1):
            png(tmp_path / "truth" / folder / "test" / f"7_slice{z:03d}_frame000.png")
    return tmp_path / "truth"


@pytest.fixture
def refs(truth):
    return read_catalog(truth).volumes()


def test_names_of_cmrseg_are_found_with_its_labels(tmp_path, truth, refs):
    written = [png(tmp_path / "p" / "7" / f"7_slice{z:03d}_frame000_seg.png") for z in (0, 1)]
    ((ref, other),), missing = find_predictions(refs, tmp_path / "p", truth, None)
    assert ref is refs[0]
    assert list(other.masks) == written
    assert other.labels == "cmrseg"
    assert not missing


@pytest.mark.parametrize("folder", ["masks/test", "test", "."])
def test_names_of_the_true_masks_are_found_with_the_labels_of_the_truth(tmp_path, truth, refs, folder):
    for z in (0, 1):
        png(tmp_path / "p" / folder / f"7_slice{z:03d}_frame000.png")
    ((_, other),), _ = find_predictions(refs, tmp_path / "p", truth, None)
    assert other.labels == "cmr-seg-tl"


def test_a_named_scheme_wins(tmp_path, truth, refs):
    for z in (0, 1):
        png(tmp_path / "p" / "7" / f"7_slice{z:03d}_frame000_seg.png")
    ((_, other),), _ = find_predictions(refs, tmp_path / "p", truth, "acdc")
    assert other.labels == "acdc"


def test_an_unknown_scheme_is_refused(tmp_path, truth, refs):
    with pytest.raises(ValueError, match="unknown label scheme 'acdx'"):
        find_predictions(refs, tmp_path, truth, "acdx")


def test_a_volume_that_lacks_a_slice_is_missing(tmp_path, truth, refs):
    for z in (2, 3):
        for folder in ("images", "masks"):
            png(truth / folder / "test" / f"8_slice{z:03d}_frame000.png")
    refs = read_catalog(truth).volumes()
    for name in ("7/7_slice000", "7/7_slice001", "8/8_slice002"):
        png(tmp_path / "p" / f"{name}_frame000_seg.png")
    pairs, (problem,) = find_predictions(refs, tmp_path / "p", truth, None)
    assert [ref.subject for ref, _ in pairs] == ["7"]
    assert (problem.study, problem.resolution) == ("8", NOT_EVALUATED)
    assert "8_slice003_frame000_seg.png" in problem.extra_info


def test_nothing_found_names_an_expected_file(tmp_path, truth, refs):
    (tmp_path / "p").mkdir()
    with pytest.raises(DataError, match=r"7_slice000_frame000_seg\.png"):
        find_predictions(refs, tmp_path / "p", truth, None)
