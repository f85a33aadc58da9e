"""The paper's network at the paper's size, for a few steps: it trains, is killed, resumes, and predicts."""

from dataclasses import replace

import pytest

from cmrseg.io.images import load_mask
from cmrseg.models.defaults import Stage
from cmrseg.predict import Options, predict
from cmrseg.training import log
from cmrseg.training.config import train_config
from cmrseg.training.fit import train
from cmrseg.training.log import Listener


@pytest.mark.slow
def test_r34_at_256_trains_resumes_and_predicts(make_disks, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "CHECKPOINT_EVERY_S", -1.0)
    data, out = make_disks("disks", splits=("train", "val")), tmp_path / "run"
    schedule = (Stage(1, 1e-4, frozen=True), Stage(1, 1e-5))
    config = replace(train_config("r34_CE_p5_s2"), schedule=schedule, start="random", batch_size=2)
    assert config.preprocessing.size == 256

    def kill(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, data, out, listener=Listener(epoch=kill))
    run = train(config, data, out, resume=True)
    assert run.state.epoch == 2
    predict(data, tmp_path / "masks", model=run.model_file, splits=("val",), options=Options(flips=False))
    assert load_mask(tmp_path / "masks" / "s1" / "sa_seg.nii.gz", "cmrseg").array.shape == (32, 32, 2, 1)
