"""The configuration of a run: the recipe's defaults, a file, and what a user says."""

import json
from dataclasses import replace

import pytest

from cmrseg.models.defaults import Stage
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.training.config import read_config, share_epochs, train_config
from cmrseg.training.options import TrainOptions


@pytest.fixture
def toml(tmp_path):
    def write(text):
        (tmp_path / "train.toml").write_text(text)
        return tmp_path / "train.toml"

    return write


def test_the_papers_model_has_the_papers_values():
    config = train_config("r34_CE_p5_s2")
    assert config.schedule == (Stage(30, 1e-4, frozen=True), Stage(30, 1e-5))
    assert (config.batch_size, config.weight_decay, config.ema_decay) == (32, 0.02, 0.0)
    assert config.preprocessing.size == 256
    assert config.preprocessing.pixel_mm is None
    assert config.preprocessing.rgb


def test_the_weights_that_are_kept_have_names():
    assert train_config("r34_CE_p5_s2").weights == "best"
    assert train_config("r34_CE_p5_s2", TrainOptions(weights="last")).weights == "last"
    with pytest.raises(ValueError, match=r"weights must be best, last or blend, got 'first'"):
        train_config("r34_CE_p5_s2", TrainOptions(weights="first"))


def test_large_networks_of_the_paper_see_8_images_at_a_time():
    sizes = {name: train_config(f"{name}_CE_p5_s1").batch_size for name in ("r50", "v16", "r34")}
    assert sizes == {"r50": 8, "v16": 8, "r34": 32}


def test_the_size_of_the_name_wins():
    assert train_config("r34_CE_p5_s2_128").preprocessing.size == 128


def test_a_file_replaces_what_it_names_and_keeps_the_rest(toml):
    file = toml(
        "batch_size = 4\n[arguments]\nwidths = [4, 8]\n[preprocessing]\nneighbours = 3\n"
        "[[schedule]]\nepochs = 2\nlr = 0.01\nfrozen = true\n[[schedule]]\nepochs = 3\nlr = 0.001\n"
    )
    config, defaults = train_config("light2d_CE_x_s1", TrainOptions(file)), train_config("light2d_CE_x_s1")
    assert config.batch_size == 4
    assert config.arguments == {"widths": [4, 8]}
    assert config.schedule == (Stage(2, 0.01, frozen=True), Stage(3, 0.001))
    assert config.preprocessing == Preprocessing(neighbours=3)
    assert config.weight_decay == defaults.weight_decay


def test_class_weights_are_named_in_a_file_and_only_their_ratios_matter(toml):
    config = train_config("light2d_CE_x_s1", TrainOptions(toml("[class_weights]\nBACKGROUND = 0.5\nRV = 2")))
    labels = ("BACKGROUND", "LV", "MYO", "RV")
    assert config.weights_of(labels) == (0.5 / 4.5, 1 / 4.5, 1 / 4.5, 2 / 4.5)
    assert sum(config.weights_of(labels[:2])) == 1
    assert train_config("light2d_CE_x_s1").weights_of(labels) is None
    with pytest.raises(ValueError, match="the loss DICE takes no class_weights"):
        train_config("light2d_DICE_x_s1", TrainOptions(class_weights={"LV": 2.0}))


def test_what_a_caller_gives_wins_over_the_file(toml):
    file = toml("batch_size = 4\nseed = 7")
    config = train_config("light2d_CE_x_s1", TrainOptions(file, batch_size=5, seed=None))
    assert (config.batch_size, config.seed) == (5, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batchsize = 4", r"train\.toml: unknown setting 'batchsize'; did you mean batch_size"),
        ("batch_size = 0", r"train\.toml: batch_size must be at least 1"),
        ("[preprocessing]\nsize = 100", r"train\.toml: size must be a multiple of 32"),
        ("[preprocessing]\nzise = 64", r"train\.toml: .*zise"),
        ("[[schedule]]\nepochs = 0\nlr = 0.1", r"train\.toml: a stage needs at least 1 epoch"),
        ("[[schedule]]\nepochs = 1\nlr = 0.1\nwarm = 2", r"train\.toml: .*warm"),
        ("batch_size =", r"train\.toml cannot be read"),
        ("[arguments]\nwidth = [8, 16]", r"train\.toml: .*no argument 'width'; did you mean widths"),
        ('seed = "x"', r"train\.toml: seed must be a whole number"),
        ("schedule = 3", r"train\.toml: schedule must be a list"),
        ("[class_weights]\nLVV = 1", r"train\.toml: class_weights names 'LVV'; did you mean LV"),
        ("[class_weights]\nLV = 0", r"train\.toml: class_weights must be positive numbers, got LV 0"),
        ('licence = "<b>"', r"train\.toml: licence must be one line"),
    ],
)
def test_a_wrong_file_is_told_in_one_sentence_that_names_it(toml, text, message):
    with pytest.raises(DataError, match=message) as caught:
        train_config("light2d_CE_x_s1", TrainOptions(toml(text)))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.toml cannot be read"):
        train_config("light2d_CE_x_s1", TrainOptions(tmp_path / "nowhere.toml"))


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_an_average_that_never_moves_is_refused(decay):
    with pytest.raises(ValueError, match="ema_decay"):
        replace(train_config("light2d_CE_x_s1"), ema_decay=decay)


@pytest.mark.parametrize("name", ["r34_CE_p5_s2", "light2d_hybrid_acdc_s3"])
def test_config_json_gives_the_configuration_back(tmp_path, name):
    config = train_config(name, TrainOptions(seed=5))
    (tmp_path / "config.json").write_text(config.to_json(data="somewhere"))
    assert read_config(tmp_path / "config.json") == (config, {"data": "somewhere"})


@pytest.mark.parametrize("change", [{"run": True}, {"run": {"data": 1}}, {"schedule": 3}, {"seed": None}])
def test_a_config_json_with_values_of_another_kind_is_named(tmp_path, change):
    values = json.loads(train_config("light2d_CE_x_s3").to_json(data="somewhere"))
    (tmp_path / "config.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(DataError, match=rf"config\.json: .*{next(iter(change))}"):
        read_config(tmp_path / "config.json")


def test_a_toml_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "train.toml").write_bytes(b"batch_size = 4\n# M\xfcller\n")
    with pytest.raises(DataError, match=r"train\.toml cannot be read .*UTF-8"):
        train_config("light2d_CE_x_s3", TrainOptions(tmp_path / "train.toml"))


def test_a_foreign_config_json_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match="no configuration of a training run"):
        read_config(tmp_path / "config.json")


def test_the_light_net_has_no_imagenet_weights():
    with pytest.raises(ValueError, match="no ImageNet weights for light2d"):
        train_config("light2d_CE_x_s1", TrainOptions(start="w.pth"))


@pytest.mark.parametrize("epochs", range(1, 40))
def test_shared_epochs_sum_up(epochs):
    schedule = (Stage(5, 1e-3, frozen=True), Stage(20, 1e-3), Stage(7, 1e-4))
    shared = share_epochs(schedule, epochs)
    assert sum(stage.epochs for stage in shared) == epochs


@pytest.mark.parametrize(
    "schedule", [(Stage(1, 1e-3), Stage(1, 1e-3), Stage(1, 1e-3)), (Stage(55, 1.0), Stage(5, 1.0))]
)
@pytest.mark.parametrize("epochs", range(1, 8))
def test_few_epochs_sum_up_too(schedule, epochs):
    assert sum(stage.epochs for stage in share_epochs(schedule, epochs)) == epochs


def test_epochs_are_shared_in_proportion():
    assert [s.epochs for s in share_epochs((Stage(30, 1e-4, frozen=True), Stage(30, 1e-5)), 10)] == [5, 5]


def test_with_fewer_epochs_than_stages_the_last_are_kept():
    assert share_epochs((Stage(30, 1e-4, frozen=True), Stage(30, 1e-5)), 1) == (Stage(1, 1e-5),)


def test_nothing_said_changes_nothing():
    assert train_config("r34_CE_p5_s2", TrainOptions()) == train_config("r34_CE_p5_s2")


def test_what_a_user_says_is_taken(toml):
    options = TrainOptions(
        toml("seed = 9"), epochs=4, lr=0.5, batch_size=2, seed=0, neighbours=3, labels="acdc", start="w.pth"
    )
    config = train_config("r18_CE_x_s1", options)
    assert [(s.epochs, s.lr) for s in config.schedule] == [(2, 0.5), (2, 0.5)]
    assert (config.batch_size, config.seed, config.preprocessing.neighbours) == (2, 0, 3)
    assert (config.labels, config.start) == ("acdc", "w.pth")


def test_neighbours_in_time_are_three_unless_said_otherwise_and_not_for_stacks():
    how = train_config("light2d_CE_x_s1", TrainOptions(neighbours_in="time")).preprocessing
    assert (how.neighbours, how.neighbours_in) == (3, "time")
    five = train_config("light2d_CE_x_s1", TrainOptions(neighbours_in="time", neighbours=5)).preprocessing
    assert five.neighbours == 5
    with pytest.raises(ValueError, match="light3d sees stacks"):
        train_config("light3d_CE_x_s1", TrainOptions(neighbours_in="time"))


@pytest.mark.parametrize(
    "option", [{"lr": 0.0}, {"batch_size": 0}, {"neighbours": 2}, {"neighbours_in": "frames"}], ids=str
)
def test_a_senseless_option_is_refused(option):
    with pytest.raises(ValueError, match="must be"):
        train_config("light2d_CE_x_s1", TrainOptions(**option))
