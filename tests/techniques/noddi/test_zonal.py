"""What the network sees of a voxel does not depend on the frame, the order or the unit of the images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from multishell import noisy, random_axes, scan, two_shells

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import VoxelNoise, rician_moments
from bids_qmri.physics.prior import EVEN
from bids_qmri.techniques.noddi.model import NODDI, noddi_signal
from bids_qmri.techniques.noddi.ncde import expected
from bids_qmri.techniques.noddi.zonal import (
    CHANNELS,
    CONTEXT,
    LEGENDRE,
    RIDGE,
    fit_zonal,
    network_inputs,
    sort_shells,
    without_bias,
)

D_PAR, D_ISO = 1.7e-3, 3.0e-3
SIGMA = 0.04


def inputs(signal: np.ndarray, protocol: DiffusionProtocol, sigma: float = SIGMA):
    shells = sort_shells(protocol)
    noise = VoxelNoise.thermal(np.full(len(signal), sigma))
    zonal = fit_zonal(signal, shells, D_PAR)
    return network_inputs(zonal, shells, noise, (D_PAR, D_ISO), expected(NODDI, EVEN))


def unchanged(ours, others) -> None:
    for one, other in zip(ours, others, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_a_shell_is_fitted_by_legendre_polynomials_with_the_ridge() -> None:
    protocol = two_shells()
    shells = sort_shells(protocol)
    _, _, signal = scan(protocol, 5, 25.0)
    found = fit_zonal(signal, shells, D_PAR)
    for s, members in enumerate(shells.members):
        cosine = shells.directions[members] @ found.direction[:, 3]
        design = np.array([np.polyval(row[::-1], cosine**2) for row in LEGENDRE]).T
        normal = design.T @ design + np.diag(RIDGE)
        expected = np.linalg.solve(normal, design.T @ (signal[3, members] / found.s0[3]))
        np.testing.assert_allclose(found.coefficients[s, :, 3], expected, atol=1e-9)
        np.testing.assert_allclose(found.precision[s, :, 3], np.sqrt(np.diag(np.linalg.inv(normal))))


def test_legendre_polynomials_are_one_at_one_and_orthogonal() -> None:
    np.testing.assert_allclose(LEGENDRE.sum(axis=1), 1.0)
    nodes, weights = np.polynomial.legendre.leggauss(16)
    values = np.array([np.polyval(row[::-1], nodes**2) for row in LEGENDRE])
    np.testing.assert_allclose(
        (values * weights) @ values.T, np.diag(2.0 / np.array([1, 5, 9, 13])), atol=1e-12
    )


def test_residuals_tell_the_noise_but_for_the_direction_that_was_sought_and_the_noise_floor() -> None:
    protocol = two_shells()
    _, _, signal = scan(protocol, 4000, 40.0)
    found = fit_zonal(signal, sort_shells(protocol), D_PAR)
    assert 0.93 < np.sqrt(np.mean(found.noise**2)) * 40.0 < 1.0


def test_inputs_turn_with_the_head() -> None:
    protocol = two_shells()
    _, _, signal = scan(protocol, 200, 25.0)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    assert protocol.bvecs is not None
    unchanged(inputs(signal, protocol), inputs(signal, replace(protocol, bvecs=protocol.bvecs @ turn)))


def test_inputs_do_not_depend_on_the_order_of_images_or_the_signs_of_directions() -> None:
    protocol = two_shells()
    _, _, signal = scan(protocol, 100, 25.0)
    rng = np.random.default_rng(3)
    order = rng.permutation(protocol.n_measurements)
    assert protocol.bvecs is not None
    signs = rng.choice([-1.0, 1.0], (order.size, 1))
    other = DiffusionProtocol(protocol.bvals[order], (signs * protocol.bvecs)[order])
    unchanged(inputs(signal, protocol), inputs(signal[:, order], other))


def test_inputs_do_not_depend_on_the_unit_of_the_signal() -> None:
    protocol = two_shells()
    _, _, signal = scan(protocol, 100, 25.0)
    unchanged(inputs(signal, protocol), inputs(1000.0 * signal, protocol))


def test_the_path_begins_without_weighting_and_follows_b() -> None:
    protocol = two_shells()
    path, context = inputs(scan(protocol, 50, 25.0)[2], protocol)
    assert path.shape == (50, 3, len(CHANNELS))
    assert context.shape == (50, len(CONTEXT))
    np.testing.assert_array_equal(path[:, 0], [np.eye(len(CHANNELS))[1]] * 50)
    np.testing.assert_allclose(path[:, :, 0], [[0.0, 0.7, 2.0]] * 50, atol=1e-6)
    assert np.all((path[:, 1:, 9:] > 0) & (path[:, 1:, 9:] <= 1))


def test_jitter_of_the_scanner_makes_no_more_shells() -> None:
    protocol = two_shells()
    bvals = protocol.bvals + np.where(
        protocol.bvals > 0, np.resize([-5.0, 5.0], protocol.n_measurements), 0.0
    )
    signal = scan(protocol, 20, 25.0)[2]
    unchanged(inputs(signal, protocol), inputs(signal, replace(protocol, bvals=bvals)))


def test_the_bias_of_magnitudes_is_undone_at_any_signal() -> None:
    signal = np.concatenate([np.linspace(0.2, 12.0, 200), [50.0, 1e4]])
    np.testing.assert_allclose(without_bias(rician_moments(signal[:200])[0]), signal[:200], atol=2e-3)
    np.testing.assert_allclose(without_bias(signal[200:]), signal[200:], rtol=1e-3)
    np.testing.assert_array_equal(without_bias(np.array([-1.0, 0.0, 1.2])), 0.0)


def test_mean_signals_of_shells_are_free_of_the_noise_floor() -> None:
    protocol, rng = two_shells(), np.random.default_rng(8)
    truth = rng.uniform(0.05, 0.95, (3, 4000))
    clean = noddi_signal(*truth, random_axes(4000, rng), protocol)
    without, measured = inputs(clean.T, protocol, 1e-3)[0], inputs(noisy(clean, 0.1, rng), protocol, 0.1)[0]
    raw, free = (measured[:, 2, CHANNELS.index(name)].mean() for name in ("a0", "free_a0"))
    expected = without[:, 2, CHANNELS.index("a0")].mean()
    assert raw > expected + 0.03
    assert free == pytest.approx(expected, abs=0.01)


def test_unknown_noise_is_told_and_replaced_by_the_residual() -> None:
    protocol = two_shells()
    context = inputs(scan(protocol, 20, 25.0)[2], protocol, np.nan)[1]
    seen = dict(zip(CONTEXT, context.T, strict=True))
    np.testing.assert_array_equal(seen["sigma_unknown"], 1.0)
    np.testing.assert_array_equal(seen["log_sigma"], seen["log_residual"])
    np.testing.assert_array_equal(seen["log_floor"], 0.0)


@pytest.mark.parametrize(
    ("protocol", "what"),
    [
        (DiffusionProtocol(two_shells().bvals), "directions are not known"),
        (two_shells(b0=0), "no image at b = 0"),
        (DiffusionProtocol(np.r_[0, np.arange(300, 3000, 30.0)], np.eye(3)[np.zeros(91, int)]), "no shells"),
    ],
)
def test_schemes_without_shells_are_refused(protocol: DiffusionProtocol, what: str) -> None:
    with pytest.raises(InputError, match=what):
        sort_shells(protocol)
