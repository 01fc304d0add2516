"""Curves of the posterior are those of the model."""

from __future__ import annotations

import numpy as np

from bids_qmri.techniques.irt1.model import IRT1
from bids_qmri.techniques.irt1.posterior import curves
from bids_qmri.techniques.irt1.protocol import InversionProtocol


def test_curves_are_those_of_the_model() -> None:
    rng = np.random.default_rng(202)
    theta = rng.uniform([[0.05], [0.5], [1.0]], [[5.0], [1.0], [1.0]], (3, 333))
    protocol = InversionProtocol(np.array([0.0, 0.05, 0.4, 1.1, 2.5]))
    np.testing.assert_allclose(curves(IRT1, protocol, theta), IRT1.signal(theta, protocol), atol=4e-7)
