"""Curves of the posterior are those of the model."""

from __future__ import annotations

import numpy as np

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.ivim.posterior import curves


def test_curves_are_those_of_the_model() -> None:
    rng = np.random.default_rng(201)
    theta = rng.uniform([[0.0], [0.005], [0.0], [1.0]], [[0.005], [0.2], [1.0], [1.0]], (4, 333))
    protocol = DiffusionProtocol(np.array([0, 7.0, 40, 200, 900, 1500]))
    np.testing.assert_allclose(curves(IVIM, protocol, theta), IVIM.signal(theta, protocol), atol=3e-7)
