#!/bin/bash
# Tensors, kurtosis and NODDI of what QSIPrep preprocessed:
#
#     bash after_qsiprep.sh BIDS_DIR QSIPREP_DIR OUTPUT_DIR [options of bids_qmri]
#
# QSIPREP_DIR is what QSIPrep was given as its output, as in
#
#     docker run --rm -v BIDS_DIR:/data:ro -v QSIPREP_DIR:/out pennlinc/qsiprep /data /out participant \
#       --output-resolution 2 --fs-license-file license.txt
#
# Preprocessed series (space-ACPC_desc-preproc_dwi) take the place of the raw ones that went into them, with the
# brain mask beside them. QSIPrep resamples and may denoise: standard deviations are then those of smoothed noise.
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: after_qsiprep.sh BIDS_DIR QSIPREP_DIR OUTPUT_DIR [options of bids_qmri]" >&2
  exit 2
fi
bids=$1
qsiprep=$2
out=$3
shift 3
examples=$(cd "$(dirname "$0")" && pwd)

# Tissues and regions, where QSIPrep has segmented them, on the grid of the preprocessed series.
regions=$out/regions
python "$examples/regions_to_grid.py" "$qsiprep" "$qsiprep" "$regions" || echo "no regions: maps come without tables of them"
datasets=("qsiprep=$qsiprep")
[ ! -d "$regions" ] || datasets+=("regions=$regions")
bids_qmri "$bids" "$out/maps" participant group -d "${datasets[@]}" "$@"
