"""Measure what a model was trained on and write it beside its file, for the check "like the training data".

The embedded model, with MODEL = cmrseg/zoo/embedded/light2d_hybrid_acdc_s3.safetensors:

    python benchmarks/training_domain.py DATA/acdc MODEL --tesla 1.5 3 --manufacturers SIEMENS
           --data "ACDC, 60 patients (train split), ED and ES"
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cmrseg.data.catalog import read_catalog
from cmrseg.zoo.domain import measure_domain, write_domain


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--splits", nargs="*", default=["train"])
    parser.add_argument("--data", required=True, help="which images, for a person")
    parser.add_argument("--tesla", nargs="*", type=float, default=[])
    parser.add_argument("--manufacturers", nargs="*", default=[])
    given = parser.parse_args()
    domain = measure_domain(
        read_catalog(given.images, splits=given.splits),
        data=given.data,
        field_strengths_t=given.tesla,
        manufacturers=given.manufacturers,
    )
    print(write_domain(domain, given.model).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
