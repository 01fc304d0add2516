"""Spin echoes without stimulated ones: derivatives, recovery, error bars, and a loop of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from checks import assert_jacobian, coverage, drawn, fitted, worst
from contrasts import SPIN_ECHOES
from scipy.optimize import least_squares

from bids_qmri.estimators.base import get_estimator
from bids_qmri.techniques.mese.model import MESE
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol

PROTOCOLS = {
    "sixteen": SPIN_ECHOES,
    "two": SpinEchoProtocol(np.array([0.02, 0.1])),
    "uneven": SpinEchoProtocol(np.array([0.011, 0.03, 0.05, 0.13])),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_jacobian_is_the_derivative_of_the_signal(name: str) -> None:
    assert_jacobian(MESE, drawn(MESE, 40), PROTOCOLS[name])


@pytest.mark.parametrize(
    ("name", "label"),
    [*((name, "lsq") for name in PROTOCOLS), *((name, "mle") for name in ["sixteen", "uneven"])],
)
def test_noise_free_signals_give_their_parameters_back(name: str, label: str) -> None:
    theta = drawn(MESE, 400)
    clean = MESE.signal(theta, PROTOCOLS[name])
    assert worst(fitted(MESE, clean, PROTOCOLS[name], label), MESE, theta) < 1e-4


def test_a_loop_of_scipy_finds_the_same_in_noisy_voxels() -> None:
    theta = drawn(MESE, 60, seed=3)
    clean = MESE.signal(theta, SPIN_ECHOES)
    measured = np.abs(clean + 0.02 * np.random.default_rng(1).normal(size=clean.shape))
    found = fitted(MESE, measured, SPIN_ECHOES)

    def one(voxel: np.ndarray) -> float:
        return float(
            least_squares(
                lambda x: x[1] * np.exp(-SPIN_ECHOES.echo_time / x[0]) - voxel,
                [0.08, voxel.max()],
                bounds=([1e-3, 0], [5.0, np.inf]),
                x_scale=[0.05, 1],
                xtol=1e-14,
                ftol=1e-14,
                gtol=1e-14,
            ).x[0]
        )

    np.testing.assert_allclose(found.maps["t2"], [one(voxel) for voxel in measured.T], rtol=1e-4)


@pytest.mark.parametrize("snr", [30, 100])
def test_error_bars_hold_two_thirds_of_the_truth(snr: float) -> None:
    assert coverage(MESE, SPIN_ECHOES, "t2", snr) == pytest.approx(0.68, abs=0.04)


def test_the_noise_floor_lengthens_t2_of_least_squares_and_not_of_the_likelihood() -> None:
    rng = np.random.default_rng(5)
    level, clean = 0.05, np.repeat(np.exp(-SPIN_ECHOES.echo_time[:, None] / 0.03), 3000, axis=1)
    real, imaginary = level * rng.normal(size=(2, *clean.shape))
    measured = np.hypot(clean + real, imaginary)

    def t2(label: str) -> float:
        found = get_estimator("mese", label).fit(MESE, measured.T, SPIN_ECHOES, sigma=level)
        return float(np.median(found.maps["t2"]))

    assert t2("lsq") > 0.0315
    assert t2("mle") == pytest.approx(0.03, rel=0.02)
