"""From files to masks on their native grid, with a network of known answer: it thresholds grey values."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from cmrseg.cine import Cine
from cmrseg.data.augment import flips_of
from cmrseg.data.catalog import read_catalog
from cmrseg.io.images import load_image, load_mask, save_image, save_mask
from cmrseg.labels import Label
from cmrseg.models import ARCHITECTURES, Architecture
from cmrseg.predict import (
    AS_PUBLISHED,
    Options,
    predict,
    segment_cine,
    segmenter,
    study_segmenter,
)
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.tasks.segmentation.one_heart import largest_components
from cmrseg.zoo.model_file import Model, ModelSpec, save_model

GREY = np.array([0.0, 1.0, 0.5], np.float32)  # background, LV, MYO
SPEC = ModelSpec(
    name="threshold",
    architecture="threshold",
    labels=("BACKGROUND", "LV", "MYO"),
    preprocessing=Preprocessing(pixel_mm=None, size=32, rgb=True, low_percentile=0, high_percentile=100),
    recipe="threshold",
)


class Threshold(nn.Module):
    """Logits by the distance of a grey value from that of each class."""

    def __init__(self, in_channels=3, classes=3):
        super().__init__()
        self.register_buffer("grey", torch.from_numpy(GREY))
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        value = x[:, :1] * 0.229 + 0.485  # ImageNet's convention undone
        return -100 * (value - self.grey[:, None, None]).abs()


def taught(recipe):
    """A model of a recipe, with the flips of its augmentation."""
    return replace(SPEC, recipe=recipe, flips=flips_of(recipe))


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(
        ARCHITECTURES, "threshold", Architecture("threshold", Threshold, lambda m: m, rgb=True)
    )
    monkeypatch.setattr("cmrseg.models.device.default_device", lambda: torch.device("cpu"))


@pytest.fixture
def model(tmp_path):
    return save_model(SPEC, Threshold().state_dict(), tmp_path / "threshold.safetensors")


def ring(x, y, z=1, t=1, *, spacing=(1.4, 1.4, 8.0), radius=18.0):
    """Truth: a cavity in a wall, off the centre, wider in every later slice and frame."""
    px, py, pz, pt = np.ogrid[:x, :y, :z, :t]
    r = np.hypot((px - 0.4 * x) * spacing[0], (py - 0.6 * y) * spacing[1]) - pz - pt
    return np.where(r <= 0.6 * radius, 1, np.where(r <= radius, 2, 0)).astype(np.uint8)


def write(path, mask, spacing=(1.4, 1.4, 8.0), affine=None, times=()):
    """The image of a mask, and the mask."""
    affine = np.diag([*spacing, 1]) if affine is None else affine
    save_image(Cine(GREY[mask], spacing, affine, times), path)
    return mask


def dice(a, b, label):
    return 2 * ((a == label) & (b == label)).sum() / ((a == label).sum() + (b == label).sum())


# On the native grid


@pytest.mark.parametrize("shape", [(64, 64, 1), (61, 47, 3), (33, 90, 2)])
def test_without_resampling_the_mask_is_exact(tmp_path, model, shape):
    truth = write(tmp_path / "in" / "a.nii.gz", ring(*shape))
    predict(tmp_path / "in", tmp_path / "out", model=model)
    found = load_mask(tmp_path / "out" / "a" / "a_seg.nii.gz", "cmrseg").array
    np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize("spacing", [(0.9, 1.7, 8.0), (2.1, 2.1, 10.0), (0.8, 0.8, 5.0)])
def test_resampled_pixels_come_back_on_the_native_grid(spacing):
    truth = ring(91, 77, 2, spacing=spacing)
    spec = replace(SPEC, preprocessing=replace(SPEC.preprocessing, pixel_mm=1.5))
    found = segment_cine(Cine(GREY[truth], spacing), Model(spec, Threshold())).array
    assert found.shape == truth.shape
    assert dice(found, truth, Label.LV) > 0.96
    assert dice(found, truth, Label.MYO) > 0.9


def test_the_network_sees_multiples_of_32_of_the_resampled_image():
    net = Threshold()
    spec = replace(SPEC, preprocessing=replace(SPEC.preprocessing, pixel_mm=2.0))
    cine = Cine(GREY[ring(100, 60, 3)], (1.0, 1.0, 8.0))
    segment_cine(cine, Model(spec, net), Options(flips=False, batch_size=2))
    assert net.seen == [(2, 3, 32, 64), (1, 3, 32, 64)]


def test_spacing_affine_and_frame_times_are_those_of_the_input(tmp_path, model):
    affine = np.array([[0, -1.5, 0, 10], [1.4, 0, 0, -20], [0, 0, 8, 30], [0, 0, 0, 1.0]])
    write(tmp_path / "in" / "a.nii.gz", ring(40, 50, 2, 3), (1.4, 1.5, 8.0), affine, (0.0, 50.0, 100.0))
    predict(tmp_path / "in", tmp_path / "out", model=model)
    image, mask = (
        load_image(tmp_path / "in" / "a.nii.gz"),
        load_mask(tmp_path / "out" / "a" / "seg.nii.gz", "cmrseg"),
    )
    np.testing.assert_allclose(mask.affine, image.affine)
    assert mask.spacing == image.spacing
    assert mask.frame_times_ms == pytest.approx(image.frame_times_ms)


def test_a_png_mask_has_the_rows_of_its_image(tmp_path, model):
    truth = ring(61, 47)[..., 0, 0].T  # rows are y
    (tmp_path / "in").mkdir()
    Image.fromarray((GREY[truth] * 255).round().astype(np.uint8)).save(
        tmp_path / "in" / "p_slice003_frame000.png"
    )
    predict(tmp_path / "in", tmp_path / "out", model=model)
    found = np.asarray(Image.open(tmp_path / "out" / "p" / "p_slice003_frame000_seg.png"))
    np.testing.assert_array_equal(found, truth)


def test_every_png_slice_of_a_subject_has_a_mask(tmp_path, model):
    (tmp_path / "in").mkdir()
    for z in (2, 10):
        image = (GREY[ring(40, 40, radius=10.0 + z)[..., 0, 0].T] * 255).round().astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "in" / f"p_slice{z}_frame0.png")
    predict(tmp_path / "in", tmp_path / "out", model=model)
    for z in (2, 10):
        found = np.asarray(Image.open(tmp_path / "out" / "p" / f"p_slice{z}_frame0_seg.png"))
        np.testing.assert_array_equal(found, ring(40, 40, radius=10.0 + z)[..., 0, 0].T)


def test_flips_change_nothing_that_is_symmetric(tmp_path, model):
    cine = Cine(GREY[ring(61, 47)], (1.4, 1.4, 8.0))
    once, four = (segment_cine(cine, Model(SPEC, Threshold()), Options(flips=f)).array for f in (False, True))
    np.testing.assert_array_equal(once, four)


def test_an_image_without_contrast_is_all_background(tmp_path):
    cine = Cine(np.full((40, 40, 2, 1), 7.0, np.float32), (1.4, 1.4, 8.0))
    assert not segment_cine(cine, Model(SPEC, Threshold())).array.any()


def test_channels_are_translated_to_labels():
    spec = replace(SPEC, labels=("BACKGROUND", "RV", "MYO"))
    truth = ring(64, 64)
    found = segment_cine(Cine(GREY[truth], (1.4, 1.4, 8.0)), Model(spec, Threshold())).array
    np.testing.assert_array_equal(found == Label.RV, truth == 1)


# Frames


def test_all_frames_of_a_cine_are_segmented_although_two_are_listed(tmp_path, model):
    truth = write(tmp_path / "in" / "s1" / "sa.nii.gz", ring(40, 44, 2, 5))
    pd.DataFrame({"subject": "s1", "frame": [0, 3], "image": "s1/sa.nii.gz"}).to_csv(
        tmp_path / "in" / "catalog.csv", index=False
    )
    run = predict(tmp_path / "in", tmp_path / "out", model=model)
    np.testing.assert_array_equal(load_mask(tmp_path / "out" / "s1" / "seg.nii.gz", "cmrseg").array, truth)
    assert run.volumes["frame"].tolist() == [0, 1, 2, 3, 4]


def test_single_frames_of_a_subject_are_one_study(tmp_path, model):
    for frame, radius in ((1, 20.0), (9, 12.0)):
        write(
            tmp_path / "in" / "patient001" / f"patient001_frame{frame:02d}.nii.gz",
            ring(64, 64, radius=radius),
        )
    run = predict(tmp_path / "in", tmp_path / "out", model=model)
    assert sorted(p.name for p in (tmp_path / "out" / "patient001").glob("*.nii.gz")) == [
        "patient001_frame01_seg.nii.gz",
        "patient001_frame09_seg.nii.gz",
    ]
    assert run.summary[["study", "ED_frame", "ES_frame"]].values.tolist() == [["patient001", 1, 9]]


# Largest components


def test_smaller_pieces_become_background():
    mask = np.zeros((10, 10, 3, 1), np.uint8)
    mask[1:4, 1:4, :2] = Label.LV
    mask[8, 8, 2] = Label.LV
    mask[6, 6, 0] = Label.RV
    kept = largest_components(mask)
    assert kept[8, 8, 2, 0] == Label.BACKGROUND
    assert (kept == Label.LV).sum() == 18
    assert kept[6, 6, 0, 0] == Label.RV


def test_frames_are_cleaned_each_for_itself():
    mask = np.zeros((6, 1, 1, 2), np.uint8)
    mask[0:3, ..., 0] = mask[5, ..., 0] = Label.LV
    mask[5, ..., 1] = Label.LV
    np.testing.assert_array_equal(
        largest_components(mask)[:, 0, 0].T, [[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]]
    )


@pytest.mark.parametrize("clean", [True, False])
def test_specks_of_the_network_go_unless_they_are_wanted(clean):
    truth = ring(64, 64)
    truth[60, 3] = Label.LV
    cine = Cine(GREY[truth], (1.4, 1.4, 8.0))
    found = segment_cine(cine, Model(SPEC, Threshold()), Options(pieces="heart" if clean else "all")).array
    assert found[60, 3, 0, 0] == (0 if clean else Label.LV)


def test_as_published_every_image_passes_once_and_whole_and_all_pieces_stay():
    truth = moving_ring(1)
    truth[1, 2, 0, 0] = Label.LV
    net, spec = Threshold(), taught("threshold_CE_x_s3")
    found = segment_cine(cine_of(truth), Model(spec, net), AS_PUBLISHED).array
    np.testing.assert_array_equal(found, truth)
    assert sum(shape[0] for shape in net.seen) == truth.shape[2] * truth.shape[3]
    assert {shape[2:] for shape in net.seen} == {(160, 224)}  # 160 x 200 pixels on multiples of 32


# Runs


def folder_of(tmp_path, *names):
    for name in names:
        write(tmp_path / "in" / f"{name}.nii.gz", ring(40, 44, 2))
    return tmp_path / "in"


def test_tables_have_the_columns_of_the_contract(tmp_path, model):
    predict(folder_of(tmp_path, "a"), tmp_path / "out", model=model)
    volumes, summary = (pd.read_csv(tmp_path / "out" / f"{n}.csv") for n in ("volumes", "summary"))
    assert list(volumes.columns) == ["study", "frame", "time_ms", "LV_ml", "MYO_ml", "RV_ml"]
    assert list(summary.columns) == [
        "study", "EDV_ml", "ESV_ml", "SV_ml", "EF_percent", "MYO_mass_g", "ED_frame", "ES_frame",
    ]  # fmt: skip


def test_volumes_are_pixels_times_their_size(tmp_path, model):
    source = folder_of(tmp_path, "a")
    run = predict(source, tmp_path / "out", model=model)
    pixels = (ring(40, 44, 2) == Label.LV).sum()
    assert run.volumes.loc[0, "LV_ml"] == pytest.approx(pixels * 1.4 * 1.4 * 8 / 1000, rel=1e-5)


def test_without_spacing_there_are_masks_and_a_note_but_no_volumes(tmp_path, model):
    write(tmp_path / "in" / "a.nii.gz", ring(40, 44, 2), (1.0, 1.0, 1.0))
    run = predict(tmp_path / "in", tmp_path / "out", model=model)
    assert any("pixel size unknown" in note for note in run.notes)
    assert run.volumes["LV_ml"].isna().all()
    assert (tmp_path / "out" / "a" / "a_seg.nii.gz").exists()


def test_a_damaged_file_is_a_problem_and_the_others_are_written(tmp_path, model):
    source = folder_of(tmp_path, "a", "b", "c")
    noise = np.random.default_rng(0).normal(size=(40, 44, 2)).astype(np.float32)
    nib.save(nib.Nifti1Image(noise, np.diag([1.4, 1.4, 8, 1])), source / "b.nii.gz")
    (source / "b.nii.gz").write_bytes((source / "b.nii.gz").read_bytes()[:-3000])
    run = predict(source, tmp_path / "out", model=model)
    assert [(p.study, p.resolution) for p in run.problems] == [("b", "left out")]
    assert "truncated or damaged" in run.problems[0].extra_info
    assert run.summary["study"].tolist() == ["a", "c"]
    assert pd.read_csv(tmp_path / "out" / "problems.tsv", sep="\t")["study"].tolist() == ["b"]
    assert not (tmp_path / "out" / "b").exists()


def test_nan_intensities_are_a_problem(tmp_path, model):
    source = folder_of(tmp_path, "a", "b")
    save_image(Cine(np.full((4, 4, 1, 1), np.nan, np.float32), (1.4, 1.4, 8.0)), source / "b.nii.gz")
    run = predict(source, tmp_path / "out", model=model)
    assert [p.study for p in run.problems] == ["b"]


def test_problems_of_an_earlier_run_go_when_all_is_well(tmp_path, model):
    source = folder_of(tmp_path, "a", "b")
    good = (source / "b.nii.gz").read_bytes()
    (source / "b.nii.gz").write_bytes(good[:30])
    predict(source, tmp_path / "out", model=model)
    (source / "b.nii.gz").write_bytes(good)
    predict(source, tmp_path / "out", model=model, options=Options(resume=True))
    assert not (tmp_path / "out" / "problems.tsv").exists()


def test_a_subject_that_names_no_folder_is_a_problem_and_nothing_escapes(tmp_path, model):
    source = folder_of(tmp_path, "a", "b")
    pd.DataFrame({"subject": ["../escaped", "b"], "image": ["a.nii.gz", "b.nii.gz"]}).to_csv(
        source / "catalog.csv", index=False
    )
    run = predict(source, tmp_path / "out", model=model)
    assert [p.study for p in run.problems] == ["../escaped"]
    assert not (tmp_path / "escaped").exists()


def test_resuming_keeps_the_masks_that_are_there(tmp_path, model, monkeypatch):
    source = folder_of(tmp_path, "a", "b")
    first = predict(source, tmp_path / "out", model=model)
    (tmp_path / "out" / "b" / "b_seg.nii.gz").unlink()
    before = (tmp_path / "out" / "a" / "a_seg.nii.gz").stat().st_mtime_ns
    second = predict(source, tmp_path / "out", model=model, options=Options(resume=True))
    assert (tmp_path / "out" / "a" / "a_seg.nii.gz").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "b" / "b_seg.nii.gz").exists()
    pd.testing.assert_frame_equal(first.summary, second.summary)
    pd.testing.assert_frame_equal(first.volumes, second.volumes)


def test_resuming_does_not_mistake_a_mask_of_another_grid(tmp_path, model):
    source = folder_of(tmp_path, "a", "b")
    predict(source, tmp_path / "out", model=model)
    write(source / "a.nii.gz", ring(44, 40, 2))
    run = predict(source, tmp_path / "out", model=model, options=Options(resume=True))
    assert [p.study for p in run.problems] == ["a"]
    assert "another grid" in run.problems[0].extra_info
    assert run.summary["study"].tolist() == ["b"]


def test_a_run_without_resume_writes_all_masks_again(tmp_path, model):
    source = folder_of(tmp_path, "a")
    predict(source, tmp_path / "out", model=model)
    before = (tmp_path / "out" / "a" / "a_seg.nii.gz").stat().st_mtime_ns
    predict(source, tmp_path / "out", model=model)
    assert (tmp_path / "out" / "a" / "a_seg.nii.gz").stat().st_mtime_ns > before


# Masks that are there already


@pytest.mark.parametrize("resume", [True, False])
def test_a_mask_that_a_person_has_changed_is_kept_and_measured(tmp_path, model, resume):
    source, path = folder_of(tmp_path, "a", "b"), tmp_path / "out" / "a" / "a_seg.nii.gz"
    first = predict(source, tmp_path / "out", model=model)
    mask = load_mask(path, "cmrseg")
    save_mask(mask.with_array(np.where(mask.array == 2, 1, mask.array)), path)
    corrected = path.read_bytes()
    for _ in range(2):
        run = predict(source, tmp_path / "out", model=model, options=Options(resume=resume))
        assert path.read_bytes() == corrected
        assert run.volumes["MYO_ml"].iloc[0] == 0
        assert run.volumes.iloc[1:].equals(first.volumes.iloc[1:])
        assert [
            note for note in run.notes if "changed by a person, kept and measured" in note and "a_seg" in note
        ]
    assert run.problems == []


def test_a_changed_mask_that_cannot_be_used_is_a_problem_and_stays(tmp_path, model):
    source, path = folder_of(tmp_path, "a", "b"), tmp_path / "out" / "a" / "a_seg.nii.gz"
    predict(source, tmp_path / "out", model=model)
    path.write_bytes(b"half a mask")
    run = predict(source, tmp_path / "out", model=model)
    assert [p.study for p in run.problems] == ["a"]
    assert run.summary["study"].tolist() == ["b"]
    assert path.read_bytes() == b"half a mask"


@pytest.mark.parametrize("resume", [True, False])
def test_a_mask_of_unknown_origin_gets_another_name(tmp_path, model, resume):
    source, folder = folder_of(tmp_path, "a"), tmp_path / "out" / "a"
    folder.mkdir(parents=True)
    (folder / "a_seg.nii.gz").write_bytes(b"somebody's work")
    run = predict(source, tmp_path / "out", model=model, options=Options(resume=resume))
    assert (folder / "a_seg_before_1.nii.gz").read_bytes() == b"somebody's work"
    assert load_mask(folder / "a_seg.nii.gz", "cmrseg").array.any()
    assert any("a_seg_before_1.nii.gz" in note for note in run.notes)


def test_of_png_slices_those_that_were_changed_are_kept(tmp_path, model):
    for z in range(3):
        grey = (GREY[ring(40, 40, 3)[:, :, z, 0]] * 255).astype(np.uint8)
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(grey.T).save(tmp_path / "in" / f"p1_slice{z}_frame0.png")
    predict(tmp_path / "in", tmp_path / "out", model=model)
    masks = sorted((tmp_path / "out" / "p1").glob("*_seg.png"))
    kept = [mask.read_bytes() for mask in masks]
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(masks[1])
    predict(tmp_path / "in", tmp_path / "out", model=model)
    assert not load_mask(masks[1], "cmrseg").array.any()
    assert [masks[z].read_bytes() for z in (0, 2)] == [kept[0], kept[2]]


def test_masks_of_a_data_set_are_never_replaced(tmp_path, model):
    truth = write(tmp_path / "p1" / "sa.nii.gz", ring(40, 40, 2, 3))
    path = save_mask(Cine(truth, (1.4, 1.4, 8.0)), tmp_path / "p1" / "seg.nii.gz")
    before = path.read_bytes()
    with pytest.raises(DataError, match="is a mask of the data"):
        predict(tmp_path, tmp_path, model=model)
    assert path.read_bytes() == before
    path.unlink()
    predict(tmp_path, tmp_path, model=model)
    predict(tmp_path, tmp_path, model=model)  # its own
    assert path.exists()
    (tmp_path / "teacher.json").write_text("{}")
    with pytest.raises(DataError, match="masks of a teacher"):
        predict(tmp_path, tmp_path, model=model)


def test_resuming_tells_of_masks_of_another_model(tmp_path, model):
    source = folder_of(tmp_path, "a", "b")
    predict(source, tmp_path / "out", model=model)
    same = predict(source, tmp_path / "out", model=model, options=Options(resume=True))
    assert not any("another model" in note for note in same.notes)
    other = predict(source, tmp_path / "out", model=model, options=Options(resume=True, flips=False))
    assert any("2 mask(s) of another model or other settings" in note for note in other.notes)


def test_one_split_can_be_predicted(tmp_path, model):
    source = folder_of(tmp_path, "a", "b")
    pd.DataFrame({"subject": ["a", "b"], "split": ["train", "val"]}).to_csv(
        source / "splits.csv", index=False
    )
    assert predict(source, tmp_path / "out", model=model, splits=["val"]).summary["study"].tolist() == ["b"]


def test_a_catalog_can_be_predicted(tmp_path, model):
    catalog = read_catalog(folder_of(tmp_path, "a"))
    assert predict(catalog, tmp_path / "out", model=model).summary["study"].tolist() == ["a"]


def test_progress_is_told_after_every_study(tmp_path, model):
    told = []
    source = folder_of(tmp_path, "a", "b")
    predict(source, tmp_path / "out", model=model, progress=lambda *n: told.append(n))
    assert told == [(1, 2), (2, 2)]


def test_nothing_to_read_is_told(tmp_path, model):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="is empty"):
        predict(tmp_path / "in", tmp_path / "out", model=model)


def test_two_images_never_go_to_one_mask(tmp_path, model):
    for phase in ("ED", "ES"):
        write(tmp_path / "data" / "s1" / phase / "image.nii.gz", ring(32, 32))
    rows = [
        {"subject": "s1", "frame": i, "image": f"s1/{p}/image.nii.gz"} for i, p in enumerate(("ED", "ES"))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "catalog.csv", index=False)
    run = predict(tmp_path / "data", tmp_path / "out", model=model)
    assert ["would both be written" in p.extra_info for p in run.problems] == [True]
    assert len(run.volumes) == 1


def test_what_the_model_does_not_segment_is_unknown(tmp_path, model):
    write(tmp_path / "data" / "one.nii.gz", ring(48, 48))
    run = predict(tmp_path / "data", tmp_path / "out", model=model)
    assert run.volumes["RV_ml"].isna().all()
    assert run.volumes["LV_ml"].gt(0).all()


@pytest.mark.parametrize(
    ("recipe", "passes"),
    [("light2d_CE_x_s1", 1), ("r34_CE_p5_s2_128", 2), ("light2d_CE_x_s3", 4), ("light2d_CE_s3_s4", 1)],
)
def test_only_the_flips_that_the_augmentation_taught_are_averaged(recipe, passes):
    net = Threshold()
    segment_cine(Cine(GREY[ring(32, 32)], (1.4, 1.4, 8.0)), Model(taught(recipe), net))
    assert len(net.seen) == passes


# The surroundings of the heart


def cine_of(truth, spacing=(1.4, 1.4, 8.0)):
    return Cine(GREY[truth], spacing)


def moving_ring(shift_px, *, frames=4):
    """A small ring in a wide field that moves along x from frame to frame."""
    px, py = np.ogrid[:200, :160]
    r = [np.hypot(px - 60 - shift_px * t, py - 90) * 1.4 for t in range(frames)]
    mask = np.stack([np.where(v <= 9, 1, np.where(v <= 15, 2, 0)) for v in r], axis=-1)
    return np.repeat(mask[:, :, None], 2, axis=2).astype(np.uint8)


def shown(truth, *, spec=SPEC, **options):
    """Mask of a cine, and the sizes of the images that the network was shown after the first pass."""
    net = Threshold()
    found = segment_cine(cine_of(truth), Model(spec, net), Options(**options)).array
    return found, {shape[2:] for shape in net.seen[1:]}


def test_of_a_cine_only_the_surroundings_of_the_heart_are_segmented():
    truth = moving_ring(1)
    found, sizes = shown(truth)
    assert sizes == {(96, 96)}
    np.testing.assert_array_equal(found, truth)


def test_resampled_surroundings_give_the_mask_of_the_whole_field():
    spec = replace(SPEC, preprocessing=replace(SPEC.preprocessing, pixel_mm=1.1))
    part, sizes = shown(moving_ring(1), spec=spec)
    whole, _ = shown(moving_ring(1), spec=spec, heart_crop=False)
    assert sizes == {(128, 96)}  # of 192 x 256
    np.testing.assert_array_equal(part, whole)


def test_a_heart_that_comes_near_the_edge_is_segmented_in_a_wider_box():
    truth = moving_ring(25)
    found, sizes = shown(truth)
    assert (96, 96) in sizes
    assert len(sizes) > 1
    np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize(
    "options",
    [
        {"heart_crop": False},
        {"spec": replace(SPEC, arguments={"norm": "instance"})},
    ],
    ids=["switched off", "a norm over the field"],
)
def test_the_whole_field_is_segmented_where_a_part_would_not_do(options):
    _, sizes = shown(moving_ring(1), **options)
    assert sizes <= {(160, 224)}


def test_two_frames_are_segmented_whole():
    assert shown(moving_ring(1, frames=2))[1] <= {(160, 224)}


def test_without_a_pixel_size_the_whole_field_is_segmented():
    net = Threshold()
    segment_cine(Cine(GREY[moving_ring(1)], (np.nan,) * 3), Model(SPEC, net))
    assert {shape[2:] for shape in net.seen} == {(160, 224)}


def test_where_the_first_frame_shows_nothing_the_whole_field_is_segmented():
    truth = moving_ring(3)
    truth[..., 0] = 0
    np.testing.assert_array_equal(shown(truth)[0], truth)


def test_a_heart_that_only_later_frames_show_in_a_slice_is_found():
    truth = moving_ring(3)
    truth[:, :, 1, 0] = 0
    np.testing.assert_array_equal(shown(truth)[0], truth)


# Progress within a study, and agreement of the flips


def test_parts_of_a_study_are_told_and_all_are_done_in_the_end():
    told = []
    segmenter(Model(SPEC, Threshold()), Options(batch_size=2))(
        cine_of(moving_ring(25)), lambda *n: told.append(n)
    )
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert told[-1][0] == told[-1][1]


class LeftRight(Threshold):
    """Sure of the LV in the left half of an image, unsure in the right half."""

    def forward(self, x):
        logits = super().forward(x).clamp(min=-50)
        right = torch.arange(x.shape[-1]) >= x.shape[-1] // 2
        bright = logits[:, 1] > -1
        logits[:, 1] = torch.where(bright & right, -1.0, logits[:, 1])
        logits[:, 0] = torch.where(bright & right, 0.0, logits[:, 0])
        return logits


def test_agreement_is_the_dice_of_each_flip_with_their_average():
    truth = np.zeros((64, 64, 2, 1), np.uint8)
    truth[20:44, 30:40, 0] = Label.LV  # symmetric about the middle of x
    spec = taught("threshold_CE_x_s2")
    found = study_segmenter(Model(spec, LeftRight()), Options(pieces="all"))(cine_of(truth))
    np.testing.assert_array_equal(found.mask.array, truth)
    table = found.agreement.set_index(["slice", "frame", "structure"])["dice"]
    assert table[0, 0, "LV"] == pytest.approx(2 / 3)  # each flip alone sees one half
    assert np.isnan(table[1, 0, "LV"])
    assert len(table) == 2 * 1 * 2


def test_flips_of_what_is_symmetric_agree():
    spec = taught("threshold_CE_x_s3")
    found = study_segmenter(Model(spec, Threshold()))(cine_of(moving_ring(1)))
    assert found.agreement["dice"].tolist() == [1.0] * (2 * 4 * 2)


def test_without_flips_there_is_nothing_to_agree():
    found = study_segmenter(Model(SPEC, Threshold()))(cine_of(moving_ring(1)))
    assert found.agreement.empty
    assert list(found.agreement.columns) == ["slice", "frame", "structure", "dice"]


def test_an_image_without_lv_has_no_volumes_and_is_told(tmp_path, model):
    write(tmp_path / "in" / "a.nii.gz", ring(32, 32, 3, 2))
    save_image(Cine(np.full((32, 32, 3, 2), 7.0), (1.4, 1.4, 8.0)), tmp_path / "in" / "b.nii.gz")
    run = predict(tmp_path / "in", tmp_path / "out", model=model)
    assert "no LV was found in 1 study(s), which have no volumes: b" in run.notes
    assert (tmp_path / "out" / "summary.csv").read_text().splitlines()[-1] == "b" + "," * 7


def test_a_mask_in_the_place_of_an_image_is_told(tmp_path, model):
    for name, image in (("a", ring(32, 32, 3)), ("b", GREY[ring(32, 32, 3)])):
        save_image(Cine(image.astype(np.float32), (1.4, 1.4, 8.0)), tmp_path / "in" / f"{name}.nii.gz")
    run = predict(tmp_path / "in", tmp_path / "out", model=model)
    (told,) = (note for note in run.notes if "seem to be masks" in note)
    assert told.startswith("1 file(s)")
    assert told.endswith(f"{tmp_path / 'in' / 'a.nii.gz'}")
