#!/usr/bin/env bash
# The figures of README and of the model's card: bash benchmarks/real_data.sh DATA OUT
# DATA holds acdc/, mnms/, mnms_vendorB/ and sunnybrook_png/ with their splits.csv. Masks and reports go to OUT.
set -euo pipefail
data=$1 out=$2
base=light2d_hybrid_acdc_s3
here=$(dirname "${BASH_SOURCE[0]}")

echo "== the embedded model on ACDC val + test, and on three vendors it never saw"
cmrseg predict "$data/acdc" "$out/acdc" --split val,test
cmrseg evaluate masks "$out/acdc" "$data/acdc" --split val,test --out "$out/acdc_scores"
cmrseg predict "$data/mnms" "$out/mnms"
cmrseg evaluate masks "$out/mnms" "$data/mnms" --out "$out/mnms_scores"

for set in mnms_vendorB sunnybrook_png; do
  echo "== $set: the embedded model as it is, fine-tuned, and the same network from random weights"
  cmrseg predict "$data/$set" "$out/$set/base" --split test
  cmrseg evaluate masks "$out/$set/base" "$data/$set" --split test --out "$out/$set/base_scores"
  time cmrseg finetune --base $base --data "$data/$set" --out "$out/$set/finetuned_run"
  cmrseg predict "$data/$set" "$out/$set/finetuned" --split test --model "$out/$set/finetuned_run/model.safetensors"
  cmrseg evaluate masks "$out/$set/finetuned" "$data/$set" --split test --out "$out/$set/finetuned_scores"
  epochs=$(($(wc -l <"$out/$set/finetuned_run/history.csv") - 1))
  cmrseg train light2d_hybrid_scratch_s3 --config "$here/from_scratch.toml" --data "$data/$set" \
    --out "$out/$set/scratch_run" --epochs "$epochs"
  cmrseg predict "$data/$set" "$out/$set/scratch" --split test --model "$out/$set/scratch_run/model.safetensors"
  cmrseg evaluate masks "$out/$set/scratch" "$data/$set" --split test --out "$out/$set/scratch_scores"
done
