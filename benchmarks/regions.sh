#!/usr/bin/env bash
# Base, middle, apex (Mariscal-Harana et al. 2023), Tables 1 to 3: bash benchmarks/regions.sh DATA OUT
# DATA holds acdc/, mnms_vendorA/, mnms_vendorB/ and imagenet/. Give the same command again after an interruption: it
# goes on. SEEDS=3 EPOCHS=40 CLASSIFIER_EPOCHS=40 is the whole experiment, days on two cores; CLASSIFIERS names others.
set -euo pipefail
data=$1 out=$2
imagenet=$data/imagenet

cmrseg study regions --data "$data/acdc" --data "$data/mnms_vendorA" --data "$data/mnms_vendorB" \
  --base "${BASE:-light2d_hybrid_multi_s3}" --out "$out" \
  --classifiers "${CLASSIFIERS:-r18,sq11,r18:random,sq11:random,r18:weighted}" \
  --imagenet "r18=$imagenet/resnet18_imagenet1k_stem-layer3_bnfolded.pth" \
  --imagenet "sq11=$imagenet/squeezenet1_1_imagenet_caffe_notop_unit.pth" \
  --epochs "${EPOCHS:-2}" --classifier-epochs "${CLASSIFIER_EPOCHS:-2}" --seeds "${SEEDS:-1}"
