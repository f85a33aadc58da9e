"""What good masks show: the table behind the limits in cmrseg/examination/trust_input.py.

    cmrseg predict DATA/acdc PREDICTED --fast
    python benchmarks/trust_limits.py DATA REFERENCE PREDICTED --out benchmarks/trust_limits.tsv

DATA holds acdc/, mnms/ and mnms_vendorB/; REFERENCE the published tables of Ankenbrand et al. Of curves over
the whole cycle there are those of the readers of 7T (22 subjects) and of a published model on the Kaggle set
(1396 examinations; good where its EF is within 5 points of the truth, bad beyond 10); of shapes there are the
true masks and predicted ones with a Dice from 0.88 on. All in %, except the minima. Printed besides: the
error of the EF on the Kaggle set by the level that the limits give.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.catalog import load_volume_mask, prediction_path, read_catalog
from cmrseg.data.tables import image_places, read_published
from cmrseg.data.truth import true_volumes_for, usable_true_volumes
from cmrseg.examination.function import end_slices
from cmrseg.examination.trust_input import LEVELS, LIMITS, TrustInput
from cmrseg.io.atomic import write_table
from cmrseg.io.images import load_mask
from cmrseg.labels import Label
from cmrseg.metrics.cycle import MIN_FRAMES
from cmrseg.metrics.overlap import confusion_counts, dice
from cmrseg.metrics.plausibility import count_minima, curve_deviation, exposed_share, gaps, pieces, variation
from cmrseg.metrics.volumes import ed_es_frames, ejection_fraction

PARTS = {"LV": [Label.LV], "wall": [Label.LV, Label.MYO], "RV": [Label.RV]}
QUANTILES = {"p5": 0.05, "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "largest": 1.0}
GOOD_EF, BAD_EF, GOOD_DICE = 5, 10, 0.88


def end_values(areas: np.ndarray, base: int, apex: int, ed: int, es: int) -> dict[str, float]:
    """How full the end slices are, from LV pixels ``(z, t)``."""
    is_edge = base in (0, len(areas) - 1)
    at_base = 100 * areas[base, es] / max(areas[:, es].max(), 1) if is_edge else 0.0
    return {"base": at_base, "apex": 100 * areas[apex, ed] / areas[:, ed].max()}


def stack_of(areas: np.ndarray) -> Cine:
    """A mask with so many LV pixels in every image, in one row."""
    place = np.arange(areas.max())[:, None, None, None]
    return Cine((place < areas).astype(np.uint8), (1.0, 1.0, 1.0))


def curve_values(lv: np.ndarray, myo: np.ndarray) -> dict[str, float]:
    """Values of a whole cycle, from pixels ``(z, t)``."""
    volume = lv.sum(axis=0).astype(float)
    ed, es = ed_es_frames(volume, smooth=True)
    ends = end_slices(stack_of(lv), ed)
    return {
        "LV curve": np.abs(curve_deviation(volume)).max(),
        "minima": count_minima(volume),
        "time of ES": 100 * ((es - ed) % len(volume)) / len(volume),
        "mass over the cycle": variation(myo.sum(axis=0)),
        "gaps": 100 * gaps(lv).sum() / np.count_nonzero(lv),
        **(end_values(lv, *ends, ed, es) if ends else {}),
    }


def mask_values(mask: Cine) -> dict[str, float]:
    """Values of end-diastole and end-systole."""
    volume = np.count_nonzero(mask.array == Label.LV, axis=(0, 1, 2))
    study = TrustInput(mask, mask, *ed_es_frames(volume, smooth=False))
    lv, myo, rv = (study.curve(s) for s in (Label.LV, Label.MYO, Label.RV))
    strokes = [curve[study.ed] - curve[study.es] for curve in (lv, rv)]
    parts = {f"{n} pieces": pieces(np.isin(study.labels, labels)) for n, labels in PARTS.items()}
    inner = exposed_share(study.labels)[study.inner_slices]
    return {
        **{name: 100 * p.fault.sum() / p.pixels.sum() for name, p in parts.items() if p.pixels.any()},
        "open ring": 100 * np.mean(inner > 0) if inner.size else np.nan,
        "gaps": 100 * gaps(study.areas[Label.LV]).sum() / np.count_nonzero(study.areas[Label.LV]),
        "mass at ED and ES": 100 * np.ptp(myo) / myo.mean(),
        "stroke volumes": 200 * abs(strokes[0] - strokes[1]) / (abs(strokes[0]) + abs(strokes[1])),
        **(end_values(study.areas[Label.LV], *study.ends, study.ed, study.es) if study.ends else {}),
    }


def table_curves(path: Path, lv: str, myo: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Id and pixels ``(z, t)`` of LV and myocardium of every examination with a whole cycle."""
    table = read_published(path, text=["file"])
    table = table.join(image_places(table["file"]))
    for name, rows in table.groupby("Id"):
        planes = [
            rows.pivot_table(index="slice", columns="frame", values=v, aggfunc="first") for v in (lv, myo)
        ]
        whole = planes[0].notna().all(axis=None) and planes[0].shape[1] >= MIN_FRAMES
        if whole and planes[0].to_numpy().any():
            yield name, *(plane.to_numpy().astype(int) for plane in planes)


def curve_rows(reference: Path) -> Iterator[dict[str, object]]:
    """Values of whole cycles, of readers and of a published model."""
    for name, lv, myo in table_curves(reference / "7T" / "pixel_counts_by_class.tsv", "lv", "my"):
        yield {"masks": "7T readers", "Id": name, **curve_values(lv, myo)}
    true = usable_true_volumes(reference / "kaggle" / "truth").table
    path = reference / "kaggle" / "resnet34_5percent_size256_normalTfms_ceLoss.tsv.xz"
    for name, lv, myo in table_curves(path, "lv_pixels", "my_pixels"):
        volume = lv.sum(axis=0)
        ef = true_volumes_for([name], true)["EF_percent"].iloc[0]
        error = abs(ejection_fraction(volume.max(), volume.min()) - ef)
        group = "good EF" if error < GOOD_EF else "bad EF" if error > BAD_EF else "fair EF"
        yield {"masks": f"Kaggle, {group}", "Id": name, "EF error": error, **curve_values(lv, myo)}


def mask_rows(root: Path, predicted: Path | None = None) -> Iterator[dict[str, object]]:
    """Values of the true masks of a data set, and of predicted ones where their Dice is good."""
    studies = read_catalog(root).with_masks().studies()
    for subject, group in groupby(studies, key=lambda s: s[0].subject):
        group = list(group)
        truth = joined([load_volume_mask(*study) for study in group])
        yield {"masks": "true", "Id": subject, **mask_values(truth)}
        if predicted:
            paths = [prediction_path(predicted, subject, study[0].image) for study in group]
            mask = joined([load_mask(path, "cmrseg") for path in paths])
            score = dice(confusion_counts(mask.array, truth.array)).mean()
            if score >= GOOD_DICE:
                yield {"masks": "predicted", "Id": subject, **mask_values(mask)}


def joined(parts: list[Cine]) -> Cine:
    """Contoured frames of one subject."""
    array = np.concatenate([p.array for p in parts], axis=3)
    return Cine(array[..., array.any(axis=(0, 1, 2))], parts[0].spacing)


def summary(rows: list[Mapping[str, object]]) -> pd.DataFrame:
    """Quantiles of every quantity in every kind of masks."""
    table = pd.DataFrame(rows).drop(columns=["Id", "EF error"]).melt("masks", var_name="quantity").dropna()
    groups = table.groupby(["quantity", "masks"])["value"]
    columns = {name: groups.quantile(q).round(3) for name, q in QUANTILES.items()}
    return pd.DataFrame({"n": groups.size(), **columns}).reset_index()


def ef_errors(rows: list[Mapping[str, object]]) -> pd.DataFrame:
    """Error of the EF in points by the level of every limit, and by the worst of them, on the Kaggle set."""
    table = pd.DataFrame(rows).dropna(subset="EF error")
    known = [q for q in LIMITS if q in table and table[q].notna().any()]
    ranks = pd.DataFrame({q: table[q].map(lambda v, q=q: LEVELS.index(LIMITS[q].level(v))) for q in known})
    ranks["worst of these"] = ranks.max(axis=1)
    parts = []
    for quantity in ranks:
        errors = table.groupby(ranks[quantity].map(LEVELS.__getitem__).rename("level"))["EF error"]
        beyond = errors.agg(lambda e: (e > BAD_EF).mean())
        parts.append(pd.DataFrame({"n": errors.size(), "mean": errors.mean(), "beyond_10": beyond}).round(2))
    return pd.concat(parts, keys=ranks.columns, names=["quantity"]).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("data", "reference", "predicted"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--out", type=Path, default=Path("trust_limits.tsv"))
    given = parser.parse_args()
    rows = [*mask_rows(given.data / "acdc", given.predicted), *curve_rows(given.reference)]
    for name in ("mnms", "mnms_vendorB"):
        rows += mask_rows(given.data / name)
    table = summary(rows)
    write_table(table, given.out)
    print(table.to_string(index=False), ef_errors(rows).to_string(index=False), sep="\n\n")


if __name__ == "__main__":
    main()
