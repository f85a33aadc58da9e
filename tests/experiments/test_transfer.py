"""The transfer-learning study: it goes on, it refuses, it scores."""

import gc
import json
import os
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from fastai.learner import Learner

from cmrseg.experiments import transfer_runs
from cmrseg.experiments.curves import read_training_log
from cmrseg.experiments.planning import IMAGE_COLUMNS, SCORE_COLUMNS
from cmrseg.experiments.transfer import LOG_FILE, plan_study, transfer_study
from cmrseg.experiments.transfer_runs import Carried, carry_out_all
from cmrseg.io.own_masks import read_own_masks
from cmrseg.predict import AS_PUBLISHED
from cmrseg.predict.runs import settings_digest
from cmrseg.problems import DataError
from cmrseg.training import log
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.manifest import resolve
from cmrseg.zoo.model_file import read_model
from tests.experiments.conftest import write_model
from tests.training.conftest import write_disks

PUBLISHED = "epoch,train_loss,valid_loss,acc_seg,diceComb,diceLV,diceMY,time,model"


@pytest.fixture
def study(data, setup, tmp_path):
    """A function of overrides of the set-up: the study of the disks."""

    def make(*, out="out", listener=None, jobs=1, **overrides):
        return transfer_study(data, tmp_path / out, setup=setup(**overrides), listener=listener, jobs=jobs)

    return make


@pytest.fixture
def trained(monkeypatch):
    """Names of the runs that are trained from now on."""
    names = []
    for name in ("train", "finetune"):
        original = getattr(transfer_runs, name)

        def spy(*given, original=original, **options):
            names.append(next(part for part in given if "runs" in getattr(part, "parts", ())).name)
            return original(*given, **options)

        monkeypatch.setattr(transfer_runs, name, spy)
    return names


def weights(folder):
    return read_model(folder / "model.safetensors").net.state_dict()


# What a study finds


def test_every_model_is_scored_on_the_test_subjects(study):
    scores = study().scores
    assert tuple(scores) == (*SCORE_COLUMNS, *IMAGE_COLUMNS)
    assert scores["dice_image"].between(0, 1).all()
    assert set(scores["test_images"]) == {2}
    runs = scores[["start", "subset"]].drop_duplicates().to_numpy().tolist()
    assert runs == [["base", ""], ["R", "full"], ["TL2", "full"], ["R", "v1"], ["TL2", "v1"]]
    for _, rows in scores.groupby(["start", "subset"]):
        assert set(zip(rows["subject"], rows["structure"], strict=True)) == {
            (subject, structure) for subject in ("s5", "s6") for structure in ("LV", "MYO", "RV")
        }


def test_structures_that_are_not_used_are_in_no_score_and_no_model(study, tmp_path):
    options = TrainOptions(epochs=1, batch_size=2, lr=1e-2, structures=("LV", "MYO"))
    found = study(starts=("R", "TL2"), kinds=(), options=options)
    assert {row.start for row in found.scores.itertuples()} == {"base", "R", "TL2"}
    assert set(found.scores["structure"]) == {"LV", "MYO"}
    specs = [read_model(run.folder / "model.safetensors").spec for run in found.done]
    assert {spec.labels for spec in specs} == {("BACKGROUND", "LV", "MYO")}


def test_the_combined_log_begins_as_the_published_one(study, tmp_path):
    study()
    path = tmp_path / "out" / LOG_FILE
    assert path.read_text().splitlines()[0].startswith(PUBLISHED + ",images_seen,")
    table = pd.read_csv(path)
    first = table[(table["start"] == "TL2") & (table["subset"] == "v1")]
    assert set(first["model"]) == {"doubleTransferLearn_v1"}
    assert first["time"].str.fullmatch(r"\d\d:\d\d").all()
    assert first["epoch"].tolist() == [0, 3, 7]  # 4 images in all, 1 in the subset: every fourth epoch
    assert first["images_seen"].tolist() == [2, 8, 16]


def test_the_curves_can_be_read_with_the_images_of_every_run(study, tmp_path):
    runs = study(seeds=(0, 1), starts=("R",)).done
    log = read_training_log(tmp_path / "out" / LOG_FILE)
    found = log.groupby(["start", "subset", "seed"])["images"].first().to_dict()
    assert found == {(run.start, run.subset, run.seed): run.images for run in runs}
    ends = log.groupby(["start", "subset", "seed"])["images_seen"].max().to_dict()
    assert ends == {(run.start, run.subset, run.seed): run.images_to_see for run in runs}


def test_random_weights_train_their_encoder_in_the_frozen_stage(study, tmp_path):
    study(options=TrainOptions(batch_size=2, epochs=2), sizes=())
    saved = {
        start: json.loads((tmp_path / "out" / "runs" / f"{start}_full_seed0" / "config.json").read_text())
        for start in ("R", "TL2")
    }
    assert [stage["frozen"] for stage in saved["R"]["schedule"]] == [False, False]
    assert [stage["frozen"] for stage in saved["TL2"]["schedule"]] == [True, False]


def test_without_test_subjects_the_validation_subjects_are_scored(setup, tmp_path):
    data = write_disks(tmp_path / "four", splits=("train", "train", "train", "val"))
    said = []
    listener = Listener(note=said.append)
    scores = transfer_study(data, tmp_path / "out", setup=setup(sizes=()), listener=listener).scores
    assert set(scores["subject"]) == {"s3"}
    assert [line for line in said if line.startswith("no test subjects: the validation subjects")]


def test_a_second_reader_is_scored_against_the_truth(study, data, base, tmp_path):
    for subject in ("s5", "s6"):
        folder = tmp_path / "reader" / subject
        folder.mkdir(parents=True)
        (folder / "sa_seg.nii.gz").write_bytes((data / subject / "truth.nii.gz").read_bytes())
    reader = study(sizes=(), reader=tmp_path / "reader").reader
    assert len(reader) == 6
    assert (reader["dice"] == 1).all()


# It goes on


def test_a_finished_study_trains_nothing(study, trained):
    first = study(sizes=())
    del trained[:]
    again = study(sizes=())
    assert trained == []
    pd.testing.assert_frame_equal(first.scores, again.scores)
    pd.testing.assert_frame_equal(first.log, again.log)


def test_corrected_test_contours_are_scored_anew_without_training(study, trained, data):
    first = study(sizes=())
    del trained[:]
    (data / "s5" / "truth.nii.gz").write_bytes((data / "s6" / "truth.nii.gz").read_bytes())
    again = study(sizes=())
    changed = first.scores["dice"] != again.scores["dice"]
    assert set(first.scores.loc[changed, "subject"]) == {"s5"}
    assert set(first.scores.loc[changed, "start"]) == {"base", "R", "TL2"}
    pd.testing.assert_frame_equal(first.log, again.log)


def test_masks_as_published_are_scored_anew_without_training(study, tmp_path):
    before = study(starts=("TL2",), kinds=())
    after = study(starts=("TL2",), kinds=(), as_published=True)
    pd.testing.assert_frame_equal(before.log, after.log)
    assert len(before.scores) == len(after.scores)
    scored = read_own_masks(tmp_path / "out" / "runs" / "TL2_full_seed0" / "test" / "s5")
    model = tmp_path / "out" / "runs" / "TL2_full_seed0" / "model.safetensors"
    assert {mask.source for mask in scored.values()} == {settings_digest(resolve(model), AS_PUBLISHED)}


def test_corrected_training_contours_are_another_study(study, data):
    study(sizes=())
    (data / "s0" / "truth.nii.gz").write_bytes((data / "s1" / "truth.nii.gz").read_bytes())
    with pytest.raises(DataError, match="other settings or data"):
        study(sizes=())


def test_more_seeds_and_kinds_keep_the_finished_runs(study, trained):
    study(starts=("TL2",))
    del trained[:]
    found = study(starts=("TL2",), seeds=(0, 1), kinds=("subjects", "random"))
    assert set(trained) == {run.name for run in found.done if run.seed == 1 or run.subset == "r1"}
    assert len(found.done) == 6


def test_a_killed_study_goes_on_as_if_it_had_not_stopped(study, trained, monkeypatch, tmp_path):
    monkeypatch.setattr(log, "CHECKPOINT_EVERY_S", -1.0)
    unbroken = study(out="unbroken", starts=("TL2",))
    del trained[:]
    add = transfer_runs._add_to_curve

    def interrupted(path, row):
        add(path, row)
        if path.parent.name == "TL2_v1_seed0" and row["epoch"] == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(transfer_runs, "_add_to_curve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study(starts=("TL2",))
    monkeypatch.setattr(transfer_runs, "_add_to_curve", add)
    broken = study(starts=("TL2",))
    assert trained == ["TL2_full_seed0", "TL2_v1_seed0", "TL2_v1_seed0"]
    name = "runs/TL2_v1_seed0"
    after, before = weights(tmp_path / "out" / name), weights(tmp_path / "unbroken" / name)
    assert all(after[key].equal(before[key]) for key in before)
    pd.testing.assert_frame_equal(broken.scores, unbroken.scores)
    pd.testing.assert_frame_equal(broken.log.drop(columns="time"), unbroken.log.drop(columns="time"))


def test_a_run_goes_on_when_its_base_is_named_by_another_path(study, setup, base, monkeypatch, tmp_path):
    study(sizes=(), starts=("TL2",))
    (tmp_path / "out" / "runs" / "TL2_full_seed0" / "scores.key").unlink()
    monkeypatch.chdir(tmp_path)
    assert not study(sizes=(), starts=("TL2",), base=base.name).problems


# It refuses


def test_other_settings_are_refused_before_anything_is_written(study, tmp_path):
    study(starts=("R",))
    kept = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(DataError, match="trained with other settings or data; name another --out"):
        study(starts=("R",), sizes=(2, 1), options=TrainOptions(epochs=1, batch_size=2))
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == kept


def test_a_file_as_folder_is_refused(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; name a folder"):
        study(out="file")


def test_a_wrong_second_reader_is_told_before_training(study, trained, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        study(reader=tmp_path / "empty")
    assert trained == []


# A run that fails


def damage(tmp_path, name):
    """A run that was begun and whose checkpoint is damaged."""
    folder = tmp_path / "out" / "runs" / name
    for file in ("scores.key", "model.safetensors"):
        (folder / file).unlink()
    (folder / "checkpoint.pt").write_bytes(b"no checkpoint")


def test_a_run_that_fails_is_a_problem_and_the_others_go_on(study, tmp_path):
    study(sizes=())
    damage(tmp_path, "R_full_seed0")
    said = []
    found = study(sizes=(), listener=Listener(note=said.append))
    assert [problem.study for problem in found.problems] == ["R_full_seed0"]
    assert [run.name for run in found.done] == ["TL2_full_seed0"]
    assert set(found.scores["start"]) == {"base", "TL2"}
    assert [line for line in said if line.startswith("R_full_seed0 failed: checkpoint")]


def test_a_study_without_any_run_that_succeeds_says_why(study, tmp_path):
    study(sizes=(), starts=("R",))
    damage(tmp_path, "R_full_seed0")
    with pytest.raises(DataError, match=r"no run of the study succeeded: checkpoint .* is damaged"):
        study(sizes=(), starts=("R",))


def die_or_finish(run, *, deadly):
    """What a worker does; the memory of one run is too small."""
    if run.name == deadly:
        os._exit(9)
    return Carried()


@pytest.mark.slow  # starts interpreters
def test_the_others_go_on_when_a_worker_is_killed(data, setup, tmp_path):
    runs = plan_study(data, tmp_path / "out", setup=setup(), listener=Listener()).runs
    found = carry_out_all(runs, partial(die_or_finish, deadly="TL2_full_seed0"), jobs=2)
    assert {run.name: len(carried.problems) for run, carried in found} == {
        "R_full_seed0": 0, "TL2_full_seed0": 1, "R_v1_seed0": 0, "TL2_v1_seed0": 0
    }  # fmt: skip


# Processes, real weights


@pytest.mark.slow  # starts interpreters
def test_processes_give_the_same_numbers(study, setup, trained):
    pd.testing.assert_frame_equal(study(out="two", jobs=2).scores, study(out="one").scores)


@pytest.mark.slow  # starts a cluster
def test_a_cluster_gives_the_same_numbers(study, setup, data, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        given = {"setup": setup(sizes=()), "scheduler": cluster.scheduler_address}
        far = transfer_study(data, tmp_path / "far", **given)
    pd.testing.assert_frame_equal(far.scores, study(sizes=()).scores)


@pytest.mark.slow  # a residual network of real size
def test_imagenet_weights_are_a_start(setup, data, test_data, tmp_path):
    weights = test_data / "imagenet" / "resnet18_imagenet1k_stem-layer3_bnfolded.pth"
    if not weights.exists():
        pytest.skip(f"no ImageNet weights at {weights}")
    base = write_model(tmp_path / "r18.safetensors", architecture="r18", size=64)
    options = TrainOptions(epochs=1, batch_size=4)
    chosen = setup(base=base, imagenet=weights, sizes=(), options=options)
    found = transfer_study(data, tmp_path / "out", setup=chosen)
    assert [run.start for run in found.done] == ["R", "TL", "TL2"]
    assert not found.problems


def test_a_finished_run_leaves_no_learner_in_memory(study):
    study(sizes=())
    assert not [found for found in gc.get_objects() if isinstance(found, Learner)]


def test_the_base_model_is_hashed_once_for_all_runs(study, base, monkeypatch):
    hashed, read = [], Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: hashed.append(self) or read(self, *a, **k))
    study(starts=("TL2",), sizes=(2, 1), options=TrainOptions(epochs=1, batch_size=2))
    assert hashed.count(base) == 1
