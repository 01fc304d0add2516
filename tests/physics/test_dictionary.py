"""First estimates from a dictionary: the grid, and the search for the nearest of its signals."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.physics.dictionary import grid, nearest_atom
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.ivim.model import IVIM

PROTOCOL = DiffusionProtocol([0, 20, 100, 400, 800])
GRIDS = {"d": np.array([0.5e-3, 1e-3, 2e-3]), "dstar": np.array([0.02, 0.1]), "f": np.array([0.05, 0.3])}


def test_grid_holds_the_centres_of_equal_cells() -> None:
    np.testing.assert_allclose(grid(0.0, 4.0, 4), [0.5, 1.5, 2.5, 3.5])


def test_logarithmic_grid_has_equal_ratios_inside_the_limits() -> None:
    values = grid(0.01, 10.0, 6, logarithmic=True)
    np.testing.assert_allclose(values[1:] / values[:-1], 1000 ** (1 / 6))
    assert values[0] > 0.01
    assert values[-1] < 10.0


def test_logarithmic_grid_starts_above_a_limit_of_zero() -> None:
    assert grid(0.0, 10.0, 6, logarithmic=True)[0] > 0.01


def test_equal_limits_leave_one_value() -> None:
    np.testing.assert_array_equal(grid(1.3, 1.3, 24), [1.3])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_signal_of_the_dictionary_finds_itself(scale: float) -> None:
    mesh = np.meshgrid(*GRIDS.values(), [scale], indexing="ij")
    theta = np.stack([axis.ravel() for axis in mesh])
    found = nearest_atom(IVIM, IVIM.signal(theta, PROTOCOL), PROTOCOL, GRIDS)
    np.testing.assert_allclose(found, theta)


def test_nearest_is_the_least_sum_of_squares() -> None:
    signal = np.random.default_rng(0).random((5, 30))
    found = IVIM.signal(nearest_atom(IVIM, signal, PROTOCOL, GRIDS), PROTOCOL)
    misfit = np.sum((signal - found) ** 2, axis=0)
    for d in GRIDS["d"]:
        for dstar in GRIDS["dstar"]:
            for f in GRIDS["f"]:
                atom = IVIM.signal(np.array([[d], [dstar], [f], [1.0]]), PROTOCOL)
                s0 = np.sum(atom * signal, axis=0) / np.sum(atom**2)
                assert np.all(misfit <= np.sum((signal - s0 * atom) ** 2, axis=0) + 1e-12)


def test_amplitude_is_never_negative() -> None:
    found = nearest_atom(IVIM, -np.ones((5, 1)), PROTOCOL, GRIDS)
    assert found[3, 0] == 0
