#!/usr/bin/env bash
# How many subjects of M&Ms vendor B to contour: bash benchmarks/subset_study.sh DATA OUT
# DATA holds mnms_vendorB/ with its splits.csv. The same command goes on where it was stopped.
set -euo pipefail
data=${1:?folder of the data sets} out=${2:?folder of the study}
time cmrseg study subsets --data "$data/mnms_vendorB" --base light2d_hybrid_acdc_s3 --out "$out" \
  --kinds subjects --epochs 22 --jobs 2
