"""NODDI's posterior on a grid: error bars that hold, no floor in free water, one likelihood in two places."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from multishell import noisy, random_axes, two_shells

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.prior import EVEN, Bell, Prior, quantile
from bids_qmri.techniques.noddi.bayes import NoddiBayes
from bids_qmri.techniques.noddi.fit import NoddiLsq
from bids_qmri.techniques.noddi.model import NODDI, noddi_signal
from bids_qmri.techniques.noddi.ncde import NoddiNcde
from bids_qmri.techniques.noddi.posterior import likelihood_at, log_likelihood, make_grid, nodes, summed
from bids_qmri.techniques.noddi.zonal import sort_shells
from bids_qmri.units import FloatArray

PROTOCOL = two_shells()
SNR = 20
TISSUE = {"ndi": (0.2, 0.9), "odi": (0.02, 0.6), "fwf": (0.0, 0.5)}
BELLS = Prior((("ndi", Bell(0.55, 0.08)), ("odi", Bell(0.25, 0.06)), ("fwf", Bell(0.12, 0.05))))
NAMES = tuple(TISSUE)


@cache
def voxels(prior: Prior, count: int = 1500) -> tuple[FloatArray, FloatArray]:
    """Return truth (3, V) from a prior within the limits of tissue, and signals (V, N)."""
    rng = np.random.default_rng(3)
    truth = np.array(
        [quantile(prior, p, rng.random(count), *TISSUE[p.name]) for p in NODDI.parameters[: len(TISSUE)]]
    )
    return truth, noisy(noddi_signal(*truth, random_axes(count, rng), PROTOCOL), 1 / SNR, rng)


@cache
def fitted(estimator: NoddiBayes | NoddiNcde | NoddiLsq, drawn: Prior, told: Prior) -> FitResult:
    _, signal = voxels(drawn)
    return estimator.fit(NODDI, signal, PROTOCOL, sigma=1 / SNR, bounds=TISSUE, prior=told)


@pytest.mark.parametrize("prior", [EVEN, BELLS], ids=["box", "bell"])
def test_truth_lies_within_one_sd_as_often_as_it_should(prior: Prior) -> None:
    found = fitted(NoddiBayes(), prior, prior)
    for name, truth in zip(NAMES, voxels(prior)[0], strict=True):
        assert 0.62 < np.mean(np.abs(found.maps[name] - truth) < found.sd[name]) < 0.8, name


def test_the_network_is_told_the_bell_as_well() -> None:
    found = fitted(NoddiNcde(), BELLS, BELLS)
    for name, truth in zip(NAMES, voxels(BELLS)[0], strict=True):
        assert 0.6 < np.mean(np.abs(found.maps[name] - truth) < found.sd[name]) < 0.75, name


@pytest.mark.parametrize("estimator", [NoddiBayes(), NoddiNcde()])
def test_who_is_told_where_the_truth_is_errs_less(estimator: NoddiBayes | NoddiNcde) -> None:
    told, even = fitted(estimator, BELLS, BELLS), fitted(estimator, BELLS, EVEN)
    for name, truth in zip(NAMES, voxels(BELLS)[0], strict=True):
        assert np.mean((told.maps[name] - truth) ** 2) < np.mean((even.maps[name] - truth) ** 2), name


def test_posterior_means_of_the_box_err_less_than_least_squares() -> None:
    ours, theirs = fitted(NoddiBayes(), EVEN, EVEN), fitted(NoddiLsq(), EVEN, EVEN)
    for name, truth in zip(NAMES, voxels(EVEN)[0], strict=True):
        assert np.mean((ours.maps[name] - truth) ** 2) < np.mean((theirs.maps[name] - truth) ** 2), name


@pytest.mark.parametrize("fwf", [0.8, 0.95])
def test_the_noise_floor_of_free_water_does_not_become_neurites(fwf: float) -> None:
    """Signals below the floor look like some that nothing attenuates; NDI is 0.5, and so is the middle."""
    rng = np.random.default_rng(4)
    clean = noddi_signal(*(np.full(400, x) for x in (0.5, 0.2, fwf)), random_axes(400, rng), PROTOCOL)
    signal = noisy(clean, 1 / 15, rng)
    bias = {
        by.label: np.mean(by.fit(NODDI, signal, PROTOCOL, sigma=1 / 15).maps["ndi"]) - 0.5
        for by in (NoddiBayes(), NoddiLsq())
    }
    assert abs(bias["bayes"]) < 0.1
    assert bias["lsq"] > 0.4


def test_free_water_alone_determines_nothing_about_neurites() -> None:
    rng = np.random.default_rng(5)
    clean = noddi_signal(*(np.full(100, x) for x in (0.5, 0.2, 1.0)), random_axes(100, rng), PROTOCOL)
    found = NoddiBayes().fit(NODDI, noisy(clean, 1 / 15, rng), PROTOCOL, sigma=1 / 15)
    assert np.median(found.maps["fwf"]) > 0.9
    assert not np.any(found.determined["ndi"])
    assert np.median(found.sd["ndi"]) > 0.8 / np.sqrt(12)


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_likelihood_anywhere_is_that_of_the_grid_at_its_nodes(ratio: float) -> None:
    signal = voxels(EVEN)[1][:40]
    shells, limits = sort_shells(PROTOCOL), NODDI.limits(None)
    noise = VoxelNoise(np.full(40, 1 / SNR), np.full(40, ratio / SNR))
    grid, sums = make_grid(NODDI, shells, *limits), summed(signal, shells, NODDI.d_par)
    exact = log_likelihood(grid, sums, noise.over(sums.s0), len(shells.b0))
    some = np.random.default_rng(6).choice(grid.theta.shape[1], 200, replace=False)
    theta = np.repeat(grid.theta[:, None, some], 40, axis=1)
    ours = likelihood_at(NODDI, signal, PROTOCOL, noise, limits, (0, 1, 2), theta)
    np.testing.assert_allclose(ours, exact[:, some], atol=0.02, rtol=1e-4)


def test_kept_nodes_have_the_posterior_of_all() -> None:
    _, signal = voxels(EVEN)
    noise, limits = VoxelNoise.thermal(np.full(200, 1 / SNR)), NODDI.limits(TISSUE)
    kept = nodes(NODDI, signal[:200], PROTOCOL, noise, *limits)
    weight = np.exp(kept.log_weight - kept.log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    whole = fitted(NoddiBayes(), EVEN, EVEN)
    for name, theta in zip(NAMES, kept.theta, strict=True):
        mean = np.sum(weight * theta, axis=1)
        apart = (mean - whole.maps[name][:200]) / whole.sd[name][:200]
        assert np.sqrt(np.mean(apart**2)) < 0.1, name


def test_the_unit_of_the_signal_does_not_matter() -> None:
    _, signal = voxels(EVEN)
    one = NoddiBayes().fit(NODDI, signal[:50], PROTOCOL, sigma=1 / SNR)
    other = NoddiBayes().fit(NODDI, 300 * signal[:50], PROTOCOL, sigma=300 / SNR)
    for name in NAMES:
        np.testing.assert_allclose(other.maps[name], one.maps[name], atol=1e-4)
    np.testing.assert_allclose(other.maps["s0"], 300 * one.maps["s0"], rtol=1e-9)


def test_scatter_widens_error_bars_and_leaves_the_floor() -> None:
    _, signal = voxels(EVEN)
    calm, moving = (
        NoddiBayes().fit(NODDI, signal[:200], PROTOCOL, sigma=Noise(1 / SNR, scatter / SNR))
        for scatter in (1.0, 3.0)
    )
    assert np.median(moving.sd["fwf"] / calm.sd["fwf"]) > 1.5


def test_voxels_that_say_nothing_are_unusable_and_leave_others_alone() -> None:
    _, signal = voxels(EVEN)
    bad = signal[:4].copy()
    bad[0, 3], bad[1], bad[2, 9] = np.nan, 0.0, -0.1
    found = NoddiBayes().fit(NODDI, bad, PROTOCOL, sigma=1 / SNR)
    alone = NoddiBayes().fit(NODDI, signal[3:4], PROTOCOL, sigma=1 / SNR)
    assert found.status.tolist()[:3] == [Status.UNUSABLE] * 3
    assert all(np.isnan(values[:3]).all() for values in found.maps.values())
    assert found.maps["ndi"][3] == pytest.approx(alone.maps["ndi"][0], abs=1e-6)


def test_noise_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="noise"):
        NoddiBayes().fit(NODDI, voxels(EVEN)[1][:3], PROTOCOL, sigma=0.0)
