"""Whole cines with the embedded model: float32 against bfloat16, and the Dice between their masks."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from cmrseg.metrics.overlap import confusion_counts, dice
from cmrseg.phantom import SCANNERS, make_study, random_spec
from cmrseg.predict import Options, segment_cine
from cmrseg.zoo import load_model

ROUNDS = 3


def main() -> None:
    cine = make_study(random_spec(np.random.default_rng(0), n_frames=20), SCANNERS["A"], 0).cine
    model, n = load_model(), cine.array.shape[2] * cine.array.shape[3]
    sides = {
        "float32": Options(bf16=False),
        "bfloat16": Options(),
        "bfloat16, one pass": Options(flips=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    masks = {}
    for _ in range(ROUNDS):
        for name, options in sides.items():
            started = time.perf_counter()
            masks[name] = segment_cine(cine, model, options).array
            seconds[name].append(time.perf_counter() - started)
    reference = median(seconds["float32"])
    for name, values in seconds.items():
        scores = dice(confusion_counts(masks[name], masks["float32"]))
        print(
            f"{name}: {median(values):.2f} s for {n} slices, ratio {reference / median(values):.2f}, "
            f"Dice to float32 LV {scores[0]:.4f} MYO {scores[1]:.4f} RV {scores[2]:.4f}"
        )


if __name__ == "__main__":
    main()
