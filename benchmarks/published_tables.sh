#!/usr/bin/env bash
# The paper's tables and Figs 4 and 6 from the authors' own tables (cmr-seg-tl), and its numbers beside ours:
# benchmarks/published_tables.sh REFERENCE OUT
set -euo pipefail
reference=${1:?folder of the published tables, with kaggle/ and 7T/}
out=${2:?folder for what comes out}
here=$(dirname "${BASH_SOURCE[0]}")
kaggle=$reference/kaggle seven=$reference/7T
teacher=$kaggle/ukbb_ventricular_volumes.csv
# patient_dimensions.tsv tells sizes of images, not their number; the pixel counts have a row per image.
cmrseg confidence "$teacher" "$kaggle"/truth --images "$kaggle"/resnet34_*.tsv.xz --out "$out"/confidence
cmrseg evaluate ef "$kaggle"/*.tsv.xz "$teacher" "$kaggle"/truth --out "$out"/ef
cmrseg evaluate ef "$kaggle"/*.tsv.xz "$teacher" "$kaggle"/truth --out "$out"/ef_rotated --rotated
cmrseg evaluate confusion "$seven"/confusion_*.tsv --out "$out"/confusion
cmrseg evaluate readers "$seven"/confusion_WS_TR.tsv --model "$seven"/confusion_WS_doubleTransferLearn.tsv \
  --spacing 1.25,1.25,6 --out "$out"/readers  # pixels of 0.625 mm, halved to an image of 256
cmrseg study curves "$seven"/train_log_combined.csv --subsets "$seven"/image_subsets.tsv \
  --beside "$here"/ankenbrand2021_fig6.tsv --out "$out"/curves
# Volunteer 24 was never contoured, which is a problem and exit code 1.
cmrseg study frames "$seven"/pixel_counts_by_class.tsv --subsets "$seven"/image_subsets.tsv \
  --out "$out"/frames || test $? -eq 1
python "$here"/published_numbers.py "$out"
