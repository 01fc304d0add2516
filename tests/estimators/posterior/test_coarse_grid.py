"""Coarse grids against the exact posterior mean, and how they cover their limits."""

from __future__ import annotations

import numpy as np
import pytest
from dynamic import DCE_PROTOCOL, dynamic
from simulated import CASES, VFA_PROTOCOL, draw, narrow

from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.estimators.posterior.box import box, from_box, quantities, sd_from_box, to_box
from bids_qmri.estimators.posterior.coarse_grid import GridPosterior, edges, grid, magnitude_posterior
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import VoxelNoise, add_rician_noise
from bids_qmri.techniques.dce.grid import concentration_posterior
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS, TOFTS
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

MODELS = sorted(CASES)


def coarse(name: str, snr: float, voxels: int, bounds: Bounds) -> tuple[FloatArray, GridPosterior]:
    """Return noisy magnitudes (V, N) of amplitude 1 and their grid posterior."""
    model, protocol = CASES[name]
    theta = draw(model, voxels)
    theta[-1] = 1.0
    signal = add_rician_noise(model.signal(theta, protocol), 1 / snr, np.random.default_rng(4))
    noise, limits = VoxelNoise.thermal(np.full(voxels, 1 / snr)), model.limits(bounds)
    return signal.T, magnitude_posterior(model, signal, protocol, protocol.weights, noise, *limits)


def kinetics(
    snr: float, voxels: int, model: Model, bounds: Bounds
) -> tuple[FloatArray, FloatArray, GridPosterior]:
    """Return noisy concentrations (V, N), their noise and their grid posterior."""
    _, signal, sigma = dynamic(snr, voxels)
    noise, limits = VoxelNoise.thermal(sigma), model.limits(bounds)
    return signal, sigma, concentration_posterior(model, signal.T, DCE_PROTOCOL, np.ones(17), noise, *limits)


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("limits", [(0.1, 3.0), (0.0, 0.5), (2.0, 2.0)])
def test_cells_fill_their_interval(limits: tuple[float, float], logarithmic: bool) -> None:
    ends = edges(*limits, 16, logarithmic=logarithmic)
    assert (ends[0], ends[-1]) == pytest.approx(limits)
    assert np.all(np.diff(ends) >= 0)
    assert ends.size == (2 if limits[0] == limits[1] else 17)


def test_logarithmic_cells_have_equal_ratios() -> None:
    ends = edges(0.1, 3.0, 8, logarithmic=True)
    np.testing.assert_allclose(ends[1:] / ends[:-1], 30 ** (1 / 8))


def test_grid_holds_the_volume_of_the_box() -> None:
    model, _ = CASES["ivim"]
    lower, upper = model.limits(narrow(model))
    nodes = grid(model, lower, upper)
    assert np.exp(nodes.log_mass).sum() == pytest.approx(np.prod((upper - lower)[:3]))
    assert nodes.theta.shape == (4, 960)
    assert np.all(nodes.theta[3] == 1)


@pytest.mark.parametrize(("name", "snr"), [("vfa", 60), ("vfa", 200), ("ivim", 5), ("ivim", 25)])
def test_magnitudes_agree_with_the_exact_posterior_mean(name: str, snr: float) -> None:
    model, protocol = CASES[name]
    bounds = narrow(model)
    signal, ours = coarse(name, snr, 40, bounds)
    exact = Bayes().fit(model, signal, protocol, sigma=1 / snr, bounds=bounds)
    lower, upper = box(model, bounds)
    mean, sd = (np.array([maps[q] for q in quantities(model)]) for maps in (exact.maps, exact.sd))
    sd /= (upper - lower)[:, None]
    assert np.median(np.abs(ours.mean - to_box(mean, lower, upper)) / sd) < 0.1
    assert 0.85 < np.median(ours.sd / sd) < 1.2


@pytest.mark.parametrize("snr", [5, 15])
def test_concentrations_agree_with_the_exact_posterior_mean(snr: float) -> None:
    bounds = narrow(EXTENDED_TOFTS)
    signal, sigma, ours = kinetics(snr, 24, EXTENDED_TOFTS, bounds)
    exact = Bayes().fit(EXTENDED_TOFTS, signal, DCE_PROTOCOL, sigma=sigma, bounds=bounds)
    lower, upper = box(EXTENDED_TOFTS, bounds)
    names = quantities(EXTENDED_TOFTS)
    mean, sd = (np.array([maps[q] for q in names]) for maps in (exact.maps, exact.sd))
    sd /= (upper - lower)[:, None]
    assert np.median(np.abs(ours.mean - to_box(mean, lower, upper)) / sd) < 0.2
    assert 0.8 < np.median(ours.sd / sd) < 1.25


def test_amounts_stay_accurate_between_the_nodes() -> None:
    """Rate and delay known, the volume fractions are a bivariate Gaussian: no grid limits their precision."""
    theta, _, _ = dynamic(10, 50)
    theta[0], theta[3] = 0.7, 3.0
    clean = EXTENDED_TOFTS.signal(theta, DCE_PROTOCOL)
    bounds = narrow(EXTENDED_TOFTS) | {"kep": (0.7, 0.7), "t0": (3.0, 3.0)}
    lower, upper = EXTENDED_TOFTS.limits(bounds)
    noise = VoxelNoise.thermal(np.full(50, 1e-3))
    ours = concentration_posterior(EXTENDED_TOFTS, clean, DCE_PROTOCOL, np.ones(17), noise, lower, upper)
    score = (ours.mean[1:3] - to_box(theta[1:3], lower[1:3], upper[1:3])) / ours.sd[1:3]
    assert np.median(np.abs(score)) < 0.2


@pytest.mark.parametrize("name", MODELS)
def test_no_information_gives_the_uniform_prior(name: str) -> None:
    model, protocol = CASES[name]
    signal = np.random.default_rng(5).rayleigh(1.0, (protocol.n_measurements, 20))
    limits = model.limits(narrow(model))
    weights, noise = protocol.weights, VoxelNoise.thermal(np.full(20, 1e4))
    posterior = magnitude_posterior(model, signal, protocol, weights, noise, *limits)
    # A free amplitude leaves a prior of its standard deviation, which is not flat in T1 or f.
    assert np.all(np.abs(posterior.mean - 0.5) < 0.2)
    assert np.all((posterior.sd > 0.2) & (posterior.sd < 0.32))


def test_own_flip_angles_of_every_voxel_change_nothing_where_they_are_equal() -> None:
    model, protocol = CASES["vfa"]
    bounds = narrow(model)
    signal, shared = coarse("vfa", 100, 70, bounds)
    own = protocol.with_b1(np.ones(70))
    arguments = (protocol.weights, VoxelNoise.thermal(np.full(70, 0.01)), *model.limits(bounds))
    each = magnitude_posterior(model, signal.T, own, *arguments)
    np.testing.assert_allclose(each.mean, shared.mean, atol=1e-4)
    np.testing.assert_allclose(each.sd, shared.sd, atol=1e-4)


def test_transmit_field_is_the_scale_of_the_flip_angle() -> None:
    model, _ = CASES["vfa"]
    bounds, factor = narrow(model), 0.8
    scaled = VfaProtocol(factor * VFA_PROTOCOL.flip_angle, 0.005)
    signal, _ = coarse("vfa", 100, 30, bounds)
    arguments = (np.ones(4), VoxelNoise.thermal(np.full(30, 0.01)), *model.limits(bounds))
    direct = magnitude_posterior(model, signal.T, scaled, *arguments)
    mapped = magnitude_posterior(model, signal.T, VFA_PROTOCOL.with_b1(np.full(30, factor)), *arguments)
    np.testing.assert_allclose(mapped.mean, direct.mean, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_best_node_is_near_the_truth_at_high_signal(name: str) -> None:
    model, _ = CASES[name]
    bounds = narrow(model)
    _, posterior = coarse(name, 2000, 200, bounds)
    theta = draw(model, 200)
    lower, upper = model.limits(bounds)
    first = (posterior.best[0] - theta[0]) / (upper[0] - lower[0])
    assert np.quantile(np.abs(first), 0.9) < 0.1
    assert np.median(np.abs(posterior.best[-1] - 1.0)) < 0.05


@pytest.mark.parametrize("first", [0, 5, 63])
def test_a_voxel_alone_gets_the_same_numbers(first: int) -> None:
    bounds = narrow(CASES["ivim"][0])
    model, protocol = CASES["ivim"]
    signal, together = coarse("ivim", 30, 100, bounds)
    arguments = (protocol.weights, VoxelNoise.thermal(np.full(1, 1 / 30)), *model.limits(bounds))
    alone = magnitude_posterior(model, signal[first : first + 1].T, protocol, *arguments)
    np.testing.assert_allclose(alone.mean[:, 0], together.mean[:, first], atol=1e-7)
    np.testing.assert_allclose(alone.sd[:, 0], together.sd[:, first], atol=1e-7)


def test_a_curve_alone_gets_the_same_numbers() -> None:
    bounds = narrow(EXTENDED_TOFTS)
    signal, sigma, together = kinetics(30, 100, EXTENDED_TOFTS, bounds)
    limits = EXTENDED_TOFTS.limits(bounds)
    noise = VoxelNoise.thermal(sigma[70:71])
    alone = concentration_posterior(
        EXTENDED_TOFTS, signal[70:71].T, DCE_PROTOCOL, np.ones(17), noise, *limits
    )
    np.testing.assert_allclose(alone.mean[:, 0], together.mean[:, 70], atol=1e-7)


def test_fixed_quantities_have_no_spread() -> None:
    _, _, posterior = kinetics(20, 10, TOFTS, {})
    vp, t0 = quantities(TOFTS).index("vp"), quantities(TOFTS).index("t0")
    np.testing.assert_array_equal(posterior.mean[[vp, t0]], 0.5)
    np.testing.assert_allclose(posterior.sd[[vp, t0]], 0.0, atol=1e-6)


def test_weights_count_as_so_many_images() -> None:
    _, signal, sigma = dynamic(20, 10)
    limits = EXTENDED_TOFTS.limits(narrow(EXTENDED_TOFTS))
    curves = EXTENDED_TOFTS, signal.T, DCE_PROTOCOL
    once, half = VoxelNoise.thermal(sigma), VoxelNoise.thermal(sigma / 2)
    first = concentration_posterior(*curves, np.full(17, 4.0), once, *limits)
    second = concentration_posterior(*curves, np.ones(17), half, *limits)
    np.testing.assert_allclose(first.mean, second.mean, rtol=1e-9)


@pytest.mark.parametrize("name", [*MODELS, "etofts"])
def test_maps_come_back_from_box_units(name: str) -> None:
    model, protocol = CASES.get(name, (EXTENDED_TOFTS, DCE_PROTOCOL))
    theta, bounds = draw(model, 20), narrow(model)
    lower, upper = box(model, bounds)
    derived = model.derive(theta)[0]
    units = to_box(np.concatenate([theta[: lower.size - len(derived)], derived]), lower, upper)
    maps = from_box(model, units, model.signal(theta, protocol).T, protocol, bounds)
    for parameter, truth in zip(model.parameters, theta, strict=True):
        np.testing.assert_allclose(maps[parameter.name], truth)
    spread = sd_from_box(model, np.full_like(units, 0.1), bounds)
    assert set(spread) == set(quantities(model))
    np.testing.assert_allclose(spread[quantities(model)[0]], 0.1 * (upper - lower)[0])
