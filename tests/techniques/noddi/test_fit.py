"""NODDI by least squares and by likelihood: recovery, invariances, minima, noise, status, refusals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from sphere import unit_vectors

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.classical import lm
from bids_qmri.estimators.classical.objective import LeastSquares
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.noddi.encoding import align, encode
from bids_qmri.techniques.noddi.exvivo import EX_VIVO_NODDI
from bids_qmri.techniques.noddi.fit import Likelihood, NoddiLsq, NoddiMle
from bids_qmri.techniques.noddi.model import NODDI, noddi_signal
from bids_qmri.units import FloatArray

NAMES = ("ndi", "odi", "fwf")
WHITE_MATTER = ((0.4, 0.1, 0.0), (0.8, 0.4, 0.2))
PROTOCOL = DiffusionProtocol(
    np.repeat([0.0, 700.0, 2000.0], [9, 24, 48]), unit_vectors(81, np.random.default_rng(1))
)


BY = {"gaussian": NoddiLsq(), "rician": NoddiMle()}


def simulate(
    voxels: int,
    snr: float = np.inf,
    ranges: tuple[tuple[float, ...], tuple[float, ...]] = ((0.01, 0.01, 0.0), (1.0, 1.0, 0.98)),
    protocol: DiffusionProtocol = PROTOCOL,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return NDI, ODI, FWF, (3, V), directions, (V, 3), and signals, (V, N), with S0 = 1."""
    rng = np.random.default_rng(seed)
    theta, direction = rng.uniform(*ranges, (voxels, 3)).T, unit_vectors(voxels, rng)
    return theta, direction, add_rician_noise(noddi_signal(*theta, direction, protocol), 1 / snr, rng).T


def scalars(result: FitResult) -> FloatArray:
    return np.array([result.maps[name] for name in NAMES])


def directions(result: FitResult) -> FloatArray:
    return np.array([result.maps[f"direction_{axis}"] for axis in "xyz"])


def test_noise_free_signals_are_explained_over_the_whole_range() -> None:
    theta, direction, signal = simulate(2000)
    found = NoddiLsq().fit(NODDI, signal, PROTOCOL)
    np.testing.assert_allclose(scalars(found), theta, atol=1e-5)
    assert np.all(found.residual < 1e-8)
    oriented = theta[1] < 0.95
    cosine = np.abs(np.einsum("iv,vi->v", directions(found), direction))
    assert np.all(cosine[oriented] > 1 - 1e-6)


def test_likelihood_of_little_noise_is_least_squares() -> None:
    theta, _, signal = simulate(200, ranges=WHITE_MATTER)
    found = NoddiMle().fit(NODDI, signal, PROTOCOL, sigma=1e-3)
    np.testing.assert_allclose(scalars(found), theta, atol=1e-4)


def test_minimum_is_the_lowest_that_many_starts_find() -> None:
    _, _, signal = simulate(150, 15)
    found = NoddiLsq().fit(NODDI, signal, PROTOCOL)
    weighted = PROTOCOL.bvals > 0
    encoding = encode(
        DiffusionProtocol(PROTOCOL.bvals[weighted], PROTOCOL.bvecs[weighted]), NODDI.d_par, NODDI.d_iso
    )
    relative = (signal[:, weighted][:, encoding.order] / found.maps["s0"][:, None]).T
    costs = []
    for ndi, odi, fwf in product((0.2, 0.8), (0.1, 0.6), (0.1, 0.6)):
        start = np.array([ndi, odi, fwf, 0, 0])[:, None] * np.ones(150)
        aligned = align(encoding, unit_vectors(150, np.random.default_rng(2)).T)
        theta = lm.minimise(NODDI, LeastSquares(relative), aligned, *NODDI.limits(), start=start).theta
        costs.append(np.mean((relative - NODDI.signal(theta, aligned)) ** 2, axis=0))
    cost = (found.residual / found.maps["s0"]) ** 2
    assert np.mean(cost > 1.001 * np.min(costs, axis=0)) == 0


@pytest.mark.parametrize("likelihood", ["gaussian", "rician"])
def test_scale_of_the_signal_reaches_s0_and_residual_alone(likelihood: Likelihood) -> None:
    _, _, signal = simulate(100, 25)
    one = BY[likelihood].fit(NODDI, signal, PROTOCOL, sigma=0.04)
    other = BY[likelihood].fit(NODDI, 300 * signal, PROTOCOL, sigma=12.0)
    np.testing.assert_allclose(scalars(other), scalars(one), atol=1e-4)
    np.testing.assert_allclose(other.maps["s0"], 300 * one.maps["s0"], rtol=1e-12)
    np.testing.assert_allclose(other.residual, 300 * one.residual, rtol=1e-5)
    np.testing.assert_allclose(one.maps["s0"], signal[:, PROTOCOL.b0_mask].mean(axis=1), rtol=1e-12)


def test_order_of_images_does_not_matter() -> None:
    _, _, signal = simulate(100, 25)
    order = np.random.default_rng(3).permutation(81)
    shuffled = DiffusionProtocol(PROTOCOL.bvals[order], PROTOCOL.bvecs[order])
    one, other = NoddiLsq().fit(NODDI, signal, PROTOCOL), NoddiLsq().fit(NODDI, signal[:, order], shuffled)
    np.testing.assert_allclose(scalars(other), scalars(one), atol=1e-4)


def test_turned_gradients_turn_directions_and_nothing_else() -> None:
    _, _, signal = simulate(200, 25, WHITE_MATTER)
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    turned = DiffusionProtocol(PROTOCOL.bvals, PROTOCOL.bvecs @ turn.T)
    one, other = NoddiLsq().fit(NODDI, signal, PROTOCOL), NoddiLsq().fit(NODDI, signal, turned)
    np.testing.assert_allclose(scalars(other), scalars(one), atol=1e-4)
    cosine = np.einsum("iv,iv->v", turn @ directions(one), directions(other))
    np.testing.assert_allclose(np.abs(cosine), 1.0, atol=1e-6)


def test_b_values_that_all_differ_are_fitted_exactly() -> None:
    bvals = PROTOCOL.bvals + (PROTOCOL.bvals > 0) * np.random.default_rng(5).uniform(-10, 10, 81)
    jittered = DiffusionProtocol(bvals, PROTOCOL.bvecs)
    theta, _, signal = simulate(200, ranges=WHITE_MATTER, protocol=jittered)
    np.testing.assert_allclose(scalars(NoddiLsq().fit(NODDI, signal, jittered)), theta, atol=1e-5)


def test_averages_count_as_often_as_they_were_acquired() -> None:
    _, _, signal = simulate(100, 25, WHITE_MATTER)
    twice = np.where(np.arange(81) % 3 == 0, 2, 1)
    again = np.repeat(np.arange(81), twice)
    repeated = DiffusionProtocol(PROTOCOL.bvals[again], PROTOCOL.bvecs[again])
    averaged = DiffusionProtocol(PROTOCOL.bvals, PROTOCOL.bvecs, twice)
    one = NoddiLsq().fit(NODDI, signal[:, again], repeated)
    np.testing.assert_allclose(scalars(NoddiLsq().fit(NODDI, signal, averaged)), scalars(one), atol=1e-4)


@pytest.mark.parametrize("sigma", [0.01, None])
def test_standard_deviations_are_those_of_the_errors(sigma: float | None) -> None:
    protocol = DiffusionProtocol(
        np.r_[np.zeros(400), PROTOCOL.bvals], np.r_[np.zeros((400, 3)), PROTOCOL.bvecs]
    )
    theta, _, signal = simulate(800, 100, WHITE_MATTER, protocol)
    found = NoddiLsq().fit(NODDI, signal, protocol, sigma=sigma)
    inside = found.status == Status.OK
    error = (scalars(found) - theta) / np.array([found.sd[name] for name in NAMES])
    np.testing.assert_allclose(np.std(error[:, inside], axis=1), 1.0, atol=0.1)


def test_likelihood_removes_the_bias_of_the_noise_floor() -> None:
    theta, _, signal = simulate(1500, 15, ((0.5, 0.1, 0.0), (0.8, 0.4, 0.2)))
    bias = {
        likelihood: np.mean(
            scalars(BY[likelihood].fit(NODDI, signal, PROTOCOL, sigma=1 / 15)) - theta,
            axis=1,
        )
        for likelihood in ("gaussian", "rician")
    }
    assert abs(bias["rician"][0]) < 0.02 < 0.03 < bias["gaussian"][0]


def test_noise_is_estimated_where_it_is_needed() -> None:
    _, _, signal = simulate(500, 20, WHITE_MATTER)
    told = NoddiMle().fit(NODDI, signal, PROTOCOL, sigma=0.05)
    found = NoddiMle().fit(NODDI, signal, PROTOCOL)
    assert np.median(np.abs(scalars(found) - scalars(told))) < 0.01


def test_equal_bounds_fix_a_parameter() -> None:
    _, _, signal = simulate(50, 25, WHITE_MATTER)
    found = NoddiLsq().fit(NODDI, signal, PROTOCOL, bounds={"fwf": (0.1, 0.1), "odi": (0.05, 0.6)})
    np.testing.assert_allclose(found.maps["fwf"], 0.1)
    assert np.all(np.isnan(found.sd["fwf"]))
    assert np.all((found.maps["odi"] >= 0.05) & (found.maps["odi"] <= 0.6))
    assert np.mean(found.status == Status.OK) > 0.8


def test_status_says_what_happened() -> None:
    _, _, signal = simulate(5, 25, ((0.5, 0.2, 0.1), (0.6, 0.3, 0.2)))
    signal[1, 40] = np.nan
    signal[2, PROTOCOL.b0_mask] = 0.0
    signal[3, 40] = -0.01
    signal[4] = np.where(PROTOCOL.b0_mask, 1.0, 0.0)
    found = NoddiMle().fit(NODDI, signal, PROTOCOL, sigma=0.04)
    # Free water alone says nothing about neurites, and is a limit itself.
    assert found.status.tolist() == [Status.OK, *[Status.UNUSABLE] * 3, Status.UNDETERMINED]
    for values in (*found.maps.values(), *found.sd.values(), found.residual):
        assert np.isnan(values[1:4]).all()
    assert NoddiLsq().fit(NODDI, signal, PROTOCOL).status[3] != Status.UNUSABLE


def test_directions_are_unit_vectors_that_point_up() -> None:
    _, _, signal = simulate(300, 10)
    found = directions(NoddiLsq().fit(NODDI, signal, PROTOCOL))
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1.0, rtol=1e-12)
    assert np.all(found[2] >= 0)


def test_stationary_tissue_is_found_ex_vivo() -> None:
    protocol = DiffusionProtocol(np.repeat([0.0, 2000.0, 4000.0, 8000.0], [9, 24, 24, 24]), PROTOCOL.bvecs)
    rng = np.random.default_rng(6)
    ndi, odi, fwf, dot = rng.uniform([0.2, 0.05, 0, 0], [0.8, 0.5, 0.3, 0.3], (300, 4)).T
    moving = noddi_signal(ndi, odi, fwf, unit_vectors(300, rng), protocol, d_par=0.6e-3, d_iso=2e-3)
    found = NoddiLsq().fit(EX_VIVO_NODDI, (dot + (1 - dot) * moving).T, protocol)
    np.testing.assert_allclose(scalars(found), [ndi, odi, fwf], atol=1e-5)
    np.testing.assert_allclose(found.maps["dot"], dot, atol=1e-5)


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [
        (DiffusionProtocol(PROTOCOL.bvals), "directions"),
        (DiffusionProtocol(PROTOCOL.bvals + 700, PROTOCOL.bvecs), "b = 0"),
        (DiffusionProtocol(PROTOCOL.bvals[:12], PROTOCOL.bvecs[:12]), "free parameters"),
        (DiffusionProtocol(PROTOCOL.bvals[:40], PROTOCOL.bvecs[:40]), "shape"),
    ],
)
def test_what_cannot_be_fitted_is_refused(protocol: DiffusionProtocol, reason: str) -> None:
    signal = np.ones((3, 12 if reason == "free parameters" else 81))
    with pytest.raises(InputError, match=reason):
        NoddiLsq().fit(NODDI, signal, protocol)


def test_noise_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="noise"):
        NoddiMle().fit(NODDI, simulate(3)[2], PROTOCOL, sigma=0.0)
