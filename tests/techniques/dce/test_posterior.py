"""Products of tabulated curves are those of the curves themselves."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.estimators.posterior.problem import Problem
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.prior import EVEN
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.posterior import linear_products
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.responses import tabulate

TIME = np.arange(0, 160.0)
AIF = 6 * (TIME / 8) * np.exp(1 - TIME / 8) + 0.5


@pytest.mark.parametrize("frames", [5, 17, 32])
@pytest.mark.parametrize("delay", [(0.0, 10.0), (3.0, 3.0)])
def test_products_are_those_of_the_tabulated_curves(frames: int, delay: tuple[float, float]) -> None:
    rng, voxels, nodes = np.random.default_rng(301), 4, 9
    protocol = DceProtocol(np.linspace(9, 154, frames), TIME, AIF)
    lower, upper = EXTENDED_TOFTS.limits({"kep": (0.1, 2.0), "t0": delay})
    signal, scatter = rng.uniform(0.0, 1.0, (frames, voxels)), rng.uniform(0.05, 0.1, voxels)
    weights = rng.integers(1, 4, frames).astype(np.float64)
    noise = VoxelNoise(scatter, scatter)
    problem = Problem(EXTENDED_TOFTS, signal, protocol, weights, noise, lower, upper, EVEN, [0, 3], 4, 2.65)
    theta = problem.theta(rng.uniform(size=(2, voxels, nodes)))
    found = np.empty((5, voxels, nodes))
    linear_products(problem, theta, np.arange(voxels), found)
    e, p = tabulate(protocol, (lower[0], upper[0]), (lower[3], upper[3])).at(theta[0], theta[3])
    e = e * theta[0][..., None]
    y = np.broadcast_to(signal.T[:, None], e.shape)
    for k, (a, b) in enumerate(((y, e), (y, p), (e, e), (e, p), (p, p))):
        expected = (weights * a * b).sum(axis=-1) / scatter[:, None] ** 2
        np.testing.assert_allclose(found[k], expected, rtol=1e-6)
