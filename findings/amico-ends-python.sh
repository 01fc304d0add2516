#!/usr/bin/env bash
# AMICO: what is wrong with one subject ends Python, not the call, so that `except Exception` does not go on.
#
# Guess before it was run: with b-values of 5, 1000 and 2000 s/mm^2 (HCP, UK Biobank and most Siemens scans store b = 0
# as 5) `amico.Evaluation.load_data` takes 5 for 0, or raises an exception that a loop over subjects can catch.
# Seen: with dmri-amico 2.1.1 b0_thr is 0 unless given, so that "No b0 volume to normalize signal with" is printed;
# then sys.exit is called inside the library. The loop over subjects ends there with exit code 64, subjects behind
# the first such one are never looked at, and a notebook kernel or a worker of a pool goes with it.
# Whom it hurts: who calls AMICO in a script over a study, or from another pipeline.
# What helps: `load_data(..., b0_thr=50)`; catch SystemExit too; one process per subject.
# Source: dmri-amico 2.1.1, amico/core.py (load_data) and amico/util.py (ERROR ends in sys.exit).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet "dmri-amico==2.1.1" "nibabel>=5.3" "numpy>=2.1"
cat > "$folder/run.py" <<'PYTHON'
from importlib.metadata import version
from pathlib import Path

import amico
import nibabel as nib
import numpy as np

STORED = {"first": 0, "second": 5, "third": 0}  # b-value of the images without weighting


def write(folder, lowest):
    bvals = np.repeat([lowest, 1000, 2000], [6, 30, 60])
    steps = np.arange(bvals.size) + 0.5
    height, turn = 1 - steps / bvals.size, np.pi * (1 + np.sqrt(5)) * steps
    radius = np.sqrt(1 - height**2)
    bvecs = np.stack([radius * np.cos(turn), radius * np.sin(turn), height])
    signal = 1000 * np.exp(-bvals * (0.0004 + 0.0011 * bvecs[0] ** 2))
    folder.mkdir()
    nib.save(nib.Nifti1Image(np.tile(signal, (2, 2, 2, 1)).astype(np.float32), np.eye(4)), folder / "dwi.nii.gz")
    np.savetxt(folder / "dwi.bval", bvals[None], fmt="%d")
    np.savetxt(folder / "dwi.bvec", bvecs, fmt="%.6f")
    amico.util.fsl2scheme(f"{folder}/dwi.bval", f"{folder}/dwi.bvec", f"{folder}/dwi.scheme")


for name, lowest in STORED.items():
    write(Path(name), lowest)
    try:
        evaluation = amico.Evaluation(study_path=".", subject=name)
        evaluation.load_data(dwi_filename="dwi.nii.gz", scheme_filename="dwi.scheme")
        print(f"SUBJECT {name}: loaded", flush=True)
    except Exception as error:
        print(f"SUBJECT {name}: {type(error).__name__}: {error}; going on", flush=True)
print("LOOP ended with dmri-amico", version("dmri-amico"), flush=True)
PYTHON
cd "$folder"
code=0
"$folder/env/bin/python" "$folder/run.py" > "$folder/output" 2>&1 || code=$?
echo "dmri-amico 2.1.1; exit code of a loop over three subjects that catches every Exception: $code"
grep -a "SUBJECT\|LOOP\|No b0" "$folder/output"
[ "$code" -eq 64 ] && grep -aq "SUBJECT first: loaded" "$folder/output" && ! grep -aq "third\|LOOP" "$folder/output"
