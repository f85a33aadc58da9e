"""True indices: measured on masks, or from a table."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.data.catalog import read_catalog
from cmrseg.io.images import save_image, save_mask
from cmrseg.metrics.indices import INDICES
from cmrseg.problems import DataError
from cmrseg.tasks import get_task
from cmrseg.tasks.quantification.truth import cine_indices, read_indices, true_indices

SPACING = (1.25, 1.25, 8.0)
RADII = (20.0, 18.0, 14.0)  # mm, of the cavity at every frame


def ring(radius_mm):
    """Cavity, a wall of 10 mm, and an RV on its left."""
    x, y = (np.arange(96) - 47.5) * SPACING[0], (np.arange(96)[:, None].T - 47.5) * SPACING[1]
    r = np.hypot(x[:, None], y)
    mask = np.where(r <= radius_mm, 1, np.where(r <= radius_mm + 10, 2, 0)).astype(np.uint8)
    beside = (np.hypot(x[:, None] + radius_mm + 20, y) <= 14) & (mask == 0)
    mask[beside] = 3
    return mask


@pytest.fixture
def data(tmp_path):
    """One subject of six slices and three frames."""
    frames = np.stack([np.stack([ring(radius)] * 6, axis=2) for radius in RADII], axis=3)
    save_image(Cine(frames.astype(np.float32), SPACING), tmp_path / "a" / "sa.nii.gz")
    save_mask(Cine(frames, SPACING), tmp_path / "a" / "truth.nii.gz")
    row = {"subject": "a", "image": "a/sa.nii.gz", "mask": "a/truth.nii.gz", "split": "train"}
    pd.DataFrame([row]).to_csv(tmp_path / "catalog.csv", index=False)
    return tmp_path


def test_a_ring_has_its_closed_form_indices(data):
    table, problems = true_indices(read_catalog(data))
    assert problems == []
    assert sorted(table["slice"].unique()) == [2, 3]  # the middle third of six
    first = table[(table["slice"] == 2) & (table["frame"] == 0)].iloc[0]
    assert first["cavity_area_mm2"] == pytest.approx(np.pi * 20**2, rel=0.02)
    assert first["myocardium_area_mm2"] == pytest.approx(np.pi * (30**2 - 20**2), rel=0.02)
    assert first[["dim1_mm", "dim2_mm", "dim3_mm"]].to_numpy(float) == pytest.approx([40] * 3, abs=0.7)
    assert first[[f"rwt{i}_mm" for i in range(1, 7)]].to_numpy(float) == pytest.approx([10] * 6, abs=0.7)


def test_the_lv_tells_the_phase(data):
    table, _ = true_indices(read_catalog(data))
    assert table[table["slice"] == 2].set_index("frame")["phase"].tolist() == [0, 1, 1]


def test_slices_can_be_named(data):
    (refs,) = read_catalog(data).cines()
    assert sorted(cine_indices(refs, slices=(0, 5))["slice"].unique()) == [0, 5]


def test_with_one_frame_the_phase_is_unknown(data):
    (refs,) = read_catalog(data).cines()
    table = cine_indices(refs[:1])
    assert table["phase"].isna().all()
    assert table[list(INDICES)].notna().all(axis=None)


def test_a_table_beside_the_data_wins(data):
    row = {"subject": "a", "frame": 1, "slice": 4, "phase": "systole"} | dict.fromkeys(INDICES, 7.0)
    other = {**row, "subject": "b"}
    pd.DataFrame([row, other]).to_csv(data / "indices.csv", index=False)
    table, _ = true_indices(read_catalog(data))
    assert table[["subject", "frame", "slice", "phase"]].to_numpy().tolist() == [["a", 1, 4, 1.0]]
    assert (table[list(INDICES)] == 7).all(axis=None)


def test_the_table_of_a_prediction_is_read(tmp_path):
    pd.DataFrame({"study": ["1"], "frame": [0], "slice": [2], "dim1_mm": [40.0], "phase": [0.7]}).to_csv(
        tmp_path / "indices.csv", index=False
    )
    assert read_indices(tmp_path / "indices.csv").to_numpy().tolist() == [["1", 0, 2, 0.7, 40.0]]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"subject": ["a"], "frame": [0], "dim1_mm": [1]}, "no column slice"),
        ({"subject": ["a"], "frame": [0], "slice": [0]}, "has no index; its columns may be"),
        ({"subject": ["a"], "frame": ["x"], "slice": [0], "dim1_mm": [1]}, "must be whole numbers"),
        ({"subject": ["a"] * 2, "frame": [0] * 2, "slice": [0] * 2, "dim1_mm": [1] * 2}, "more than once"),
    ],
    ids=["no slice", "no index", "no number", "twice"],
)
def test_a_table_that_cannot_be_used_is_told(tmp_path, columns, told):
    pd.DataFrame(columns).to_csv(tmp_path / "indices.csv", index=False)
    with pytest.raises(DataError, match=told):
        read_indices(tmp_path / "indices.csv")


def test_images_that_miss_a_number_are_not_learnt_from(data):
    task = get_task("quantification-joint")
    assert list(task.numbers(read_catalog(data))) == ["subject", "frame", "slice", *INDICES, "phase"]
    row = {"subject": "a", "frame": 1, "slice": 4, "phase": ""} | dict.fromkeys(INDICES, 7.0)
    pd.DataFrame([row]).to_csv(data / "indices.csv", index=False)
    with pytest.raises(DataError, match=r"no image of .* has all of cavity_area_mm2"):
        task.numbers(read_catalog(data))
    assert len(get_task("quantification").numbers(read_catalog(data))) == 1
