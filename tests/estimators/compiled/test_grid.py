"""Grid posteriors by the kernel against those by matrix products in single precision."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CASES, draw

from bids_qmri.estimators.compiled import call
from bids_qmri.estimators.posterior.coarse_grid import magnitude_posterior
from bids_qmri.physics.noise import VoxelNoise, add_rician_noise
from bids_qmri.units import FloatArray


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("snr", [3.0, 30.0, 1000.0])
def test_moments_are_those_of_matrix_products(name: str, snr: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model, protocol = CASES[name]
    theta = draw(model, 1001)
    noise = VoxelNoise.thermal(theta[-1] / snr)
    signal = add_rician_noise(model.signal(theta, protocol), noise.floor, np.random.default_rng(0))
    lower, upper = model.limits({"t1": (0.05, 5.0)} if name == "vfa" else {"d": (0.0, 4e-3)})
    given = (model, signal, protocol, np.ones(len(signal)), noise, lower, upper)
    mine = magnitude_posterior(*given)
    monkeypatch.setattr(call, "kernel", lambda name: None)
    peer = magnitude_posterior(*given)
    np.testing.assert_allclose(mine.mean, peer.mean, atol=1e-3)
    np.testing.assert_allclose(mine.sd, peer.sd, atol=1e-3)
    assert np.mean(np.all(mine.best == peer.best, axis=0)) > 0.99


@pytest.mark.parametrize("voxels", [0, 1, 8, 9])
def test_sums_are_those_of_the_definition(voxels: int) -> None:
    rng = np.random.default_rng(1)
    signal, atoms = rng.normal(size=(5, voxels)), rng.normal(size=(30, 5))
    offset, quantities = rng.normal(size=30), rng.normal(size=(3, 30))
    found = call.grid_moments(signal, atoms, offset, quantities)
    assert found is not None
    mass = (atoms @ signal) ** 2 + offset[:, None]
    expected: FloatArray = quantities @ np.exp(mass - mass.max(axis=0, initial=-np.inf))
    np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found[1], np.argmax(mass, axis=0) if voxels else [])
