#!/usr/bin/env bash
# Two models on every set's held-out subjects: bash benchmarks/vendors.sh DATA OUT [BASELINE [OTHER]]
# DATA holds acdc/, mnms/, mnms_vendorA/, mnms_vendorB/ and sunnybrook_png/ with their splits.csv. One pass each.
set -euo pipefail
data=$1 out=$2 baseline=${3:-light2d_hybrid_acdc_s3} other=${4:-light2d_hybrid_multi_s3}

compare() { # SET SPLITS: masks and scores of both, and base, middle and apex of both
  for model in "$baseline" "$other"; do
    cmrseg predict "$data/$1" "$out/$1/$model" --split "$2" --model "$model" --fast --resume
    cmrseg evaluate masks "$out/$1/$model" "$data/$1" --split "$2" --out "$out/$1/${model}_scores"
  done
  cmrseg evaluate regions "$data/$1" "$out/$1/$baseline" "$out/$1/$other" --split "$2" --out "$out/$1/regions"
}

compare acdc val,test
compare mnms_vendorA val
compare mnms_vendorB test
compare mnms ""
compare sunnybrook_png test
