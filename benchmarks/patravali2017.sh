#!/usr/bin/env bash
# The table of papers/patravali2017 on ACDC: 2D and 3D, three losses, about 12,000 slices seen by each.
#   bash benchmarks/patravali2017.sh DATA OUT light2d_CE         # trains one arm; each may be a session of its own
#   bash benchmarks/patravali2017.sh DATA OUT light3d_hybridlog  # ... light{2d,3d}_{CE,logDICE,hybridlog}
#   bash benchmarks/patravali2017.sh DATA OUT base               # light3d_hybrid from the embedded 2D weights
#   bash benchmarks/patravali2017.sh DATA OUT random             # the same network and loss from random weights
#   bash benchmarks/patravali2017.sh DATA OUT table              # the table of all arms that are there
# DATA holds acdc/ with its splits.csv. A stopped training goes on, and so does the table.
set -euo pipefail
data=$1 out=$2 arm=$3
here=$(dirname "$0")

case $arm in
  table)
    models=$(ls -d "$out"/*/model.safetensors | paste -sd,)
    cmrseg study table --data "$data/acdc" --models "$models" --split val,test --out "$out/table" ;;
  base)
    cmrseg finetune --base light2d_hybrid_acdc_s3 --architecture light3d --config "$here/patravali2017_base.toml" \
      --augmentation s3 --data "$data/acdc" --out "$out/light3d_base" --resume ;;
  random)
    cmrseg train light3d_hybrid_acdc_s3 --config "$here/from_scratch.toml" --epochs 8 --batch-size 2 --data "$data/acdc" \
      --out "$out/light3d_random" --resume ;;
  *)
    cmrseg train "${arm}_acdc_s3" --config "$here/patravali2017_${arm:5:2}.toml" --data "$data/acdc" --out "$out/$arm" \
      --resume ;;
esac
