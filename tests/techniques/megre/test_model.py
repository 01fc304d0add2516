"""Gradient echoes: derivatives, recovery, error bars, and a loop of scipy over the same voxels."""

from __future__ import annotations

import numpy as np
import pytest
from checks import assert_jacobian, coverage, drawn, fitted, worst
from contrasts import GRADIENT_ECHOES
from scipy.optimize import least_squares

from bids_qmri.physics.echoes import EchoProtocol
from bids_qmri.techniques.megre.model import MEGRE

PROTOCOLS = {
    "twelve": GRADIENT_ECHOES,
    "two": EchoProtocol(np.array([0.002, 0.02])),
    "uneven": EchoProtocol(np.array([0.0012, 0.003, 0.011, 0.04])),
    "unsorted": EchoProtocol(np.array([0.04, 0.003, 0.011])),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_jacobian_is_the_derivative_of_the_signal(name: str) -> None:
    assert_jacobian(MEGRE, drawn(MEGRE, 40), PROTOCOLS[name])


@pytest.mark.parametrize(
    ("name", "label"),
    [*((name, "lsq") for name in PROTOCOLS), *((name, "mle") for name in ["twelve", "unsorted"])],
)
def test_noise_free_signals_give_their_parameters_back(name: str, label: str) -> None:
    theta = drawn(MEGRE, 400)
    clean = MEGRE.signal(theta, PROTOCOLS[name])
    assert worst(fitted(MEGRE, clean, PROTOCOLS[name], label), MEGRE, theta) < 1e-4


def test_the_rate_is_the_inverse_of_the_time_with_its_error() -> None:
    theta = drawn(MEGRE, 100)
    noise = 0.01 * np.random.default_rng(0).normal(size=(12, 100))
    found = fitted(MEGRE, np.abs(MEGRE.signal(theta, GRADIENT_ECHOES) + noise), GRADIENT_ECHOES)
    np.testing.assert_allclose(found.maps["r2star"], 1 / found.maps["t2star"])
    np.testing.assert_allclose(found.sd["r2star"], found.sd["t2star"] / found.maps["t2star"] ** 2)


def test_a_loop_of_scipy_finds_the_same_in_noisy_voxels() -> None:
    theta = drawn(MEGRE, 60, seed=3)
    clean = MEGRE.signal(theta, GRADIENT_ECHOES)
    measured = np.abs(clean + 0.02 * np.random.default_rng(1).normal(size=clean.shape))
    found = fitted(MEGRE, measured, GRADIENT_ECHOES)

    def one(voxel: np.ndarray) -> float:
        return float(
            least_squares(
                lambda x: x[1] * np.exp(-GRADIENT_ECHOES.echo_time / x[0]) - voxel,
                [0.02, voxel.max()],
                bounds=([3e-4, 0], [1.0, np.inf]),
                x_scale=[0.01, 1],
                xtol=1e-14,
                ftol=1e-14,
                gtol=1e-14,
            ).x[0]
        )

    np.testing.assert_allclose(found.maps["t2star"], [one(voxel) for voxel in measured.T], rtol=1e-4)


@pytest.mark.parametrize("snr", [30, 100])
def test_error_bars_hold_two_thirds_of_the_truth(snr: float) -> None:
    assert coverage(MEGRE, GRADIENT_ECHOES, "t2star", snr) == pytest.approx(0.68, abs=0.04)


def test_one_echo_time_is_refused() -> None:
    assert "2 are needed" in MEGRE.obstacle(EchoProtocol(np.array([0.01, 0.01])))
