#!/usr/bin/env bash
# dcm2niix: inversion times of one series become volumes of one file, of which the sidecar knows the first alone.
#
# Guess before it was run: as a series with several flip angles, repetition times or echo times is split into one file
# for each, with its own sidecar, so is one with several inversion times; or InversionTime becomes a list.
# Seen: with dcm2niix 1.0.20260724 flip angles, repetition times and echo times are split; three inversion times become
# one 4-D file with "InversionTime" of the first one, the others are nowhere, and no warning speaks of it. The same
# for images of Siemens, GE and Philips. (Flip angles at TE = 2 ms are named _e2 and _e2a, as if of a second echo.)
# Whom it hurts: T1 by inversion recovery from scanners or exports that keep all inversions in one series: the times
# are lost with the DICOM files, and a program that takes the one value for all volumes has nothing to fit.
# What helps: split by InversionTime before conversion, or write the list into the sidecar from the DICOM files.
# Source: dcm2niix 1.0.20260724 on PyPI, images made here with pydicom 3.0.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet "dcm2niix==1.0.20260724" "pydicom==3.0.2" "nibabel>=5.3" "numpy>=2.1"
cat > "$folder/run.py" <<'PYTHON'
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

SLICES, SIDE = 6, 16
SERIES = {"FlipAngle": (5.0, 15.0), "EchoTime": (2.0, 7.0), "InversionTime": (50.0, 400.0, 1100.0)}  # degrees, ms


def write(folder, maker, key, values):
    folder.mkdir()
    common = Dataset()
    common.StudyInstanceUID, common.SeriesInstanceUID, common.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    common.SOPClassUID, common.Modality, common.Manufacturer = MRImageStorage, "MR", maker
    common.ImageType, common.PatientID, common.PatientName = ["ORIGINAL", "PRIMARY", "M"], "phantom", "phantom"
    common.SeriesNumber, common.SeriesDescription, common.StudyID = 3, "series", "1"
    common.StudyDate, common.StudyTime, common.SeriesTime, common.AcquisitionTime = "20260101", *["100000"] * 3
    common.MRAcquisitionType, common.ScanningSequence, common.SequenceVariant = "2D", "GR", "SP"
    common.MagneticFieldStrength, common.RepetitionTime, common.EchoTime, common.FlipAngle = 3, 5000.0, 2.0, 90.0
    common.PatientPosition, common.SliceThickness, common.PixelSpacing = "HFS", 2, [2, 2]
    common.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    common.Rows = common.Columns = SIDE
    common.SamplesPerPixel, common.PhotometricInterpretation, common.PixelRepresentation = 1, "MONOCHROME2", 0
    common.BitsAllocated, common.BitsStored, common.HighBit = 16, 12, 11
    for number in range(len(values) * SLICES):
        step, place = divmod(number, SLICES)
        image = Dataset()
        image.update(common)
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.file_meta.MediaStorageSOPClassUID = MRImageStorage
        image.InstanceNumber, image.AcquisitionNumber = number + 1, step + 1
        image.ImagePositionPatient = [0, 0, 2.0 * place]
        image.PixelData = np.full((SIDE, SIDE), 100 * (step + 1), dtype="<u2").tobytes()
        setattr(image, key, values[step])
        image.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)


program = Path(sys.executable).with_name("dcm2niix")
as_seen = True
for maker in ("SIEMENS", "GE MEDICAL SYSTEMS", "Philips Medical Systems"):
    for number, (key, values) in enumerate(SERIES.items()):
        source = Path(f"{maker.split()[0]}_{number}")
        write(source, maker, key, values)
        out = source / "converted"
        out.mkdir()
        done = subprocess.run([program, "-b", "y", "-o", out, source], check=True, capture_output=True, text=True)
        files = sorted(out.glob("*.nii*"))
        shapes = [nib.load(path).shape for path in files]
        told = [json.loads(path.read_text())[key] for path in sorted(out.glob("*.json"))]
        print(f"{maker}, {key} {values}: {len(files)} files, shapes {shapes}, sidecars say {told}")
        if key == "InversionTime":
            warned = [line for line in done.stdout.splitlines() if "warning" in line.lower() and "inversion" in line.lower()]
            as_seen &= shapes == [(SIDE, SIDE, SLICES, 3)] and told == [0.05] and not warned
        else:
            as_seen &= len(files) == len(values) and len(set(told)) == len(values)
sys.exit(not as_seen)
PYTHON
cd "$folder"
"$folder/env/bin/dcm2niix" --version | tail -1 || true
"$folder/env/bin/python" "$folder/run.py"
