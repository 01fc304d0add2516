"""The bi-exponential IVIM signal: its limits, its symmetry, its derivatives, its first estimate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.ivim.model import IVIM

BVALS = np.array([0, 10, 20, 50, 100, 300, 600.0])
PROTOCOL = DiffusionProtocol(BVALS)
TISSUES = np.array(
    [[0.4e-3, 1e-3, 2e-3, 3e-3], [0.05, 0.01, 0.1, 0.19], [0.03, 0.9, 0.2, 0.5], [1.0, 300.0, 0.5, 2.0]]
)


def test_without_weighting_the_signal_is_s0() -> None:
    np.testing.assert_allclose(IVIM.signal(TISSUES, PROTOCOL)[0], TISSUES[3])


@pytest.mark.parametrize(("fraction", "row"), [(0.0, 0), (1.0, 1)])
def test_one_compartment_decays_with_one_exponential(fraction: float, row: int) -> None:
    theta = TISSUES.copy()
    theta[2] = fraction
    expected = theta[3] * np.exp(-BVALS[:, None] * theta[row])
    np.testing.assert_allclose(IVIM.signal(theta, PROTOCOL), expected)


@given(f=st.floats(0.0, 1.0), d=st.floats(0.0, 0.005), dstar=st.floats(0.005, 0.2))
def test_compartments_change_places_with_their_fractions(f: float, d: float, dstar: float) -> None:
    one = IVIM.signal(np.array([[d], [dstar], [f], [1.0]]), PROTOCOL)
    other = IVIM.signal(np.array([[dstar], [d], [1.0 - f], [1.0]]), PROTOCOL)
    np.testing.assert_allclose(one, other, atol=1e-15)


def test_bounds_keep_the_compartments_in_their_places() -> None:
    d, dstar = IVIM.parameters[:2]
    assert d.bounds[1] <= dstar.bounds[0]


def test_jacobian_is_the_derivative_of_the_signal() -> None:
    signal, jacobian = IVIM.signal_and_jacobian(TISSUES, PROTOCOL)
    np.testing.assert_allclose(signal, IVIM.signal(TISSUES, PROTOCOL))
    for i in range(4):
        step = np.zeros_like(TISSUES)
        step[i] = 1e-6 * TISSUES[i]
        difference = IVIM.signal(TISSUES + step, PROTOCOL) - IVIM.signal(TISSUES - step, PROTOCOL)
        np.testing.assert_allclose(jacobian[i], difference / (2 * step[i]), rtol=1e-6, atol=1e-6)


def test_start_recovers_f_and_s0_where_the_diffusivities_are_known() -> None:
    theta = TISSUES[:, :1]
    d, dstar = theta[:2, 0]
    lower, upper = IVIM.limits({"d": (d, d), "dstar": (dstar, dstar)})
    start = IVIM.start(IVIM.signal(theta, PROTOCOL), PROTOCOL, lower, upper)
    np.testing.assert_allclose(start, theta)


def test_start_keeps_the_limits() -> None:
    rng = np.random.default_rng(5)
    bounds = {"d": (1e-3, 2e-3), "dstar": (0.02, 0.05), "f": (0.1, 0.3)}
    lower, upper = IVIM.limits(bounds)
    start = IVIM.start(rng.random((BVALS.size, 200)), PROTOCOL, lower, upper)
    assert np.all((start >= lower[:, None]) & (start <= upper[:, None]))


def test_start_honours_averages() -> None:
    """Three averages of an image are worth the image three times."""
    signal = np.random.default_rng(6).random((5, 20))
    averaged = DiffusionProtocol([0, 50, 100, 400, 800], averages=[1, 1, 1, 3, 1])
    repeated = DiffusionProtocol([0, 50, 100, 400, 400, 400, 800])
    np.testing.assert_allclose(
        IVIM.start(signal, averaged, *IVIM.limits()),
        IVIM.start(np.repeat(signal, [1, 1, 1, 3, 1], axis=0), repeated, *IVIM.limits()),
    )


@pytest.mark.parametrize("name", ["vfa", "ivim", "tofts", "etofts", "noddi"])
def test_registry_returns_the_model_of_that_name(name: str) -> None:
    assert get_model(name).name == name


def test_registry_lists_the_models_it_has() -> None:
    with pytest.raises(
        InputError, match="one of vfa, ivim, dti, dki, noddi, noddiexvivo, etofts, tofts, irt1"
    ):
        get_model("t9")
