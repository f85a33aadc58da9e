"""Pseudo-labels: whole data sets labelled by any teacher, resumed, and trained on."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from monai.networks.nets import UNet

from cmrseg.cine import Cine
from cmrseg.data.catalog import load_volume_mask, read_catalog
from cmrseg.io.images import load_mask, save_image, save_mask
from cmrseg.io.own_masks import own_masks_below, read_own_masks
from cmrseg.predict import Options, predict
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.workflows.label import label
from cmrseg.zoo.model_file import ModelSpec, build_net, save_model

SPACING = (1.5, 1.5, 8.0)
FAST = Options(flips=False)
RESUME = Options(flips=False, resume=True)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
    monkeypatch.setattr("cmrseg.models.device.default_device", lambda: torch.device("cpu"))
    monkeypatch.setattr("cmrseg.teachers.monai_bundle.default_device", lambda: torch.device("cpu"))


def heart(frames=3):
    """A left ventricle that shrinks to frame 1, in a wall, with a right ventricle beside it."""
    x, y, z, t = np.ogrid[:32, :32, :2, :frames]
    r = np.hypot(x - 14, y - 15) + z + 2 * (t == 1)
    mask = np.where(r <= 6, 1, np.where(r <= 9, 2, 0))
    return np.where((np.hypot(x - 24, y - 15) <= 5) & (mask == 0), 3, mask).astype(np.uint8)


def write_study(data, name):
    image = np.array([0.0, 1.0, 0.3, 0.8], np.float32)[heart()]
    times = (0.0, 200.0, 400.0)
    save_image(Cine(image, SPACING, np.diag([*SPACING, 1]), times), data / name / "sa.nii.gz")


@pytest.fixture
def data(tmp_path):
    """Two curated studies."""
    for name in ("s1", "s2"):
        write_study(tmp_path / "data", name)
    (tmp_path / "data" / "problems.tsv").write_text("study\tproblem\n")
    return tmp_path / "data"


@pytest.fixture
def masks(tmp_path, data):
    """What ukbb_cardiac would have left."""
    for folder in data.glob("s*"):
        mask = Cine(heart(), SPACING, np.diag([*SPACING, 1]))
        save_mask(mask, tmp_path / "masks" / folder.name / "seg_sa.nii.gz")
    return tmp_path / "masks"


def write_model(path, labels=("BACKGROUND", "LV", "MYO", "RV"), seed=2):
    torch.manual_seed(seed)
    spec = ModelSpec(
        "light2d_CE_toy_s3",
        "light2d",
        labels,
        Preprocessing(size=32),
        "light2d_CE_toy_s3",
        {"widths": [4, 8]},
    )
    return save_model(spec, build_net(spec).state_dict(), path)


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model.safetensors")


def record(folder):
    return json.loads((folder / "teacher.json").read_text())


# What is written


def test_precomputed_masks_become_labels_beside_the_cines(data, masks):
    label(data, teacher=f"precomputed:{masks}")
    for name in ("s1", "s2"):
        found = load_mask(data / name / "seg.nii.gz", "cmrseg")
        np.testing.assert_array_equal(found.array, heart())
        assert found.frame_times_ms == pytest.approx((0, 200, 400))


def test_ed_and_es_are_the_largest_and_smallest_lv(data, masks):
    run = label(data, teacher=f"precomputed:{masks}")
    summary = pd.read_csv(data / "summary.csv")
    assert summary[["study", "ED_frame", "ES_frame"]].values.tolist() == [["s1", 0, 1], ["s2", 0, 1]]
    volumes = pd.read_csv(data / "volumes.csv")
    assert len(volumes) == 6
    assert volumes["LV_ml"].max() == pytest.approx(summary["EDV_ml"].max())
    assert run.problems == []


def test_a_model_labels_as_it_predicts(data, model, tmp_path):
    run = label(data, teacher=str(model), options=FAST)
    expected = predict(data, tmp_path / "predicted", model=model, options=FAST)
    pd.testing.assert_frame_equal(run.volumes, expected.volumes)
    pd.testing.assert_frame_equal(run.summary, expected.summary)


def test_a_monai_bundle_labels(data, tmp_path):
    net = {"spatial_dims": 2, "in_channels": 1, "out_channels": 4, "channels": [4, 8], "strides": [2]}
    for part in ("configs", "models"):
        (tmp_path / "bundle" / part).mkdir(parents=True)
    channels = {"0": "background", "1": "lv_pool", "2": "myocardium", "3": "rv_pool"}
    form = {
        "inputs": {"image": {"num_channels": 1, "spatial_shape": [32, 32], "value_range": []}},
        "outputs": {"pred": {"channel_def": channels}},
    }
    configs = {
        "inference": {"network_def": {"_target_": "UNet", **net}},
        "metadata": {"network_data_format": form},
    }
    for name, config in configs.items():
        (tmp_path / "bundle" / "configs" / f"{name}.json").write_text(json.dumps(config))
    torch.save(UNet(**net).state_dict(), tmp_path / "bundle" / "models" / "model.pt")
    run = label(data, teacher=f"monai:{tmp_path / 'bundle'}", out=tmp_path / "out")
    assert run.summary["study"].tolist() == ["s1", "s2"]
    assert load_mask(tmp_path / "out" / "s1" / "seg.nii.gz", "cmrseg").array.shape == (32, 32, 2, 3)
    assert any("no checksum" in note for note in run.notes)


def test_the_teacher_is_recorded(data, model):
    label(data, teacher=str(model), options=FAST)
    found = record(data)
    assert (found["teacher"], found["kind"], found["labels"]) == (str(model), "model", "LV=1,MYO=2,RV=3")
    assert found["flips_averaged"] is False
    assert len(found["sha256"]) == 64
    assert {"cmrseg", "date", "ED_ES"} <= set(found)


def test_labels_can_go_to_another_folder(data, masks, tmp_path):
    label(data, teacher=f"precomputed:{masks}", out=tmp_path / "out")
    assert (tmp_path / "out" / "s1" / "seg.nii.gz").exists()
    assert not (data / "s1" / "seg.nii.gz").exists()


def test_what_the_teacher_does_not_segment_is_unknown(data, tmp_path):
    model = write_model(tmp_path / "m.safetensors", ("BACKGROUND", "LV", "MYO"))
    assert label(data, teacher=str(model), options=FAST).volumes["RV_ml"].isna().all()


# Problems


def test_one_mask_on_another_grid_leaves_the_others(data, masks, tmp_path):
    save_mask(Cine(heart(2), SPACING), masks / "s1" / "seg_sa.nii.gz")
    run = label(data, teacher=f"precomputed:{masks}", out=tmp_path / "out")
    assert [p.study for p in run.problems] == ["s1"]
    assert run.summary["study"].tolist() == ["s2"]
    assert pd.read_csv(tmp_path / "out" / "problems.tsv", sep="\t")["study"].tolist() == ["s1"]


@pytest.mark.parametrize("missing", [True, False])
def test_the_problems_of_the_curation_are_kept(data, masks, missing):
    before = (data / "problems.tsv").read_text()
    if missing:
        (masks / "s1" / "seg_sa.nii.gz").unlink()
    label(data, teacher=f"precomputed:{masks}")
    assert (data / "problems.tsv").read_text() == before
    assert (data / "label_problems.tsv").exists() == missing


def test_masks_that_no_teacher_wrote_are_not_overwritten(data, masks):
    save_mask(Cine(heart(), SPACING), data / "s1" / "seg.nii.gz")
    with pytest.raises(DataError, match=r"s1/seg\.nii\.gz is there already"):
        label(data, teacher=f"precomputed:{masks}")


def test_the_masks_of_the_teacher_are_not_overwritten(data, masks):
    label(data, teacher=f"precomputed:{masks}")
    with pytest.raises(DataError, match="is a mask of the teacher"):
        label(data, teacher=f"precomputed:{data}")
    assert (data / "s1" / "seg.nii.gz").exists()


def test_masks_of_ukbb_cardiac_may_lie_beside_the_cines(data):
    for name in ("s1", "s2"):
        save_mask(Cine(heart(), SPACING, np.diag([*SPACING, 1])), data / name / "seg_sa.nii.gz")
    for _ in range(2):
        assert label(data, teacher=f"precomputed:{data}").summary["study"].tolist() == ["s1", "s2"]


@pytest.mark.parametrize(
    ("teacher", "labels", "said"),
    [
        ("precomputd:x", None, "did you mean precomputed"),
        ("precomputed:", None, "names no folder"),
        ("precomputed:/nowhere", None, "does not exist"),
        ("monai:/nowhere", None, "does not exist"),
        ("light2d_acdc", None, "unknown model"),
        ("embedded", "acdc", "knows its own"),
    ],
)
def test_a_teacher_that_is_none_is_told(data, teacher, labels, said):
    with pytest.raises(ValueError, match=said):
        label(data, teacher=teacher, labels=labels)
    assert not (data / "teacher.json").exists()


def test_a_single_file_needs_an_output_folder(data, model):
    with pytest.raises(DataError, match="--out"):
        label(data / "s1" / "sa.nii.gz", teacher=str(model))


# Resuming


def stop_after_the_first(done, total):
    raise KeyboardInterrupt


def test_a_stopped_run_goes_on_and_keeps_what_is_finished(data, model):
    with pytest.raises(KeyboardInterrupt):
        label(data, teacher=str(model), options=FAST, progress=stop_after_the_first)
    first = data / "s1" / "seg.nii.gz"
    before = first.stat().st_mtime_ns
    assert not (data / "s2" / "seg.nii.gz").exists()
    run = label(data, teacher=str(model), options=RESUME)
    assert first.stat().st_mtime_ns == before
    assert run.summary["study"].tolist() == ["s1", "s2"]
    whole = label(data, teacher=str(model), options=FAST)
    pd.testing.assert_frame_equal(run.volumes, whole.volumes)


@pytest.mark.parametrize("options", [RESUME, Options(resume=True)], ids=["model", "flips"])
def test_another_teacher_does_not_go_on(data, model, tmp_path, options):
    label(data, teacher=str(model), options=FAST)
    teacher = model if options.flips else write_model(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(DataError, match="names another teacher"):
        label(data, teacher=str(teacher), options=options)


def test_a_new_run_leaves_no_mask_of_the_old_teacher(data, model, masks):
    label(data, teacher=f"precomputed:{masks}")
    with pytest.raises(KeyboardInterrupt):
        label(data, teacher=str(model), options=FAST, progress=stop_after_the_first)
    assert not (data / "s2" / "seg.nii.gz").exists()
    assert not (data / "summary.csv").exists()


def test_resuming_where_nothing_is_begins(data, model):
    assert len(label(data, teacher=str(model), options=RESUME).summary) == 2


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_record_is_told(data, model, text):
    (data / "teacher.json").write_text(text)
    with pytest.raises(DataError, match=r"teacher\.json"):
        label(data, teacher=str(model), options=RESUME)


def label_with_masks(data, masks, **more):
    return label(data, teacher=f"precomputed:{masks}", **more)


def labelled(folder):
    """Mask -> its checksum, by masks.json in its folder."""
    return {
        path.relative_to(folder).as_posix(): read_own_masks(path.parent)[path.name].sha256[0]
        for path in own_masks_below(folder)
    }


def add_mask(masks, name):
    save_mask(Cine(heart(), SPACING, np.diag([*SPACING, 1])), masks / name / "seg_sa.nii.gz")


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_holds_the_labels_of_one_data_set(data, model, tmp_path, resume):
    label(data, teacher=str(model), out=tmp_path / "out", options=FAST)
    write_study(tmp_path / "other", "s1")
    before = (tmp_path / "out" / "s1" / "seg.nii.gz").stat().st_mtime_ns
    with pytest.raises(DataError, match="holds the labels of another data set; name another --out"):
        label(
            tmp_path / "other", teacher=str(model), out=tmp_path / "out", options=RESUME if resume else FAST
        )
    assert (tmp_path / "out" / "s1" / "seg.nii.gz").stat().st_mtime_ns == before


def test_the_record_names_no_folder_of_the_data(data, model, tmp_path):
    label(data, teacher=str(model), out=tmp_path / "out", options=FAST)
    assert len(record(tmp_path / "out")["data"]) == 64


def test_data_with_their_labels_may_move(data, model, tmp_path):
    label(data, teacher=str(model), options=FAST)
    moved = data.rename(tmp_path / "moved")
    assert label(moved, teacher=str(model), options=RESUME).summary["study"].tolist() == ["s1", "s2"]


def test_a_mask_older_than_its_image_is_made_again(data, model):
    label(data, teacher=str(model), options=FAST)
    masks = [data / name / "seg.nii.gz" for name in ("s1", "s2")]
    before = [mask.stat().st_mtime_ns for mask in masks]
    os.utime(data / "s1" / "sa.nii.gz", ns=(before[0] + 1, before[0] + 1))
    label(data, teacher=str(model), options=RESUME)
    assert masks[0].stat().st_mtime_ns > before[0]
    assert masks[1].stat().st_mtime_ns == before[1]


def test_every_written_mask_is_listed_with_its_checksum(data, masks):
    label_with_masks(data, masks)
    assert {"s1/seg.nii.gz", "s2/seg.nii.gz"} == set(labelled(data))
    for name, checksum in labelled(data).items():
        assert checksum == hashlib.sha256((data / name).read_bytes()).hexdigest()


@pytest.fixture
def with_expert(data, masks):
    """Labelled data that got a third study with the mask of an expert."""
    label_with_masks(data, masks)
    write_study(data, "s3")
    add_mask(masks, "s3")
    save_mask(Cine(np.zeros_like(heart()), SPACING), data / "s3" / "seg.nii.gz")
    return data / "s3" / "seg.nii.gz"


def test_the_mask_of_an_expert_is_never_deleted(data, masks, with_expert):
    before = with_expert.read_bytes()
    with pytest.raises(DataError, match=r"s3/seg\.nii\.gz is there already and not from `cmrseg label`"):
        label_with_masks(data, masks)
    assert with_expert.read_bytes() == before
    assert (data / "s1" / "seg.nii.gz").exists()


def test_a_resumed_run_does_not_count_the_mask_of_an_expert(data, masks, with_expert):
    before = with_expert.read_bytes()
    run = label_with_masks(data, masks, options=RESUME)
    assert run.summary["study"].tolist() == ["s1", "s2"]
    assert [p.study for p in run.problems] == ["s3"]
    assert "is there already and not from `cmrseg label`" in run.problems[0].extra_info
    assert with_expert.read_bytes() == before


@pytest.mark.parametrize("options", [FAST, RESUME], ids=["anew", "resumed"])
def test_a_corrected_mask_is_kept_and_measured(data, masks, options):
    label_with_masks(data, masks)
    path = data / "s1" / "seg.nii.gz"
    save_mask(Cine(np.minimum(heart(), 2), SPACING, np.diag([*SPACING, 1])), path)
    before = path.read_bytes()
    for _ in range(2):
        run = label_with_masks(data, masks, options=options)
        assert path.read_bytes() == before
        assert run.problems == []
        assert run.volumes.groupby("study")["RV_ml"].max().round().tolist() == [0, 3]
        assert any("changed by a person, kept and measured" in note and "s1" in note for note in run.notes)


def test_masks_of_studies_that_are_gone_go_with_a_new_run(data, masks, tmp_path):
    label_with_masks(data, masks, out=tmp_path / "out")
    (data / "s2" / "sa.nii.gz").unlink()
    label_with_masks(data, masks, out=tmp_path / "out")
    assert not (tmp_path / "out" / "s2" / "seg.nii.gz").exists()


def test_a_run_killed_before_a_mask_has_its_name_makes_it_again(data, masks, monkeypatch):
    rename = os.replace

    def killed(source, target):
        if Path(target) == data / "s2" / "seg.nii.gz":
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("cmrseg.io.atomic.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            label_with_masks(data, masks)
    assert not (data / "s2" / "seg.nii.gz").exists()
    run = label_with_masks(data, masks, options=RESUME)
    assert run.problems == []
    for name, checksum in labelled(data).items():
        assert checksum == hashlib.sha256((data / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["../theirs.txt", "/theirs.txt"])
def test_a_record_of_masks_that_leads_elsewhere_deletes_nothing(data, masks, tmp_path, name):
    label_with_masks(data, masks)
    (tmp_path / "theirs.txt").write_text("x")
    path = f"../{name}" if name.startswith("..") else str(tmp_path / "theirs.txt")
    record = data / "s1" / "masks.json"
    checksum = hashlib.sha256(b"x").hexdigest()
    told = json.loads(record.read_text()) | {path: {"sha256": [checksum], "source": ""}}
    record.write_text(json.dumps(told))
    label_with_masks(data, masks)
    assert (tmp_path / "theirs.txt").exists()


def test_a_mask_that_was_missing_can_be_added(data, masks):
    (masks / "s1" / "seg_sa.nii.gz").unlink()
    assert [p.study for p in label_with_masks(data, masks).problems] == ["s1"]
    before = (data / "s2" / "seg.nii.gz").stat().st_mtime_ns
    add_mask(masks, "s1")
    run = label_with_masks(data, masks, options=RESUME)
    assert (run.problems, run.summary["study"].tolist()) == ([], ["s1", "s2"])
    assert (data / "s2" / "seg.nii.gz").stat().st_mtime_ns == before


def test_studies_can_be_added(data, masks):
    label_with_masks(data, masks)
    earlier = record(data)
    write_study(data, "s3")
    add_mask(masks, "s3")
    run = label_with_masks(data, masks, options=RESUME)
    assert (run.problems, run.summary["study"].tolist()) == ([], ["s1", "s2", "s3"])
    assert record(data)["sha256"] != earlier["sha256"]
    assert record(data)["date"] == earlier["date"]


@pytest.mark.parametrize("gone", [True, False])
def test_other_precomputed_masks_do_not_go_on(data, masks, gone):
    label_with_masks(data, masks)
    source = masks / "s1" / "seg_sa.nii.gz"
    if gone:
        source.unlink()
    else:
        save_mask(Cine(heart()[::-1], SPACING), source)
    with pytest.raises(DataError, match=r"s1/seg\.nii\.gz was made from another mask"):
        label_with_masks(data, masks, options=RESUME)


def test_masks_with_and_without_small_pieces_are_not_mixed(data, model):
    label(data, teacher=str(model), options=FAST)
    with pytest.raises(DataError, match="pieces"):
        label(data, teacher=str(model), options=replace(RESUME, pieces="all"))


# What could not be labelled


def test_a_study_without_lv_has_no_ed_and_es(data, masks):
    empty = Cine(np.zeros_like(heart()), SPACING, np.diag([*SPACING, 1]))
    save_mask(empty, masks / "s1" / "seg_sa.nii.gz")
    run = label_with_masks(data, masks)
    assert [(p.study, p.problem) for p in run.problems] == [("s1", "no LV found")]
    assert (data / "s1" / "seg.nii.gz").exists()
    rows = [line.split(",") for line in (data / "summary.csv").read_text().splitlines()]
    assert [row[-2:] for row in rows] == [["ED_frame", "ES_frame"], ["", ""], ["0", "1"]]
    assert "no LV found" in (data / "label_problems.tsv").read_text()


def test_without_a_spacing_a_missing_lv_is_noticed_too(tmp_path):
    for name, array in (("p1", heart()), ("p2", np.zeros_like(heart()))):
        (tmp_path / "in").mkdir(exist_ok=True)
        slice_name = f"{name}_slice0_frame0"
        save_mask(Cine(heart()[:, :, :1, :1] * 60, SPACING), tmp_path / "in" / f"{slice_name}.png")
        save_mask(Cine(array[:, :, :1, :1], SPACING), tmp_path / "masks" / name / f"{slice_name}_seg.png")
    run = label_with_masks(tmp_path / "in", tmp_path / "masks", out=tmp_path / "out")
    assert [(p.study, p.problem) for p in run.problems] == [("p2", "no LV found")]
    assert run.summary["ED_frame"].isna().tolist() == [False, True]


@pytest.mark.parametrize("name", ["teacher.json", "s1/masks.json", "s1/seg.nii.gz", "summary.csv"])
def test_an_output_that_cannot_be_written_is_told_by_its_name(data, masks, monkeypatch, name):
    rename = os.replace

    def refuse(source, target):
        if Path(target) == data / name:
            raise PermissionError(13, "Permission denied", str(source))
        rename(source, target)

    monkeypatch.setattr("cmrseg.io.atomic.os.replace", refuse)
    with pytest.raises(DataError) as error:
        label_with_masks(data, masks)
    assert str(error.value) == f"{data / name} cannot be written (Permission denied); name another --out"


# Training on them


def test_the_labels_are_the_masks_of_the_curated_studies(data, masks):
    label(data, teacher=f"precomputed:{masks}")
    catalog = read_catalog(data)
    assert {Path(p).name for p in catalog.table["image"]} == {"sa.nii.gz"}
    assert {Path(p).name for p in catalog.table["mask"]} == {"seg.nii.gz"}
    assert any("2 of 2 masks are pseudo-labels" in note for note in catalog.notes)
    np.testing.assert_array_equal(load_volume_mask(*catalog.studies()[0]).array, heart())


def test_labels_of_a_cine_that_was_curated_again_are_made_anew(data, masks):
    label(data, teacher=f"precomputed:{masks}")
    small = Cine(np.ones((16, 16, 2, 3), np.float32), SPACING)
    save_image(small, data / "s1" / "sa.nii.gz")
    save_mask(small, masks / "s1" / "seg_sa.nii.gz")
    assert label(data, teacher=f"precomputed:{masks}").problems == []
