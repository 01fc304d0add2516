"""Other programs' opinion of DICOM files, and small maps to write."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
needs_dcm2niix = pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")

TILTS = {"straight": (0, 0, 0), "oblique": (20, -15, 10), "sagittal": (80, 5, 85)}


def affine(tilt: str = "oblique", handedness: int = 1) -> np.ndarray:
    """Voxel indices to mm, RAS; voxels of 2 x 2.5 x 3 mm; the determinant has the sign of `handedness`."""
    found = np.eye(4)
    turn = Rotation.from_euler("xyz", TILTS[tilt], degrees=True).as_matrix()
    found[:3, :3] = turn @ np.diag([handedness * 2.0, 2.5, 3.0])
    found[:3, 3] = -12.5, 20.25, 5.0
    return found


def errors(file: Path) -> list[str]:
    """What the validator of dicom3tools calls an error."""
    done = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "the validator said nothing at all"
    return [line for line in lines if line.startswith("Error")]


def converted(folder: Path, out: Path) -> nib.Nifti1Image:
    """The one image that dcm2niix makes of a folder, with axes nearest to right, front and head."""
    out.mkdir(parents=True)
    command = ["dcm2niix", "-o", str(out), "-f", "map", "-z", "n", "-b", "n", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    [file] = out.glob("*.nii")
    return nib.as_closest_canonical(nib.load(file))


def assert_same_image(image: nib.Nifti1Image, values: np.ndarray, grid: np.ndarray, step: float) -> None:
    """Compare place and values, the latter within half a step."""
    wanted = nib.as_closest_canonical(nib.Nifti1Image(values.astype(np.float32), grid))
    np.testing.assert_allclose(image.affine, wanted.affine, atol=1e-4)
    np.testing.assert_allclose(image.get_fdata(), wanted.get_fdata(), atol=0.501 * step)
