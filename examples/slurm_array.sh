#!/bin/bash
# Fit a dataset on a SLURM cluster: an array of jobs, each for a few participants; run it again to submit what is
# not complete. Called on a login node:
#
#     bash slurm_array.sh BIDS_DIR OUTPUT_DIR [options of bids_qmri]
#
# CHUNK participants per job (1), THROTTLE jobs at a time (100). Whatever sbatch takes from the environment holds
# as well: SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT, ...; SBATCH_OPTIONS holds further options of sbatch.
# For a container, set BIDS_QMRI and BIDS_QMRI_STATUS to the commands that run it, with the same paths inside.
# ALL=1 submits everybody: after other options, or edited sidecars; who is unchanged takes a second.
#SBATCH --job-name=bids_qmri
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --open-mode=truncate
set -euo pipefail

program=${BIDS_QMRI:-bids_qmri}
status=${BIDS_QMRI_STATUS:-bids_qmri-status}
bids=${1:?usage: slurm_array.sh BIDS_DIR OUTPUT_DIR [options of bids_qmri]}
out=${2:?usage: slurm_array.sh BIDS_DIR OUTPUT_DIR [options of bids_qmri]}
shift 2

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  # A job of the array: its share of the list that was made when it was submitted.
  first=$((SLURM_ARRAY_TASK_ID * CHUNK + 1))
  mapfile -t labels < <(sed -n "${first},$((first + CHUNK - 1))p" "$LIST")
  scratch=${SLURM_TMPDIR:-${TMPDIR:-/tmp}}
  # exec: signals of the cluster reach the program itself, which gives back what it holds.
  exec $program "$bids" "$out" participant --participant-label "${labels[@]}" \
    --nprocs "${SLURM_CPUS_PER_TASK:-1}" -w "$scratch/bids_qmri-$(id -u)" "$@"
fi

export CHUNK=${CHUNK:-1}
logs=$out/logs/slurm
mkdir -p "$logs"
# Who is in work is left out. Jobs that still wait are not known here: submit again when none is pending.
export LIST=$logs/incomplete.$$.txt
if [ -n "${ALL:-}" ]; then
  find -L "$bids" -maxdepth 1 -type d -name 'sub-*' -printf '%f\n' | sed 's/^sub-//' | sort > "$LIST"
else
  $status "$out" --bids-dir "$bids" --incomplete > "$LIST" || [ $? -eq 1 ]
fi
count=$(wc -l < "$LIST")
if [ "$count" -eq 0 ]; then
  rm "$LIST"
  echo "nobody is left to be submitted; then: $program $bids $out group"
  exit 0
fi
jobs=$(((count + CHUNK - 1) / CHUNK))
echo "$count participants in $jobs jobs; $status $out says how they stand"
sbatch ${SBATCH_OPTIONS:-} --array="0-$((jobs - 1))%${THROTTLE:-100}" --output="$logs/job-%a.txt" "$0" "$bids" "$out" "$@"
