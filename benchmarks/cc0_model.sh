#!/usr/bin/env bash
# The model without strings: bash benchmarks/cc0_model.sh DATA OUT
# DATA holds sunnybrook_png/ (CC0), and acdc/, mnms/, mnms_vendorA/ and mnms_vendorB/, on which the result is only tested.
set -euo pipefail
data=$1 out=$2 name=light2d_hybrid_cc0_s3
here=$(dirname "${BASH_SOURCE[0]}")

[[ -e $out/phantoms ]] || python "$here/phantom_data.py" "$out/phantoms"
cmrseg train $name --config "$here/../model_zoo/$name/train.toml" \
  --data "$data/sunnybrook_png" --data "$out/phantoms/scannerA" --data "$out/phantoms/scanner7T" \
  --random --out "$out/run" "${@:3}"

scored() { # SET LABELS SPLIT: the model has no RV, so none is missed
  cmrseg predict "$data/$1" "$out/$1/masks" --split "$3" --model "$out/run/model.safetensors" --fast --resume
  cmrseg evaluate masks "$out/$1/masks" "$data/$1" --split "$3" --labels "$2:LV,MYO" --out "$out/$1/scores"
}

scored sunnybrook_png cmr-seg-tl test
scored mnms mnms ""
scored acdc acdc val,test
scored mnms_vendorA mnms val
scored mnms_vendorB mnms test
