"""Phantoms as a data set, for models that may be used by anybody: phantom_data.py OUT [--subjects 36].

Half are of a 1.5 T scanner and half of a 7 T one; five frames of the cycle each, end-diastole and end-systole
contoured, with splits.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cmrseg.phantom import SCANNERS
from cmrseg.workflows.demo import DemoSize, write_studies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subjects", type=int, default=36)
    given = parser.parse_args()
    for seed, name in enumerate(SCANNERS):
        write_studies(
            given.out / f"scanner{name}",
            SCANNERS[name],
            given.subjects // len(SCANNERS),
            DemoSize(n_frames=5),
            seed=seed + 100,
        )


if __name__ == "__main__":
    main()
