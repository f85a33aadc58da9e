"""Do two models disagree where a mask is bad? Dice of the first against the agreement of both.

    bash benchmarks/vendors.sh DATA OUT FIRST SECOND
    python benchmarks/second_opinion.py DATA OUT FIRST SECOND --out benchmarks/second_opinion.tsv

The table behind the limits "second model" in cmrseg/examination/trust_input.py: the subjects of vendors.sh,
on which neither model was trained. Printed are the quantiles of what good masks (Dice from 0.88 on) show, and
the Dice of the masks by the level that the limits give.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.catalog import VolumeRef, load_volume_mask, prediction_path, read_catalog
from cmrseg.examination.trust_context import second_agreement, two_models_agree
from cmrseg.examination.trust_input import SecondOpinion, TrustInput
from cmrseg.io.atomic import write_table
from cmrseg.io.images import load_mask
from cmrseg.metrics.overlap import confusion_counts, dice

SETS = {"acdc": ("val", "test"), "mnms_vendorA": ("val",), "mnms_vendorB": ("test",), "mnms": ()}
GOOD_DICE = 0.88
LOST = "% of Dice lost"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("predicted", type=Path, help="OUT of vendors.sh")
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--out", type=Path, default=Path("second_opinion.tsv"))
    given = parser.parse_args()
    folders = {name: [given.predicted / name / one for one in (given.first, given.second)] for name in SETS}
    table = pd.DataFrame(row for name in SETS for row in rows(given.data / name, *folders[name], SETS[name]))
    write_table(table.round(4), given.out)
    good = table[table["dice"] >= GOOD_DICE][["agreement", "worst_agreement"]]
    print((100 * (1 - good)).quantile([0.5, 0.9, 0.95, 0.99, 1]).round(1).rename_axis(LOST).to_string())
    print(table.groupby("level")["dice"].agg(["size", "mean", "min", "max"]).round(3).to_string())
    print(f"correlation with the Dice: {table['agreement'].corr(table['dice'], method='spearman'):.2f}")


def rows(root: Path, first: Path, second: Path, splits: tuple[str, ...]) -> Iterator[dict[str, object]]:
    """Mean Dice of the first model's mask and its agreement with the second's, of every subject."""
    studies = read_catalog(root, splits=splits).with_masks().studies()
    for subject, group in groupby(studies, key=lambda s: s[0].subject):
        study = list(group)
        truth = joined([load_volume_mask(*part) for part in study])
        mask, other = (joined([masks_of(folder, part) for part in study]) for folder in (first, second))
        asked = TrustInput(mask, mask, 0, 0, second=SecondOpinion({"name": second.name}, other))
        found, flag = second_agreement(asked), two_models_agree(asked)
        scores = dice(confusion_counts(mask.array, truth.array))
        yield {
            "images": root.name,
            "subject": subject,
            "dice": float(scores.mean()),
            "agreement": found[0] if found else np.nan,
            "worst_agreement": found[1]["dice"] if found else np.nan,
            "level": flag.level if flag else "",
        }


def masks_of(folder: Path, study: tuple[VolumeRef, ...]) -> Cine:
    """What a model made of the frames of a study."""
    return load_mask(prediction_path(folder, study[0].subject, study[0].image), "cmrseg")


def joined(parts: list[Cine]) -> Cine:
    """Frames of one subject."""
    return Cine(np.concatenate([part.array for part in parts], axis=3), parts[0].spacing)


if __name__ == "__main__":
    main()
