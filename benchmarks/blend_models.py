"""Mixtures of a base model and of what it became by training on, on the validation subjects of data sets.

    python benchmarks/blend_models.py light2d_hybrid_acdc_s3 light2d_hybrid_multi_s3 OUT
           --data DATA/acdc --data DATA/mnms_vendorA --data DATA/mnms_vendorB --data DATA/sunnybrook_png

Writes ``OUT/blend.csv`` (Dice of every structure in every set for every share) and ``OUT/model.safetensors``:
of the mixtures in which no structure of any set loses more than ``--loss`` against the base, the one with the
best mean. The mean is over validation subjects, who chose the tuned epoch too: report test subjects.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cmrseg.io.atomic import write_table
from cmrseg.tasks import get_task
from cmrseg.training.blend import blended, validated_mixtures
from cmrseg.training.config import transfer_config
from cmrseg.training.learner import build_learner
from cmrseg.training.loaders import make_loaders
from cmrseg.training.log import Listener, scores_by_data
from cmrseg.training.split_images import read_split_images
from cmrseg.zoo.manifest import resolve
from cmrseg.zoo.model_file import Model, save_model

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base")
    parser.add_argument("tuned", help="of the same architecture and preprocessing")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--loss", type=float, default=0.002, help="of Dice that a structure may lose")
    parser.add_argument("--shares", type=float, nargs="*", default=SHARES, help="of the tuned model; 0 too")
    given = parser.parse_args()
    base, tuned = resolve(given.base).load(), resolve(given.tuned).load()
    given.out.mkdir(parents=True, exist_ok=True)
    table = scores_of_mixtures(base, tuned, given.data, given.out, given.shares)
    write_table(table, given.out / "blend.csv")
    print(table.to_string(index=False))
    share = best_share(table, given.loss)
    training = {**tuned.spec.training, "blend": share, "blend_with": given.base}
    weights = blended(base.net.state_dict(), tuned.net.state_dict(), share)
    path = save_model(replace(tuned.spec, training=training), weights, given.out / "model.safetensors")
    print(f"share {share:g} of {given.tuned}: {path}")


def scores_of_mixtures(
    base: Model, tuned: Model, data: list[Path], out: Path, shares: Sequence[float]
) -> pd.DataFrame:
    """A row for every share and data set; the images are read once."""
    config = transfer_config(base.spec, data)
    images = read_split_images(data, config, out, Listener(), kept=base.spec.labels)
    learn = build_learner(
        Model(base.spec, tuned.net), make_loaders(images.train, images.valid, config), config
    )
    before = {k: v.clone() for k, v in base.net.state_dict().items()}
    after = {k: v.clone() for k, v in tuned.net.state_dict().items()}
    task, rows = get_task(base.spec.task), []
    for share in validated_mixtures(learn, before, after, shares):
        rows += [{"share": share, "score": task.score(row), **row} for row in scores_by_data(learn)]
    return pd.DataFrame(rows)


def best_share(table: pd.DataFrame, loss: float) -> float:
    """The share with the best mean score among those that spoil no structure of any set."""
    dice = [c for c in table if str(c).startswith("dice_")]
    start = table[table.share == 0].set_index("data")[dice]
    falls = table.groupby("share").apply(lambda of: (of.set_index("data")[dice] - start).min().min())
    mean = table.groupby("share").score.mean()
    return float(mean[falls >= -loss].idxmax())


if __name__ == "__main__":
    main()
