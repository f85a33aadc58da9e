#!/usr/bin/env bash
# The paper's tables from the authors' own (cmr-seg-tl): benchmarks/published_tables.sh REFERENCE OUT
set -euo pipefail
reference=${1:?folder of the published tables, with kaggle/ and 7T/}
out=${2:?folder for what comes out}
cmrseg confidence "$reference"/kaggle/ukbb_ventricular_volumes.csv "$reference"/kaggle/truth --out "$out"/confidence
cmrseg evaluate ef "$reference"/kaggle/*.tsv.xz "$reference"/kaggle/truth --out "$out"/ef
cmrseg evaluate ef "$reference"/kaggle/*.tsv.xz "$reference"/kaggle/truth --out "$out"/ef_rotated --rotated
cmrseg evaluate confusion "$reference"/7T/confusion_*.tsv --out "$out"/confusion
