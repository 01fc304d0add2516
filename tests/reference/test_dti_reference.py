"""Tensor fits of measured series against stored dipy results and the quartiles of the data's README."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_qmri.estimators.base import Estimator, Status
from bids_qmri.estimators.dipy.tensor import Ols, Wls
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dti.model import TENSOR

LINEAR: dict[str, Estimator] = {"ols": Ols(), "wls": Wls()}


def load(stem: Path, b0_threshold: float = 50.0) -> tuple[np.ndarray, DiffusionProtocol]:
    """Return signals (V, N) and protocol of STEM.nii.gz with its bval and bvec beside it."""
    image = np.asarray(nib.load(f"{stem}.nii.gz").dataobj, dtype=float)
    bvals, bvecs = np.loadtxt(f"{stem}.bval"), np.loadtxt(f"{stem}.bvec").T
    return image.reshape(-1, image.shape[-1]), DiffusionProtocol(bvals, bvecs, b0_threshold=b0_threshold)


def quartiles(values: np.ndarray) -> np.ndarray:
    return np.percentile(values[np.isfinite(values)], [25, 50, 75])


@pytest.mark.parametrize("method", ["ols", "wls"])
def test_every_voxel_of_sub_dti_equals_the_stored_dipy_fit(shared_data, method):
    signal, protocol = load(shared_data / "bids-real/sub-dti/dwi/sub-dti_dwi")
    stored = np.load(shared_data / "reference/dti/sub-dti_dipy_tensor.npz")
    # The table was made with dipy's min_signal = 1: four measurements of zero were raised to one count.
    maps = LINEAR[method].fit(TENSOR, np.maximum(signal, 1.0), protocol).maps
    np.testing.assert_allclose(maps["fa"], stored[f"fa_{method}"].ravel(), rtol=1e-7)
    np.testing.assert_allclose(maps["md"], stored[f"md_{method}_mm2_s"].ravel(), rtol=1e-7)


@pytest.mark.parametrize(
    ("method", "fa", "md"),
    [
        ("ols", (0.216, 0.349, 0.522), (0.683, 0.842, 1.677)),
        ("wls", (0.215, 0.345, 0.519), (0.684, 0.838, 1.684)),
    ],
)
def test_quartiles_of_sub_dti(shared_data, method, fa, md):
    signal, protocol = load(shared_data / "bids-real/sub-dti/dwi/sub-dti_dwi")
    fit = LINEAR[method].fit(TENSOR, signal, protocol)
    np.testing.assert_allclose(quartiles(fit.maps["fa"]), fa, atol=1e-3)
    np.testing.assert_allclose(1e3 * quartiles(fit.maps["md"]), md, atol=2e-3)
    zeros = (signal <= 0).any(axis=1)
    assert set(fit.status[zeros]) == {Status.AT_BOUND}


@pytest.mark.parametrize(
    ("direction", "fa", "md"),
    [
        ("AP", (0.093, 0.169, 0.344), (0.760, 0.856, 1.187)),
        ("PA", (0.092, 0.171, 0.347), (0.769, 0.861, 1.178)),
    ],
)
def test_quartiles_of_sub_dtiuih(shared_data, direction, fa, md):
    signal, protocol = load(shared_data / f"bids-real/sub-dtiuih/dwi/sub-dtiuih_dir-{direction}_dwi")
    assert protocol.b0_mask.sum() == 1  # reported as b = 1.25
    b0 = signal[:, protocol.b0_mask].mean(axis=1)
    maps = LINEAR["wls"].fit(TENSOR, signal[b0 > 0.25 * np.percentile(b0, 99)], protocol).maps
    np.testing.assert_allclose(quartiles(maps["fa"]), fa, atol=1e-3)
    np.testing.assert_allclose(1e3 * quartiles(maps["md"]), md, atol=1e-3)


def test_quartiles_of_sub_dtigrid(shared_data, caplog):
    signal, protocol = load(shared_data / "bids-real/sub-dtigrid/dwi/sub-dtigrid_dwi")
    with caplog.at_level("DEBUG", logger="bids_qmri"):
        maps = LINEAR["wls"].fit(TENSOR, signal, protocol).maps
    np.testing.assert_allclose(quartiles(maps["fa"]), (0.270, 0.395, 0.505), atol=1e-3)
    np.testing.assert_allclose(1e3 * quartiles(maps["md"]), (0.686, 0.716, 0.755), atol=1e-3)
    assert "83 of 102 measurements left out" in caplog.text


def test_sub_dtispine_is_the_smallest_scheme(shared_data):
    signal, protocol = load(shared_data / "bids-real/sub-dtispine/dwi/sub-dtispine_dwi")
    cord = np.zeros((40, 42, 5), dtype=bool)
    cord[16:24, 17:25, 2] = True
    mean = signal[cord.ravel()].mean(axis=0, keepdims=True)
    adc = np.log(mean[0, 0] / mean[0, 1:]) / protocol.bvals[1:]
    fit = LINEAR["ols"].fit(TENSOR, mean, protocol)
    assert adc.min() < fit.maps["md"][0] < adc.max()
