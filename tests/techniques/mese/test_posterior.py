"""Trains of the posterior are those of the model."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.techniques.mese.model import MESE
from bids_qmri.techniques.mese.posterior import curves
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol
from bids_qmri.techniques.mese.stimulated import EPG


@pytest.mark.parametrize("count", [3, 8, 32])
@pytest.mark.parametrize("nodes", [1, 333])
def test_trains_are_those_of_the_model(count: int, nodes: int) -> None:
    rng = np.random.default_rng(203)
    theta = rng.uniform([[0.01], [0.5], [1.0]], [[1.0], [1.2], [1.0]], (3, nodes))
    protocol = SpinEchoProtocol(0.01 * np.arange(1, count + 1), np.asarray(np.deg2rad(140.0)))
    np.testing.assert_allclose(curves(EPG, protocol, theta), EPG.signal(theta, protocol), atol=1e-13)


def test_other_models_have_none() -> None:
    assert curves(MESE, SpinEchoProtocol(0.01 * np.arange(1, 5)), np.ones((2, 3))) is None
