#!/usr/bin/env bash
# An ACDC model, as it is and fine-tuned to others' data, and the figures of its card: bash benchmarks/real_data.sh DATA OUT
# DATA holds acdc/, mnms/, mnms_vendorB/ and sunnybrook_png/ with their splits.csv. Masks and reports go to OUT.
set -euo pipefail
data=$1 out=$2
base=light2d_hybrid_acdc_s3
here=$(dirname "${BASH_SOURCE[0]}")

echo "== $base on ACDC val + test, and on three vendors it never saw"
cmrseg predict "$data/acdc" "$out/acdc" --split val,test --model $base
cmrseg evaluate masks "$out/acdc" "$data/acdc" --split val,test --out "$out/acdc_scores"
cmrseg predict "$data/mnms" "$out/mnms" --model $base
cmrseg evaluate masks "$out/mnms" "$data/mnms" --out "$out/mnms_scores"

scored() { # SET NAME [--model FILE]: predict the test split and score it
  cmrseg predict "$data/$1" "$out/$1/$2" --split test "${@:3}"
  cmrseg evaluate masks "$out/$1/$2" "$data/$1" --split test --out "$out/$1/$2_scores"
}

for set in mnms_vendorB sunnybrook_png; do
  echo "== $set: $base as it is, then fine-tuned"
  scored $set base --model $base
  time cmrseg finetune --base $base --data "$data/$set" --out "$out/$set/run"
  scored $set finetuned --model "$out/$set/run/model.safetensors"
done

echo "== mnms_vendorB: the same network from random weights, for the same number of images"
set=mnms_vendorB
epochs=$(($(wc -l <"$out/$set/run/history.csv") - 1))
cmrseg train light2d_hybrid_scratch_s4 --config "$here/from_scratch.toml" --data "$data/$set" \
  --out "$out/$set/scratch_run" --epochs "$epochs"
scored $set scratch --model "$out/$set/scratch_run/model.safetensors"
