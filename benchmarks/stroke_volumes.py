"""How far apart readers' stroke volumes of LV and RV are: the table behind "equal stroke volumes".

    python benchmarks/stroke_volumes.py DATA/acdc --out benchmarks/stroke_volumes.tsv

Both ventricles of a healthy heart eject the same, so the difference in the healthy subjects (NOR) is what
masks and slices do. Rows tell apart whether the stack holds the whole RV. Difference over mean in %.
"""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from trust_limits import joined

from cmrseg.data.catalog import load_volume_mask, read_catalog
from cmrseg.examination.trust_input import TrustInput
from cmrseg.examination.trust_mask import incomplete_right_ventricle
from cmrseg.io.atomic import write_table
from cmrseg.labels import Label
from cmrseg.metrics.volumes import ed_es_frames


def group_of(folder: Path) -> str:
    """Disease group of a subject of ACDC."""
    lines = (folder / "Info.cfg").read_text(encoding="utf-8").splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("Group"))


def row(root: Path, subject: str, studies: list) -> tuple[str, str, float]:
    """Group, whether the RV is whole, and the difference of one subject."""
    mask = joined([load_volume_mask(*study) for study in studies])
    volume = np.count_nonzero(mask.array == Label.LV, axis=(0, 1, 2))
    study = TrustInput(mask, mask, *ed_es_frames(volume, smooth=False))
    left, right = (study.curve(s)[study.ed] - study.curve(s)[study.es] for s in (Label.LV, Label.RV))
    whole = "no" if incomplete_right_ventricle(study) else "yes"
    return group_of(root / subject), whole, 200 * abs(left - right) / (abs(left) + abs(right))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    studies = groupby(read_catalog(args.data).with_masks().studies(), key=lambda study: study[0].subject)
    table = pd.DataFrame(
        [row(args.data, subject, list(group)) for subject, group in studies],
        columns=["group", "whole_RV", "difference"],
    )
    table = pd.concat([table, table.assign(group="all")])
    found = table.groupby(["group", "whole_RV"])["difference"]
    quantiles = {f"p{q}": found.quantile(q / 100).round(1) for q in (50, 90, 95)}
    write_table(
        pd.DataFrame({"n": found.size(), **quantiles, "largest": found.max().round(1)}).reset_index(),
        args.out,
    )


if __name__ == "__main__":
    main()
