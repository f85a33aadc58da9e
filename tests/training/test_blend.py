"""Mixtures of base and fine-tuned weights: a line between two points, whose best one validation chooses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cmrseg.models.defaults import Stage
from cmrseg.training.blend import SHARES, blended
from cmrseg.training.config import transfer_config
from cmrseg.training.fit import finetune, train
from cmrseg.zoo.model_file import read_model, read_spec

BLEND = {"weights": "blend", "batch_size": 2, "bf16": False}


def test_weights_lie_on_the_line_and_counters_are_the_fine_tuned_ones():
    base = {"w": torch.tensor([1.0, 3.0]), "n": torch.tensor(5)}
    tuned = {"w": torch.tensor([2.0, -1.0]), "n": torch.tensor(9)}
    for share, expected in ((0.0, [1.0, 3.0]), (0.25, [1.25, 2.0]), (1.0, [2.0, -1.0])):
        mixed = blended(base, tuned, share)
        assert mixed["w"].tolist() == expected
        assert mixed["n"] == 9
    assert base["w"].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("ema", [0.0, 0.9], ids=["plain", "averaged"])
def test_the_mixture_that_validates_best_becomes_the_model(make_disks, tiny, tmp_path, ema):
    first = train(tiny(schedule=(Stage(3, 1e-2),)), make_disks("here"), tmp_path / "base")
    sets = [make_disks("here again", seed=5), make_disks("there", seed=9, slices=4, hide=(3,))]
    config = replace(
        transfer_config(read_spec(first.model_file), sets), **BLEND, schedule=(Stage(2, 2e-2),), ema_decay=ema
    )
    run = finetune(first.model_file, sets, tmp_path / "tuned", config=config)
    table = pd.read_csv(run.out / "blend.csv")
    spec = read_spec(run.model_file)
    best = table.loc[table["score"] == table["score"].max(), "share"].max()
    assert table["share"].tolist() == list(SHARES)
    assert table["score"].iloc[-1] == pytest.approx(run.state.best_score, abs=1e-6)  # of the best epoch
    assert spec.training["blend"] == best
    assert spec.training["validation_dice"] == pytest.approx(table["score"].max(), abs=1e-4)

    alone = replace(config, weights="best")
    tuned = finetune(first.model_file, sets, tmp_path / "alone", config=alone).model_file
    mixed = blended(*(read_model(f).net.state_dict() for f in (first.model_file, tuned)), best)
    for name, tensor in read_model(run.model_file).net.state_dict().items():
        np.testing.assert_allclose(tensor, mixed[name], atol=1e-6)


def test_what_spoils_a_base_is_not_all_of_the_mixture(disks, tiny, tmp_path):
    first = train(tiny(schedule=(Stage(4, 1e-2),)), disks, tmp_path / "base")
    config = replace(transfer_config(read_spec(first.model_file), disks), **BLEND)
    spoilt = replace(config, schedule=(Stage(1, 5.0),), ema_decay=0.0)
    run = finetune(first.model_file, disks, tmp_path / "tuned", config=spoilt)
    assert read_spec(run.model_file).training["blend"] < 1
    assert run.state.best_score < read_spec(run.model_file).training["validation_dice"]


def test_a_new_model_has_nothing_to_blend_with(tiny):
    with pytest.raises(ValueError, match="no base to blend with"):
        tiny(weights="blend")
