"""The posterior on lattices against the exact one: at any noise level, and where the data say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from dynamic import DCE_PROTOCOL, dynamic
from simulated import narrow

from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.estimators.posterior.box import box, quantities, to_box
from bids_qmri.estimators.posterior.coarse_grid import GridPosterior
from bids_qmri.estimators.posterior.map import grid_posterior, maximise
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.prior import EVEN
from bids_qmri.techniques.dce.lattice import local_posterior
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS, TOFTS
from bids_qmri.units import FloatArray

BOUNDS = narrow(EXTENDED_TOFTS)


def posteriors(
    signal: FloatArray, sigma: FloatArray, model: Model = EXTENDED_TOFTS, bounds: Bounds | None = BOUNDS
) -> tuple[GridPosterior, GridPosterior]:
    """Return the posteriors of signals (V, N) on the coarse grid and on lattices."""
    data = (signal.T, DCE_PROTOCOL, np.ones(17), VoxelNoise.thermal(sigma), *model.limits(bounds))
    coarse = grid_posterior(model, *data)
    mode = maximise(model, *data, start=coarse.best)
    return coarse, local_posterior(model, *data, prior=EVEN, coarse=coarse, mode=mode)


def exact(signal: FloatArray, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return exact posterior means and standard deviations in box units, (K, V)."""
    found = Bayes().fit(EXTENDED_TOFTS, signal, DCE_PROTOCOL, sigma=sigma, bounds=BOUNDS)
    lower, upper = box(EXTENDED_TOFTS, BOUNDS)
    mean, sd = (np.array([maps[q] for q in quantities(EXTENDED_TOFTS)]) for maps in (found.maps, found.sd))
    return to_box(mean, lower, upper), sd / (upper - lower)[:, None]


@pytest.mark.parametrize("snr", [4, 20, 100])
def test_mean_and_spread_are_those_of_the_exact_posterior(snr: float) -> None:
    _, signal, sigma = dynamic(snr, 150)
    mean, sd = exact(signal, sigma)
    ours = posteriors(signal, sigma)[1]
    assert np.all(np.median(np.abs(ours.mean - mean) / sd, axis=1) < 0.12)
    assert np.all(np.abs(np.median(ours.sd / sd, axis=1) - 1.0) < 0.15)


def test_estimates_from_clean_signals_are_as_good_as_the_exact_mean() -> None:
    theta, signal, sigma = dynamic(100, 300)
    lower, upper = box(EXTENDED_TOFTS, BOUNDS)
    truth = to_box(theta, lower[:4], upper[:4])
    coarse, ours = posteriors(signal, sigma)
    error, of_grid, least = (
        np.median((mean[:4] - truth) ** 2, axis=1)
        for mean in (ours.mean, coarse.mean, exact(signal, sigma)[0])
    )
    assert np.all(error < 1.15 * least)
    assert np.all(error < 0.8 * of_grid)


def test_no_information_gives_the_uniform_prior() -> None:
    _, signal, _ = dynamic(20, 20)
    ours = posteriors(signal, np.full(20, 1e6))[1]
    np.testing.assert_allclose(ours.mean[:4], 0.5, atol=0.05)
    np.testing.assert_allclose(ours.sd[:4], 12**-0.5, rtol=0.15)


def test_fixed_quantities_have_no_spread() -> None:
    _, signal, sigma = dynamic(20, 10)
    ours = posteriors(signal, sigma, TOFTS, {})[1]
    fixed = [quantities(TOFTS).index(name) for name in ("vp", "t0")]
    np.testing.assert_array_equal(ours.mean[fixed], 0.5)
    np.testing.assert_allclose(ours.sd[fixed], 0.0, atol=1e-6)


def test_a_curve_alone_gets_the_same_numbers() -> None:
    _, signal, sigma = dynamic(30, 300)
    together = posteriors(signal, sigma)[1]
    for voxel in (0, 77, 299):
        part = slice(voxel, voxel + 1)
        alone = posteriors(signal[part], sigma[part])[1]
        np.testing.assert_allclose(alone.mean[:, 0], together.mean[:, voxel], atol=1e-7)


def test_absurd_signals_are_no_error_and_leave_others_alone() -> None:
    _, signal, sigma = dynamic(30, 40)
    expected = posteriors(signal, sigma)[1].mean
    signal[3], signal[7], signal[11], sigma[15] = 1e25, -1e200, 0.0, 1e-200
    with np.errstate(all="ignore"):
        found = posteriors(signal, sigma)[1].mean
    others = np.setdiff1d(np.arange(40), [3, 7, 11, 15])
    np.testing.assert_allclose(found[:, others], expected[:, others], atol=1e-7)
