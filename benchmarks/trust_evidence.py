"""Do the flags of examination/trust.py go along with bad masks? Dice by level, on good and spoilt images.

    python benchmarks/trust_evidence.py DATA --out benchmarks/trust_evidence.tsv

DATA holds acdc/, mnms/ and mnms_vendorB/. The default model segments the test images of ACDC as they are and
distorted as `cmrseg evaluate robustness` does, those of ACDC's validation, and those of M&Ms that it was not
trained on. Only ED and ES are contoured, so the checks of the curve are silent; trust_limits.py judges them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.catalog import VolumeRef, read_catalog
from cmrseg.data.distortions import DISTORTIONS, Distortion, distort, restore_mask
from cmrseg.evaluation.robustness import load_contoured
from cmrseg.examination.trust import TrustInput, check
from cmrseg.examination.trust_context import flip_agreement
from cmrseg.io.atomic import write_table
from cmrseg.labels import Label
from cmrseg.metrics.overlap import confusion_counts, dice
from cmrseg.metrics.volumes import ed_es_frames, pixel_curve
from cmrseg.predict import study_segmenter
from cmrseg.zoo.domain import read_domain
from cmrseg.zoo.manifest import DEFAULT_MODEL, load_model, model_path

SPOILT = (
    ("noise", 20.0), ("contrast", 3.0), ("bias_field", 8.0), ("ghosting", 30.0), ("resolution", 4.0),
    ("rotation", 45.0), ("zoom", 0.5), ("zoom", 2.0),
)  # fmt: skip
GOOD_DICE = 0.88
EXPECTED = {
    "complete input",
    "base covered",
}  # two frames, and where ACDC's stacks begin: amber in most of them
Study = list[tuple[VolumeRef, ...]]


class Judge:
    """The embedded model, what it was trained on, and what it makes of images."""

    def __init__(self) -> None:
        self.segment = study_segmenter(load_model(DEFAULT_MODEL))
        self.domain = read_domain(model_path(DEFAULT_MODEL))

    def rows(
        self, name: str, studies: list[Study], how: tuple[str, float] | None
    ) -> Iterator[dict[str, object]]:
        """Dice and flags of every study, its images distorted in one way or not."""
        for study in studies:
            distortion, level = (DISTORTIONS[how[0]], how[1]) if how else (None, 0.0)
            yield {"images": name, "subject": study[0][0].subject, **self.judge(study, distortion, level)}

    def judge(self, parts: Study, distortion: Distortion | None, level: float) -> dict[str, object]:
        """Mean Dice of the three structures, and the flags."""
        loaded = [load_contoured(part) for part in parts]
        native, truth = (joined([getattr(p, which) for p in loaded]) for which in ("image", "truth"))
        image = distort(native, distortion, level) if distortion else native
        found = self.segment(image)
        back = restore_mask(found.mask, distortion, level, native) if distortion else found.mask
        ed, es = ed_es_frames(pixel_curve(found.mask.array, Label.LV), smooth=True)
        study = TrustInput(image, found.mask, ed, es, agreement=found.agreement, domain=self.domain)
        flags, agreement = check(study), flip_agreement(study)
        names = {one: [f.check for f in flags if f.level == one] for one in ("red", "amber")}
        seen = [f.level for f in flags if f.check not in EXPECTED]
        return {
            "dice": round(float(dice(confusion_counts(back.array, truth.array)).mean()), 4),
            "agreement": round(agreement[0], 4) if agreement else np.nan,
            "worst_agreement": round(agreement[1]["dice"], 4) if agreement else np.nan,
            "level": next(one for one in ("red", "amber", "green") if one in seen),
            **{one: "; ".join(checks) for one, checks in names.items()},
        }


def joined(parts: list[Cine]) -> Cine:
    """Frames of one subject as one cine."""
    return replace(parts[0], array=np.concatenate([p.array for p in parts], axis=3), frame_times_ms=())


def studies_of(root: Path, *splits: str) -> list[Study]:
    """Contoured studies of a data set by subject, all frames of one size."""
    studies = read_catalog(root, splits=splits).with_masks().studies()
    return [list(group) for _, group in groupby(studies, key=lambda s: s[0].subject)]


def summary(table: pd.DataFrame) -> str:
    """Dice by level: of all studies, by their images, and by check; and how good masks agree under flips."""
    groups = {"all": table.groupby("level"), "images": table.groupby(["images", "level"])}
    text = [g["dice"].agg(["size", "mean", "min", "max"]).round(3).to_string() for g in groups.values()]
    long = pd.concat(
        [table.assign(check=table[one].str.split("; "), of=one).explode("check") for one in ("red", "amber")]
    )
    by_check = long[long["check"] != ""].groupby(["check", "of"])["dice"].agg(["size", "mean", "min", "max"])
    good = table[table["dice"] >= GOOD_DICE][["agreement", "worst_agreement"]].quantile([0, 0.01, 0.05, 0.5])
    return "\n\n".join([*text, by_check.round(3).to_string(), good.round(3).to_string()])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("trust_evidence.tsv"))
    given = parser.parse_args()
    judge, acdc = Judge(), given.data / "acdc"
    test = studies_of(acdc, "test")
    sets = [
        ("ACDC test", test, None),
        ("ACDC val", studies_of(acdc, "val"), None),
        ("M&Ms, three vendors", studies_of(given.data / "mnms"), None),
        ("M&Ms vendor B, val and test", studies_of(given.data / "mnms_vendorB", "val", "test"), None),
        *((f"ACDC test, {name} {level:g}", test, (name, level)) for name, level in SPOILT),
    ]
    rows = []
    for name, studies, how in sets:
        rows += judge.rows(name, studies, how)
        write_table(pd.DataFrame(rows), given.out)
    print(summary(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
