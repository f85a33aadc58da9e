#!/usr/bin/env bash
# The paper's comparison of R, TL and TL2 with a ResNet: bash benchmarks/paper_networks.sh DATA OUT
# DATA holds acdc/, mnms_vendorB/ and imagenet/. Give the same command again after an interruption: it goes on.
# Images and epochs are cut down to what two cores do in two to three hours; SIZE=256 EPOCHS=60 TRANSFER_EPOCHS=20
# BATCH=32 are the paper's.
set -euo pipefail
data=$1 out=$2
size=${SIZE:-96} jobs=${JOBS:-1}
imagenet=$data/imagenet/resnet18_imagenet1k_stem-layer3_bnfolded.pth
base=r18_CE_acdc_s2_$size

mkdir -p "$out"
resume=()
[ ! -e "$out/$base/config.json" ] || resume=(--resume)
echo "== base model: ImageNet, then ACDC, first with a frozen encoder"
cmrseg train "$base" --data "$data/acdc" --out "$out/$base" --imagenet "$imagenet" \
  --epochs "${EPOCHS:-2}" --batch-size "${BATCH:-8}" "${resume[@]}"

echo "== R (random), TL (ImageNet), TL2 (base model) on all, half and one of the subjects of another scanner"
cmrseg study subsets --data "$data/mnms_vendorB" --base "$out/$base/model.safetensors" --imagenet "$imagenet" \
  --subjects 12,1 --kinds subjects --seeds 1 --epochs "${TRANSFER_EPOCHS:-2}" --jobs "$jobs" --out "$out/study"
