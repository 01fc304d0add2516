"""A table of responses gives what it was made from."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.techniques.dce.convolution import response_table
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.responses import tabulate

AIF_TIME = np.arange(0, 160.0, 0.5)
DCE = DceProtocol(np.arange(9, 154, 9.0), AIF_TIME, 6 * (AIF_TIME / 8) * np.exp(1 - AIF_TIME / 8))


@pytest.mark.parametrize("kep", [(0.1, 2.0), (0.001, 10.0), (0.5, 0.5)])
@pytest.mark.parametrize("delay", [(0.0, 10.0), (3.0, 3.0)])
def test_interpolated_curves_are_those_of_the_model(kep, delay):
    rng = np.random.default_rng(0)
    k, t = rng.uniform(*kep, 200), rng.uniform(*delay, 200)
    exact = response_table(DCE).evaluate(k, t)
    tissue, plasma = tabulate(DCE, kep, delay).at(k, t)
    scale = exact.tissue.max(axis=0)
    assert np.abs((tissue.T - exact.tissue) / scale).max() < 5e-4
    np.testing.assert_allclose(plasma.T, np.broadcast_to(exact.plasma, plasma.T.shape), atol=0.01)


def test_limits_are_part_of_the_table():
    tissue, _ = tabulate(DCE, (0.1, 2.0), (0.0, 10.0)).at(np.array([0.1, 2.0]), np.array([0.0, 10.0]))
    exact = response_table(DCE).evaluate(np.array([0.1, 2.0]), np.array([0.0, 10.0]))
    np.testing.assert_allclose(tissue.T, exact.tissue, rtol=1e-9)
