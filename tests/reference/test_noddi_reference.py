"""NODDI against stored signals, the integral over the sphere, and known accuracy of fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sphere import stick_signal, unit_vectors

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.noddi.fit import Likelihood, NoddiLsq, NoddiMle
from bids_qmri.techniques.noddi.model import D_PAR, NODDI, noddi_signal
from bids_qmri.units import FloatArray

SCHEMES = ("noddi_s1", "hcp_like", "ukb_like")


def scheme(shared_data: Path, name: str) -> DiffusionProtocol:
    stem = shared_data / "schemes" / name
    return DiffusionProtocol(np.loadtxt(f"{stem}.bval"), np.loadtxt(f"{stem}.bvec").T)


def differences(shared_data: Path, name: str, column: str) -> tuple[FloatArray, FloatArray]:
    """Return the largest difference of each stored voxel, and its ODI, shape (V,)."""
    stored = np.load(shared_data / "reference" / "noddi" / "noddi_reference.npz")
    protocol = DiffusionProtocol(stored[f"{name}_bval"], stored[f"{name}_bvec"])
    signal = noddi_signal(stored["ndi"], stored["odi"], stored["fwf"], stored["mu"], protocol)
    return np.abs(signal.T - stored[f"{name}_{column}"]).max(axis=1), stored["odi"]


@pytest.mark.parametrize(("name", "tolerance"), [*zip(SCHEMES, (1e-6, 1e-5, 1e-6), strict=True)])
def test_signals_are_those_of_a_quadrature(shared_data: Path, name: str, tolerance: float) -> None:
    difference, odi = differences(shared_data, name, "signal_quadrature")
    assert difference.max() < tolerance
    assert difference[odi > 0.03].max() < tolerance / 5


@pytest.mark.parametrize(("name", "tolerance"), [*zip(SCHEMES, (1.3e-5, 6.2e-5, 1.5e-5), strict=True)])
def test_signals_are_those_of_a_series_to_degree_12(shared_data: Path, name: str, tolerance: float) -> None:
    difference, _ = differences(shared_data, name, "signal")
    assert difference.max() < tolerance


@pytest.mark.parametrize("odi", [0.02, 0.05, 0.5])
def test_sticks_are_the_integral_over_the_sphere(shared_data: Path, odi: float) -> None:
    protocol = scheme(shared_data, "noddi_s1")
    along_gradient = protocol.bvecs[protocol.bvals == 2000][0]
    for direction in (along_gradient, unit_vectors(1, np.random.default_rng(0))[0]):
        signal = noddi_signal(np.ones(1), np.array([odi]), np.zeros(1), direction[None], protocol)[:, 0]
        np.testing.assert_allclose(signal, stick_signal(protocol, direction, odi, D_PAR), atol=2e-6)


@pytest.mark.parametrize("name", [*SCHEMES, "abcd_like", "clinical_2shell", "hcp_like_jitter"])
def test_noise_free_signals_of_every_scheme_are_explained(shared_data: Path, name: str) -> None:
    protocol, rng = scheme(shared_data, name), np.random.default_rng(1)
    theta = rng.uniform([0.02, 0.02, 0.0], [1.0, 0.95, 0.95], (300, 3)).T
    # Images at b = 5 count as unweighted, here as in the estimate.
    unweighted = DiffusionProtocol(np.where(protocol.b0_mask, 0.0, protocol.bvals), protocol.bvecs)
    signal = noddi_signal(*theta, unit_vectors(300, rng), unweighted).T
    maps = NoddiLsq().fit(NODDI, signal, protocol).maps
    np.testing.assert_allclose([maps["ndi"], maps["odi"], maps["fwf"]], theta, atol=1e-5)


@pytest.mark.parametrize(
    ("likelihood", "bias", "sd"),
    [
        ("gaussian", (0.105, -0.079, 0.065), (0.090, 0.080, 0.069)),
        ("rician", (0.008, -0.166, 0.005), (0.078, 0.080, 0.078)),
    ],
)
def test_accuracy_on_the_grid_of_rot_2025(
    shared_data: Path, likelihood: Likelihood, bias: tuple[float, ...], sd: tuple[float, ...]
) -> None:
    protocol, rng = scheme(shared_data, "noddi_s1"), np.random.default_rng(2)
    axes = (np.arange(0.05, 1, 0.1), np.arange(0.05, 1, 0.1), np.arange(0.05, 0.5, 0.1))
    theta = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    clean = noddi_signal(*theta, np.broadcast_to([1.0, 0.0, 0.0], (500, 3)), protocol)
    draws = np.tile(clean, (1, 8))
    signal = add_rician_noise(draws, 1 / 15, rng).T
    estimator = NoddiLsq() if likelihood == "gaussian" else NoddiMle()
    maps = estimator.fit(NODDI, signal, protocol, sigma=1 / 15).maps
    found = np.array([maps["ndi"], maps["odi"], maps["fwf"]]).reshape(3, 8, 500)
    np.testing.assert_allclose(np.mean(found - theta[:, None], axis=(1, 2)), bias, atol=0.012)
    np.testing.assert_allclose(np.mean(np.std(found, axis=1, ddof=1), axis=1), sd, atol=0.012)
