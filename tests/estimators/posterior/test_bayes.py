from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.posterior import bayes, quadrature
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol

VFA = VfaProtocol(np.deg2rad([1, 6, 10, 25.0]), 0.005)
IVIM = DiffusionProtocol(np.array([0, 10, 20, 50, 100, 300, 600.0]))
AIF_TIME = np.arange(0, 160.0)
DCE = DceProtocol(np.arange(9, 154, 9.0), AIF_TIME, 6 * (AIF_TIME / 8) * np.exp(1 - AIF_TIME / 8) + 0.5)
PROTOCOL = {"vfa": VFA, "ivim": IVIM, "etofts": DCE, "tofts": DCE}
BOX = {
    "vfa": {"t1": (0.1, 3.0), "m0": (0.5, 2.0)},
    "ivim": {"d": (0.35e-3, 3e-3), "dstar": (0.05, 0.1), "f": (0.03, 0.25), "s0": (0.5, 2.0)},
    "etofts": {"kep": (0.1, 2.0), "ve": (0.01, 0.7), "vp": (0.001, 0.05), "t0": (0.0, 10.0)},
    "tofts": {"kep": (0.1, 2.0), "ve": (0.01, 0.7)},
}
MODELS = list(BOX)
SIGMA = {"vfa": 1 / 150, "ivim": 1 / 20, "etofts": 0.05, "tofts": 0.05}


def simulate(name: str, n: int, sigma: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters (P, V) drawn from the box and their noisy signals (V, N)."""
    model, rng = get_model(name), np.random.default_rng(seed)
    lower, upper = model.limits(BOX[name])
    theta = rng.uniform(lower[:, None], upper[:, None], (lower.size, n))
    clean = model.signal(theta, PROTOCOL[name])
    if model.amplitude is None:
        return theta, (clean + rng.normal(0, sigma, clean.shape)).T
    return theta, add_rician_noise(clean, sigma, rng).T


@cache
def drawn_from_the_prior(name: str) -> tuple[np.ndarray, FitResult, FitResult]:
    """Return truth with derived quantities (P + Q, V), posterior means and least squares of 160 voxels."""
    model = get_model(name)
    theta, signal = simulate(name, 160, SIGMA[name], seed=11)
    mean = Bayes().fit(model, signal, PROTOCOL[name], sigma=SIGMA[name], bounds=BOX[name])
    best = Lsq().fit(model, signal, PROTOCOL[name], bounds=BOX[name])
    return np.concatenate([theta, model.derive(theta)[0]]), mean, best


def free(name: str) -> list[tuple[int, str]]:
    """Return place and name of the parameters that are not fixed, and of derived quantities."""
    model = get_model(name)
    fixed = np.equal(*model.limits(BOX[name]))
    names = [p.name for p in (*model.parameters, *model.derived)]
    return [(i, n) for i, n in enumerate(names) if i >= fixed.size or not fixed[i]]


@pytest.mark.parametrize("name", MODELS)
def test_truth_from_the_prior_scatters_as_the_posterior_says(name):
    truth, mean, _ = drawn_from_the_prior(name)
    for i, parameter in free(name):
        error, sd = mean.maps[parameter] - truth[i], mean.sd[parameter]
        assert abs(error.mean()) < 4 * sd.mean() / np.sqrt(error.size)
        assert np.mean(error**2) == pytest.approx(np.mean(sd**2), rel=0.35)
        assert 0.55 < np.mean(np.abs(error) < sd) < 0.80


@pytest.mark.parametrize("name", MODELS)
def test_posterior_mean_has_no_more_error_than_least_squares(name):
    truth, mean, best = drawn_from_the_prior(name)
    for i, parameter in free(name):
        ours, theirs = (np.mean((fit.maps[parameter] - truth[i]) ** 2) for fit in (mean, best))
        assert ours < 1.02 * theirs


@pytest.mark.parametrize("name", MODELS)
def test_posterior_mean_beats_the_middle_of_the_box(name):
    truth, mean, _ = drawn_from_the_prior(name)
    for i, parameter in free(name):
        assert np.mean((mean.maps[parameter] - truth[i]) ** 2) < 1.05 * np.var(truth[i])


@pytest.mark.parametrize("name", MODELS)
def test_twice_the_nodes_change_the_mean_by_less_than_a_hundredth_of_the_sd(name, monkeypatch):
    _, signal = simulate(name, 6, SIGMA[name], seed=5)
    arguments = get_model(name), signal, PROTOCOL[name]
    once = Bayes(exact=True).fit(*arguments, sigma=SIGMA[name], bounds=BOX[name])
    monkeypatch.setattr(quadrature, "NODES", {d: 2 * n if d else n for d, n in quadrature.NODES.items()})
    monkeypatch.setattr(bayes, "INNER_NODES", 2 * bayes.INNER_NODES)
    twice = Bayes(exact=True).fit(*arguments, sigma=SIGMA[name], bounds=BOX[name])
    for _, parameter in free(name):
        change = np.abs(twice.maps[parameter] - once.maps[parameter]) / once.sd[parameter]
        assert change.max() < 0.01


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_least_squares_at_high_signal(name):
    model, sigma = get_model(name), SIGMA[name] / 300
    lower, upper = model.limits(BOX[name])
    theta = (0.6 * lower + 0.4 * upper)[:, None]
    noise = np.random.default_rng(3).normal(0, sigma, (PROTOCOL[name].n_measurements, 1))
    signal = (model.signal(theta, PROTOCOL[name]) + noise).T
    mean = Bayes().fit(model, signal, PROTOCOL[name], sigma=sigma, bounds=BOX[name])
    best = Lsq().fit(model, signal, PROTOCOL[name], sigma=sigma, bounds=BOX[name])
    for _, parameter in free(name):
        assert abs(mean.maps[parameter][0] - best.maps[parameter][0]) < 0.2 * best.sd[parameter][0]
        assert mean.sd[parameter][0] == pytest.approx(best.sd[parameter][0], rel=0.1)


def test_equals_a_plain_sum_over_a_dense_grid():
    from scipy.special import ive

    model, sigma = get_model("vfa"), 1 / 100
    _, signal = simulate("vfa", 3, sigma, seed=2)
    t1, m0 = np.meshgrid(np.linspace(0.1, 3, 801), np.linspace(0.5, 2, 301), indexing="ij")
    curves = model.signal(np.stack([t1.ravel(), m0.ravel()]), VFA)
    fit = Bayes().fit(model, signal, VFA, sigma=sigma, bounds=BOX["vfa"])
    for voxel, y in enumerate(signal):
        x = curves * y[:, None] / sigma**2
        log = np.sum(np.log(ive(0, x)) + x - curves**2 / (2 * sigma**2), axis=0)
        weight = np.exp(log - log.max())
        mean = np.sum(weight * t1.ravel()) / weight.sum()
        sd = np.sqrt(np.sum(weight * (t1.ravel() - mean) ** 2) / weight.sum())
        assert fit.maps["t1"][voxel] == pytest.approx(mean, abs=0.01 * sd)
        assert fit.sd["t1"][voxel] == pytest.approx(sd, rel=0.01)


@pytest.mark.parametrize(("fit", "tolerance"), [(Bayes().fit, 0.1), (Bayes(exact=True).fit, 0.02)])
def test_without_information_the_answer_is_the_prior(fit, tolerance):
    result = fit(get_model("ivim"), np.full((1, 7), 1.0), IVIM, sigma=1e3, bounds=BOX["ivim"])
    for name, (low, high) in BOX["ivim"].items():
        sd = (high - low) / np.sqrt(12)
        assert result.maps[name][0] == pytest.approx((low + high) / 2, abs=tolerance * sd)
        assert result.sd[name][0] == pytest.approx(sd, rel=tolerance)


def test_posterior_mean_of_a_product_is_not_the_product_of_means():
    _, mean, _ = drawn_from_the_prior("etofts")
    product = mean.maps["kep"] * mean.maps["ve"]
    assert np.max(np.abs(mean.maps["ktrans"] - product) / mean.sd["ktrans"]) > 0.05


def test_voxels_with_their_own_flip_angles_use_them():
    model, b1 = get_model("vfa"), np.array([0.8, 1.0, 1.2])
    protocol = VFA.with_b1(b1)
    theta = np.stack([np.full(3, 1.2), np.ones(3)])
    fit = Bayes().fit(model, model.signal(theta, protocol).T, protocol, sigma=1e-5)
    np.testing.assert_allclose(fit.maps["t1"], 1.2, rtol=0.01)
    alone = Bayes().fit(model, model.signal(theta, protocol).T[2:], protocol.take(np.array([2])), sigma=1e-5)
    assert fit.maps["t1"][2] == pytest.approx(alone.maps["t1"][0], rel=1e-9)


def test_blocks_and_order_of_voxels_do_not_matter(monkeypatch):
    model = get_model("etofts")
    _, signal = simulate("etofts", 5, 0.1, seed=4)
    whole = Bayes().fit(model, signal, DCE, sigma=0.1, bounds=BOX["etofts"])
    monkeypatch.setattr(bayes, "CHUNK", 1)
    parts = Bayes().fit(model, signal[::-1], DCE, sigma=0.1, bounds=BOX["etofts"])
    np.testing.assert_allclose(parts.maps["ktrans"][::-1], whole.maps["ktrans"], rtol=1e-9)


def test_averages_count_as_that_many_images():
    bvals = np.array([0, 50, 200, 800.0])
    averaged = DiffusionProtocol(bvals, averages=np.array([1, 1, 2, 3.0]))
    repeated = DiffusionProtocol(np.repeat(bvals, [1, 1, 2, 3]))
    signal = np.array([[1.0, 0.9, 0.75, 0.4]])
    one = Bayes().fit(get_model("ivim"), signal, averaged, sigma=0.05, bounds=BOX["ivim"])
    other = Bayes().fit(get_model("ivim"), np.repeat(signal, [1, 1, 2, 3], axis=1), repeated, sigma=0.05,
                      bounds=BOX["ivim"])  # fmt: skip
    for name in ("d", "f", "s0"):
        assert one.maps[name][0] == pytest.approx(other.maps[name][0], rel=1e-6)


def test_fixed_parameters_keep_their_value():
    model = get_model("ivim")
    _, signal = simulate("ivim", 4, 0.02, seed=6)
    fit = Bayes().fit(model, signal, IVIM, sigma=0.02, bounds=BOX["ivim"] | {"dstar": (0.07, 0.07)})
    np.testing.assert_array_equal(fit.maps["dstar"], 0.07)
    assert np.isnan(fit.sd["dstar"]).all()
    assert np.isfinite(fit.sd["d"]).all()


def test_physical_bounds_are_the_default_prior():
    fit = Bayes().fit(get_model("vfa"), simulate("vfa", 3, 1 / 300, seed=8)[1], VFA, sigma=1 / 300)
    assert (fit.status == Status.OK).all()
    assert ((fit.maps["t1"] > 0.01) & (fit.maps["t1"] < 10)).all()


def test_noise_level_is_estimated_where_it_is_not_given():
    _, signal = simulate("ivim", 25, 1 / 30, seed=9)
    given = Bayes().fit(get_model("ivim"), signal, IVIM, sigma=1 / 30, bounds=BOX["ivim"])
    estimated = Bayes().fit(get_model("ivim"), signal, IVIM, bounds=BOX["ivim"])
    assert np.median(estimated.sd["d"] / given.sd["d"]) == pytest.approx(1, abs=0.15)


def test_unusable_voxels_are_nan_and_leave_the_others_alone():
    _, signal = simulate("vfa", 4, 1 / 1000, seed=10)
    bad = signal.copy()
    bad[1], bad[2, 0], bad[3, 0] = 0.0, np.nan, -1.0
    fit = Bayes().fit(get_model("vfa"), bad, VFA, sigma=1 / 1000)
    assert fit.status.tolist() == [Status.OK, *[Status.UNUSABLE] * 3]
    assert np.isnan(fit.maps["t1"][1:]).all()
    assert fit.maps["t1"][0] == Bayes().fit(get_model("vfa"), signal, VFA, sigma=1 / 1000).maps["t1"][0]


def test_zero_noise_is_refused():
    with pytest.raises(InputError, match="noise standard deviation"):
        Bayes().fit(get_model("vfa"), np.ones((1, 4)), VFA, sigma=0.0)


def test_an_unbounded_prior_is_refused():
    with pytest.raises(ValueError, match="finite bounds"):
        Bayes().fit(get_model("vfa"), np.ones((1, 4)), VFA, sigma=0.1, bounds={"t1": (0.1, np.inf)})
