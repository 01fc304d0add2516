#!/usr/bin/env bash
# bids-validator: an image named mt-on whose sidecar says MTState false passes, and so does mt-off with true.
#
# Guess before it was run: an error, or at least a warning; entity and key mean the same, the schema has a rule
# for the collection, and the tool's purpose is such contradictions.
# Seen: with bids-validator-deno 3.0.2 (BIDS 1.11.1) no error and no remark; inversion times of 900 and 1700
# (milliseconds, where the standard asks for seconds) pass in the same run.
# Whom it hurts: whoever computes MTR or MTsat by the key, or by the name: the ratio changes its sign and still
# looks like a map; and who takes seconds for granted in a dataset that passed.
# What helps: compare both, as `bids_qmri.bids.mt_state` does, and refuse times that nobody plays out.
# Source: https://github.com/bids-standard/bids-validator, schema of BIDS 1.11.1, rules of MTR and IRT1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "bids-validator-deno==3.0.2" "nibabel==5.3.2" "numpy==2.2.6"
"$work/venv/bin/python" - "$work/data" <<'PY'
import json, sys
from pathlib import Path

import nibabel as nib
import numpy as np

root = Path(sys.argv[1])
anat = root / "sub-01/anat"
anat.mkdir(parents=True)
about = {"Name": "x", "BIDSVersion": "1.11.1", "License": "CC0", "Authors": ["A", "B"]}
(root / "dataset_description.json").write_text(json.dumps(about))
(root / "README").write_text("Two images of a made-up scan, to see what a validator says of their sidecars.\n" * 3)


def add(name, **keys):
    image = nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.diag([2, 2, 2, 1]))
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, anat / f"{name}.nii.gz")
    (anat / f"{name}.json").write_text(json.dumps(keys))


add("sub-01_mt-on_MTR", MTState=False)
add("sub-01_mt-off_MTR", MTState=True)
add("sub-01_inv-1_IRT1", InversionTime=900)
add("sub-01_inv-2_IRT1", InversionTime=1700)
PY
"$work/venv/bin/bids-validator-deno" --version
"$work/venv/bin/bids-validator-deno" "$work/data" --json > "$work/report.json" && code=0 || code=$?
"$work/venv/bin/python" - "$work/report.json" "$code" <<'PY'
import json, sys

report, code = json.load(open(sys.argv[1])), int(sys.argv[2])
issues = report["issues"]["issues"]
errors = [one for one in issues if one.get("severity") == "error"]
about = [one for one in issues if "MTState" in json.dumps(one) or "InversionTime" in json.dumps(one)]
about = [one for one in about if "RECOMMENDED" not in one.get("code", "")]
print(f"exit code {code}, {len(errors)} errors, {len(about)} remarks about MTState or InversionTime")
for one in about:
    print(one.get("code"), one.get("location"))
sys.exit(0 if code == 0 and not errors and not about else 1)
PY
