#!/bin/bash
# Relaxometry and other quantitative images of participants whom fMRIPrep has segmented:
#
#     bash after_fmriprep.sh BIDS_DIR FMRIPREP_DIR OUTPUT_DIR [options of bids_qmri]
#
# fMRIPrep reads no quantitative images; its brain mask and segmentation (aseg, aparcaseg, tissues) become mask and
# regions of the maps: medians per region in group tables, and no fits of air. Maps stay on the grid of their images.
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: after_fmriprep.sh BIDS_DIR FMRIPREP_DIR OUTPUT_DIR [options of bids_qmri]" >&2
  exit 2
fi
bids=$1
fmriprep=$2
out=$3
shift 3
examples=$(cd "$(dirname "$0")" && pwd)

python "$examples/regions_to_grid.py" "$bids" "$fmriprep" "$out/regions"
bids_qmri "$bids" "$out/maps" participant group -d regions="$out/regions" "$@"
