"""Training runs: they learn, they resume bit by bit, and they refuse what cannot work."""

import json
from dataclasses import replace
from unittest.mock import Mock

import pandas as pd
import pytest
import torch

from cmrseg.data.catalog import assign_splits, read_catalog
from cmrseg.labels import Label
from cmrseg.metrics.overlap import image_counts, label_dice
from cmrseg.models.defaults import Stage
from cmrseg.preprocess import Preprocessing, normalise
from cmrseg.problems import DataError
from cmrseg.recipe import Recipe
from cmrseg.training import log
from cmrseg.training.config import transfer_config
from cmrseg.training.fit import _new_model, finetune, train
from cmrseg.training.learner import build_learner
from cmrseg.training.loaders import make_loaders
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions
from cmrseg.training.split_images import read_split_images
from cmrseg.workflows.train import evaluate_model
from cmrseg.zoo.domain import read_domain
from cmrseg.zoo.model_file import ModelSpec, build_net, read_model, read_spec, save_model

ALL = ("BACKGROUND", "LV", "MYO", "RV")


@pytest.fixture(autouse=True)
def _checkpoint_after_every_epoch(monkeypatch):
    monkeypatch.setattr(log, "CHECKPOINT_EVERY_S", -1.0)


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch):
    monkeypatch.setattr("cmrseg.training.loaders.default_device", lambda: torch.device("cpu"))


def history(out):
    return pd.read_csv(out / "history.csv")


def weights(out):
    return read_model(out / "model.safetensors").net.state_dict()


def notes():
    said = []
    return said, Listener(note=said.append)


def stop_after(epochs):
    """A listener as of a user who presses Ctrl-C when so many epochs are done."""

    def epoch(row):
        if row["epoch"] == epochs:
            raise KeyboardInterrupt

    return Listener(epoch=epoch)


def write_base(path, labels=ALL):
    """A random base model file."""
    spec = ModelSpec(
        name="light2d_CE_base_s1",
        architecture="light2d",
        labels=labels,
        preprocessing=Preprocessing(pixel_mm=2.0, size=32),
        recipe="light2d_CE_base_s1",
        arguments={"widths": [4, 8]},
        licence="CC BY 4.0",
    )
    torch.manual_seed(0)
    return save_model(spec, build_net(spec).state_dict(), path)


# What a run leaves behind


def test_training_lowers_the_loss_and_finds_the_structures(disks, tmp_path, tiny):
    run = train(tiny(schedule=(Stage(12, 2e-2),)), disks, tmp_path / "out")
    table = history(run.out)
    assert table["train_loss"].iloc[-1] < 0.5 * table["train_loss"].iloc[0]
    assert table["dice_LV"].max() > 0.5


def test_a_run_leaves_model_history_and_configuration(disks, tmp_path, tiny):
    run = train(tiny(), disks, tmp_path / "out")
    names = sorted(p.name for p in run.out.iterdir())
    assert names == ["config.json", "history.csv", "model.safetensors", "model_domain.json", "splits.csv"]
    table = history(run.out)
    assert tuple(table.columns) == (
        "epoch", "images_seen", "stage", "lr", "train_loss", "valid_loss",
        "dice_LV", "dice_MYO", "dice_RV", "seconds", "memory_mb",
    )  # fmt: skip
    assert table["epoch"].tolist() == [1, 2]
    assert table["images_seen"].tolist() == [6, 12]
    assert json.loads((run.out / "config.json").read_text())["run"]["data"] == str(disks)


def test_a_model_knows_where_it_comes_from(disks, tmp_path, tiny):
    spec = read_model(train(tiny(seed=4), disks, tmp_path / "out").model_file).spec
    assert spec.labels == ALL
    assert spec.name == spec.recipe == "light2d_CE_disks_s1"
    assert (spec.training["seed"], spec.training["images"], spec.training["subjects"]) == (4, 6, 3)


def test_class_weights_change_the_loss_stay_in_the_model_and_are_those_of_a_transfer(disks, tmp_path, tiny):
    weighted = tiny(class_weights={"BACKGROUND": 0.01}, schedule=(Stage(1, 1e-2),))
    runs = [
        train(c, disks, tmp_path / name)
        for name, c in (("a", weighted), ("b", replace(weighted, class_weights={})))
    ]
    spec = read_spec(runs[0].model_file)
    assert spec.training["class_weights"] == {"BACKGROUND": 0.01}
    assert "class_weights" not in read_spec(runs[1].model_file).training
    losses = [history(run.out)["train_loss"].iloc[0] for run in runs]
    assert losses[0] != pytest.approx(losses[1], rel=0.01)
    assert transfer_config(spec, disks).class_weights == {"BACKGROUND": 0.01}


def test_the_best_epoch_is_kept(disks, tmp_path, tiny):
    run = train(tiny(schedule=(Stage(5, 2e-2),)), disks, tmp_path / "out")
    dice = history(run.out).filter(like="dice_").mean(axis=1)
    assert run.state.best_epoch == dice.idxmax() + 1
    assert run.state.best_score == pytest.approx(dice.max())


def test_the_last_epoch_is_kept_where_the_paper_asks_for_it(disks, tmp_path, tiny):
    kept = {}
    for epoch in ("best", "last"):
        config = tiny(schedule=(Stage(1, 1e-2), Stage(1, 2.0)), weights=epoch, ema_decay=0.0)
        run = train(config, disks, tmp_path / epoch)
        kept[epoch] = read_model(run.model_file).spec.training
    dice = history(run.out).filter(like="dice_").mean(axis=1)
    assert dice.iloc[-1] < dice.max()  # or this test says nothing
    assert (kept["best"]["best_epoch"], kept["last"]["best_epoch"]) == (1, 1)
    assert kept["best"]["validation_dice"] == pytest.approx(dice.max(), abs=1e-4)
    assert kept["last"]["validation_dice"] == pytest.approx(dice.iloc[-1], abs=1e-4)
    assert kept["last"]["weights"] == "last"
    assert any((weights(tmp_path / "best")[k] != v).any() for k, v in weights(tmp_path / "last").items())


def test_last_weights_survive_a_kill_after_the_last_epoch(disks, tmp_path, tiny, monkeypatch):
    config = tiny(schedule=(Stage(2, 1e-2),), weights="last", ema_decay=0.9)
    train(config, disks, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("cmrseg.training.fit._finish", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(config, disks, tmp_path / "killed")
    train(config, disks, tmp_path / "killed", resume=True)
    assert all((weights(tmp_path / "whole")[k] == v).all() for k, v in weights(tmp_path / "killed").items())


def test_the_same_seed_gives_the_same_model_and_another_seed_another(disks, tmp_path, tiny):
    first, second, other = (
        weights(train(tiny(seed=seed), disks, tmp_path / name).out)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_every_subject_is_on_one_side(make_disks, tmp_path, tiny):
    data = make_disks("unsplit", splits=("",) * 5)
    run = train(tiny(schedule=(Stage(1, 1e-2),)), data, tmp_path / "out")
    splits = pd.read_csv(run.out / "splits.csv")
    assert splits["subject"].is_unique
    assert set(splits["split"]) == {"train", "val"}
    assert set(splits["subject"]) == {f"s{i}" for i in range(5)}


# Fewer validations


def test_rows_are_written_for_validated_epochs(disks, tmp_path, tiny):
    rows = []
    config = tiny(schedule=(Stage(5, 1e-2), Stage(2, 1e-2)), validate_every=3)
    run = train(config, disks, tmp_path / "out", listener=Listener(epoch=rows.append))
    table = history(run.out)
    assert table["epoch"].tolist() == [1, 3, 5, 6, 7]
    assert table["images_seen"].tolist() == [6, 18, 30, 36, 42]
    assert [row["epoch"] for row in rows] == [1, 3, 5, 6, 7]
    assert set(rows[0]) >= {"accuracy", "image_dice_heart", "image_dice_LV", "image_dice_RV"}


def test_fewer_validations_train_the_same_weights(disks, tmp_path, tiny):
    config = tiny(schedule=(Stage(5, 1e-2),), ema_decay=0.9)
    often = train(config, disks, tmp_path / "often")
    seldom = train(replace(config, validate_every=4), disks, tmp_path / "seldom")
    last = history(often.out).iloc[-1].drop(["seconds", "memory_mb", "train_loss"])
    assert history(seldom.out).iloc[-1].drop(["seconds", "memory_mb", "train_loss"]).equals(last)


# Stopped and resumed

TWO_STAGES = (Stage(3, 1e-2), Stage(3, 5e-3))
FROZEN_FIRST = (Stage(3, 1e-2, frozen=True), Stage(3, 5e-3))


def assert_same_run(out, other):
    one, two = (
        history(out).drop(columns=["seconds", "memory_mb"]),
        history(other).drop(columns=["seconds", "memory_mb"]),
    )
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    a, b = weights(out), weights(other)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert read_model(out / "model.safetensors").spec == read_model(other / "model.safetensors").spec


@pytest.mark.parametrize(
    "stop", [1, 3, 5, 6], ids=["in stage 1", "between stages", "in stage 2", "at the end"]
)
@pytest.mark.parametrize("ema", [0.0, 0.9], ids=["plain", "averaged"])
def test_a_stopped_run_ends_as_if_it_had_not_stopped(disks, tmp_path, tiny, stop, ema):
    config = tiny("light2d_CE_disks_s3", schedule=TWO_STAGES, ema_decay=ema, gradient_clip=1.0)
    assert_stopping_changes_nothing(config, disks, tmp_path, stop)


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_so_does_a_run_with_fewer_validations(disks, tmp_path, tiny, stop):
    config = tiny(schedule=(Stage(10, 1e-2),), ema_decay=0.9, validate_every=4)
    assert_stopping_changes_nothing(config, disks, tmp_path, stop)


def assert_stopping_changes_nothing(config, disks, tmp_path, stop):
    train(config, disks, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, disks, tmp_path / "stopped", listener=stop_after(stop))
    train(config, disks, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("stop", [2, 3, 4])
@pytest.mark.parametrize("ema", [0.0, 0.9], ids=["plain", "averaged"])
def test_a_stopped_transfer_ends_as_if_it_had_not_stopped(disks, tmp_path, stop, ema):
    base = write_base(tmp_path / "base.safetensors")
    config = replace(
        transfer_config(read_spec(base), disks),
        schedule=FROZEN_FIRST,
        ema_decay=ema,
        batch_size=2,
        bf16=False,
    )
    finetune(base, disks, tmp_path / "whole", config=config)
    with pytest.raises(KeyboardInterrupt):
        finetune(base, disks, tmp_path / "stopped", config=config, listener=stop_after(stop))
    finetune(base, disks, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_a_run_stopped_before_its_first_checkpoint_begins_anew(disks, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(log, "CHECKPOINT_EVERY_S", 1e9)
    config = tiny(schedule=(Stage(3, 1e-2),))
    train(config, disks, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, disks, tmp_path / "stopped", listener=stop_after(1))
    train(config, disks, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_epochs_after_the_last_checkpoint_are_done_again(disks, tmp_path, tiny, monkeypatch):
    config = tiny(schedule=(Stage(5, 1e-2),), ema_decay=0.9)
    train(config, disks, tmp_path / "whole")

    def stop_saving(row):
        monkeypatch.setattr(log, "CHECKPOINT_EVERY_S", 1e9)
        if row["epoch"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, disks, tmp_path / "stopped", listener=Listener(epoch=stop_saving))
    said, listener = notes()
    train(config, disks, tmp_path / "stopped", resume=True, listener=listener)
    assert "resuming after epoch 1" in said
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_a_damaged_checkpoint_is_told(disks, tmp_path, tiny):
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), disks, tmp_path / "out", listener=stop_after(1))
    file = tmp_path / "out" / log.CHECKPOINT
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(DataError, match=r"checkpoint .*checkpoint\.pt is damaged"):
        train(tiny(), disks, tmp_path / "out", resume=True)


def test_a_run_killed_when_all_but_tidying_was_done_is_as_a_whole_one(disks, tmp_path, tiny, monkeypatch):
    out, whole = tmp_path / "out", tmp_path / "whole"
    train(tiny(), disks, whole)
    with monkeypatch.context() as patch:
        patch.setattr("cmrseg.training.fit._tidy", lambda out: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(tiny(), disks, out)
    assert (out / log.CHECKPOINT).exists()
    train(tiny(), disks, out, resume=True)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.iterdir())
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_finished_run_has_nothing_to_resume(disks, tmp_path, tiny):
    run = train(tiny(), disks, tmp_path / "out")
    before = run.model_file.read_bytes()
    said, listener = notes()
    again = train(tiny(), disks, tmp_path / "out", resume=True, listener=listener)
    assert any("is finished" in sentence for sentence in said)
    assert again.model_file.read_bytes() == before


def test_settings_that_a_resumed_run_does_not_take_are_told(disks, tmp_path, tiny):
    train(tiny(schedule=(Stage(1, 1e-2),)), disks, tmp_path / "out")
    said, listener = notes()
    other = tiny(schedule=(Stage(7, 1e-2),), seed=3)
    train(other, disks, tmp_path / "out", resume=True, listener=listener)
    (told,) = [sentence for sentence in said if "as the run began" in sentence]
    assert "epochs 1 (not 7)" in told
    assert "seed 0 (not 3)" in told
    same, listener = notes()
    train(tiny(schedule=(Stage(1, 1e-2),)), disks, tmp_path / "out", resume=True, listener=listener)
    assert not any("as the run began" in sentence for sentence in same)


def test_a_transfer_of_the_papers_networks_sees_8_images_at_a_time(tmp_path):
    pixels = Preprocessing(pixel_mm=None, size=256, rgb=True)
    spec = ModelSpec("r34_CE_p5_s2", "r34", ALL, pixels, "r34_CE_p5_s2")
    config = transfer_config(spec, tmp_path / "7t")
    assert (str(config.recipe), config.batch_size) == ("r34_CE_7t_s2", 8)
    assert config.schedule == (Stage(10, 1e-4, frozen=True), Stage(10, 1e-5))


def test_a_base_may_move_but_not_change(disks, tmp_path):
    base = write_base(tmp_path / "base.safetensors")
    config = replace(
        transfer_config(read_spec(base), disks), schedule=(Stage(1, 1e-2),), batch_size=2, bf16=False
    )
    finetune(base, disks, tmp_path / "out", config=config)
    moved = base.rename(tmp_path / "moved.safetensors")
    finetune(moved, disks, tmp_path / "out", config=config, resume=True)
    model = read_model(moved)
    save_model(replace(model.spec, licence="other"), model.net.state_dict(), moved)
    with pytest.raises(DataError, match="was started with base_sha256"):
        finetune(moved, disks, tmp_path / "out", config=config, resume=True)


def test_a_run_goes_beside_its_data(disks, tmp_path, tiny):
    for out in (disks, disks / "run", disks.parent):
        with pytest.raises(DataError, match="would lie among the data"):
            train(tiny(), disks, out)
    assert not (disks / "config.json").exists()


def test_a_model_knows_what_it_was_trained_on(disks, tmp_path, tiny):
    run = train(tiny(schedule=(Stage(1, 1e-2),)), disks, tmp_path / "out")
    domain = read_domain(run.model_file)
    assert domain.studies == run.catalog.select(["train"]).table["subject"].nunique()
    assert read_spec(run.model_file).training["domain"]["studies"] == domain.studies


def test_another_run_is_not_overwritten(disks, tmp_path, tiny):
    run = train(tiny(), disks, tmp_path / "out")
    before = run.model_file.read_bytes()
    with pytest.raises(DataError, match="already holds a run; go on with it by --resume"):
        train(tiny(seed=2), disks, tmp_path / "out")
    assert run.model_file.read_bytes() == before


def test_a_run_that_could_not_read_its_data_does_not_block_the_folder(disks, tmp_path, tiny):
    with pytest.raises(DataError, match="does not exist"):
        train(tiny(), tmp_path / "mistyped", tmp_path / "out")
    assert train(tiny(), disks, tmp_path / "out").model_file.exists()


# What the data hold


def test_data_without_right_ventricle_give_a_model_without(make_disks, tmp_path, tiny):
    said, listener = notes()
    data = make_disks("left", right=False)
    run = train(tiny(schedule=(Stage(1, 1e-2),)), data, tmp_path / "out", listener=listener)
    assert read_model(run.model_file).spec.labels == ("BACKGROUND", "LV", "MYO")
    assert any("no RV in the training masks: the model will segment LV, MYO" in s for s in said)
    assert history(run.out)["dice_RV"].isna().all()


def test_a_base_of_four_classes_is_tuned_to_data_of_two_structures_and_drops_the_third(make_disks, tmp_path):
    base = write_base(tmp_path / "base.safetensors")
    data = make_disks("left", right=False)
    said, listener = notes()
    config = replace(
        transfer_config(read_spec(base), data),
        schedule=(Stage(1, 1e-6),),
        batch_size=2,
        keep_structures=False,
    )
    run = finetune(base, data, tmp_path / "out", config=config, listener=listener)
    tuned = read_model(run.model_file)
    assert tuned.spec.labels == ("BACKGROUND", "LV", "MYO")
    assert any("the base model also has RV" in sentence for sentence in said)
    kept = read_model(base).net.head.weight[:3]
    torch.testing.assert_close(tuned.net.head.weight, kept, atol=1e-3, rtol=0)


def test_a_base_of_four_classes_loses_the_structure_that_is_not_asked_for(disks, tmp_path):
    base = write_base(tmp_path / "base.safetensors")
    said, listener = notes()
    settings = {"schedule": (Stage(1, 1e-6),), "batch_size": 2, "structures": ("LV", "MYO")}
    config = replace(transfer_config(read_spec(base), disks), **settings)
    run = finetune(base, disks, tmp_path / "out", config=config, listener=listener)
    assert read_model(run.model_file).spec.labels == ("BACKGROUND", "LV", "MYO")
    assert json.loads((run.out / "config.json").read_text())["structures"] == ["LV", "MYO"]
    assert any("the base model also has RV; they are dropped" in sentence for sentence in said)
    found = evaluate_model(run, run.model_file, tmp_path / "masks")
    assert set(found.metrics["structure"]) == {"LV", "MYO"}
    again = finetune(base, disks, tmp_path / "out", resume=True)
    assert {ref.labels for ref in again.catalog.volumes()} == {"cmrseg:LV,MYO"}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["light2d_CE_base_s1", "light2d_hybrid_base_s1"])
def test_structures_that_the_data_do_not_contour_stay(make_disks, tmp_path, tiny, recipe):
    whole = make_disks("whole", slices=4)
    first = train(tiny(recipe, schedule=(Stage(25, 2e-2),)), whole, tmp_path / "base")
    left = make_disks("left", slices=4, hide=(Label.MYO, Label.RV))
    config = replace(
        transfer_config(read_spec(first.model_file), left, TrainOptions(augmentation="s1", batch_size=2)),
        schedule=(Stage(8, 1e-2),),
    )
    run = finetune(first.model_file, left, tmp_path / "tuned", config=config)
    assert read_model(run.model_file).spec.labels == ALL
    table = history(run.out)
    assert table[["dice_MYO", "dice_RV"]].isna().all(axis=None)
    assert run.state.best_score == pytest.approx(table["dice_LV"].max())
    images = read_split_images([whole], config, tmp_path, Listener()).valid
    before, after = (dice_of(path, images) for path in (first.model_file, run.model_file))
    assert min(before) > 0.6
    assert min(after) > 0.5, "the structures without contours are forgotten"


def dice_of(path, images):
    """Dice of every structure from the pixels of all validation images."""
    model = read_model(path)
    pixels = normalise(images.images[images.neighbours].float() / 255, model.spec.preprocessing)
    with torch.inference_mode():
        found = model.net(pixels).argmax(1)
    return label_dice(image_counts(found.numpy().T, images.masks.numpy().T).sum(axis=0))[1:]


def test_a_tuned_model_keeps_preprocessing_licence_and_the_name_of_its_base(disks, tmp_path):
    base = write_base(tmp_path / "base.safetensors")
    config = replace(transfer_config(read_spec(base), disks), schedule=(Stage(1, 1e-3),), batch_size=2)
    spec = read_model(finetune(base, disks, tmp_path / "out", config=config).model_file).spec
    assert spec.preprocessing == Preprocessing(pixel_mm=2.0, size=32)
    assert spec.licence == "CC BY 4.0"
    assert spec.recipe == "light2d_CE_disks_s4"
    assert spec.training["base"] == "light2d_CE_base_s1"


def test_a_frozen_stage_moves_the_decoder_only(disks, tmp_path):
    base = write_base(tmp_path / "base.safetensors")
    config = replace(
        transfer_config(read_spec(base), disks),
        schedule=(Stage(1, 1e-2, frozen=True),),
        batch_size=2,
        weight_decay=0.1,
        ema_decay=0.5,
    )
    before, after = (
        read_model(base).net,
        read_model(finetune(base, disks, tmp_path / "out", config=config).model_file).net,
    )
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        frozen = name.startswith("encoder") and "norm" not in name
        assert not frozen or torch.equal(old, new), name
    assert not torch.equal(before.head.weight, after.head.weight)


def test_images_without_masks_are_told(disks, tmp_path, tiny):
    table = pd.read_csv(disks / "catalog.csv").drop(columns="mask")
    table.to_csv(disks / "catalog.csv", index=False)
    with pytest.raises(DataError, match=r"has a mask; training needs masks: .* catalog\.csv"):
        train(tiny(), disks, tmp_path / "out")


def test_empty_masks_are_told(disks, tmp_path, tiny):
    with pytest.raises(DataError, match="are empty; there is nothing to learn"):
        train(tiny(labels="LV=7,BACKGROUND=1,BACKGROUND=2,BACKGROUND=3"), disks, tmp_path / "out")


def test_a_damaged_volume_is_left_out_and_told(make_disks, tmp_path, tiny):
    data = make_disks("four", splits=("train", "train", "val", "val"))
    file = data / "s0" / "sa.nii.gz"
    file.write_bytes(file.read_bytes()[:-2000])
    run = train(tiny(schedule=(Stage(1, 1e-2),)), data, tmp_path / "out")
    assert [p.study for p in run.problems] == ["s0"]
    assert pd.read_csv(run.out / "problems.tsv", sep="\t")["study"].tolist() == ["s0"]


def test_mask_labels_can_be_named(disks, tmp_path, tiny):
    run = train(tiny(labels="acdc", schedule=(Stage(1, 1e-2),)), disks, tmp_path / "out")
    assert set(run.catalog.table["labels"]) == {"acdc"}


# For notebooks


@pytest.fixture
def learner(disks, tiny, tmp_path):
    config = tiny(ema_decay=0.9)
    images = read_split_images([disks], config, tmp_path, Listener())
    loaders = make_loaders(images.train, images.valid, config)
    return build_learner(_new_model(config, images.labels), loaders, config)


def test_results_can_be_shown(learner):
    learner.show_results(max_n=2)


def test_searching_the_learning_rate_leaves_no_trace_in_the_average(learner):
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    with learner.no_bar():
        learner.lr_find(num_it=4, show_plot=False)
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, lr=0.0, wd=0.0)
    weights = {k: v for k, v in learner.average_weights.average.items() if k.endswith("weight")}
    for key, value in weights.items():
        torch.testing.assert_close(value, before[key])


@pytest.mark.parametrize("changed", ["data", "recipe"])
def test_a_run_is_not_resumed_with_other_input(disks, make_disks, tiny, tmp_path, changed):
    one = (Stage(1, 1e-2),)
    train(tiny(schedule=one), disks, tmp_path / "out")
    data = make_disks("other") if changed == "data" else disks
    config = (
        replace(tiny(schedule=one), recipe=Recipe.parse("light2d_CE_other_s1"))
        if changed == "recipe"
        else tiny(schedule=one)
    )
    with pytest.raises(DataError, match=f"was started with {changed}"):
        train(config, data, tmp_path / "out", resume=True)


def test_the_learning_rate_can_be_searched(learner):
    with learner.no_bar(), learner.no_logging():
        found = learner.lr_find(num_it=8, show_plot=False)
    assert found.valley > 0


def test_freeze_leaves_the_encoder(learner):
    learner.freeze()
    assert len(learner.opt.param_lists) == 2
    trained = {id(p) for p in learner.model.parameters() if p.requires_grad}
    convolutions = [p for n, p in learner.model.encoder.named_parameters() if "conv" in n]
    assert not any(id(p) in trained for p in convolutions)
    assert id(learner.model.head.weight) in trained


def test_a_learner_can_be_fitted_and_validated(learner):
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(1, 1e-3)
        scores = learner.validate()
    assert len(scores) == 1 + len(Label) - 1
    assert all(0 <= dice <= 1 for dice in scores[1:])


def test_splits_do_not_depend_on_the_seed_of_the_weights_when_they_are_given(disks, tiny):
    catalog = read_catalog(disks).with_masks()
    first, second = assign_splits(catalog, seed=0), assign_splits(catalog, seed=1)
    assert first.table.equals(second.table)
    assert replace(tiny(), seed=1).recipe == tiny().recipe
