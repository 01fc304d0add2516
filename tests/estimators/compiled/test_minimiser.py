"""Kernels against the same algorithm on arrays: the same minima, whatever the model, objective and limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from simulated import IVIM_PROTOCOL, VFA_PROTOCOL, draw, narrow

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.classical import lm
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.classical.minimum import Minimum, Penalty
from bids_qmri.estimators.classical.mle import Mle
from bids_qmri.estimators.classical.objective import (
    LeastSquares,
    Objective,
    QuickRicianLikelihood,
    RicianLikelihood,
)
from bids_qmri.estimators.compiled import call
from bids_qmri.estimators.threads import in_threads
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

FRAMES = np.arange(9.0, 154.0, 9.0)
DCE_PROTOCOL = DceProtocol(FRAMES, *population_aif("rata", 9.0, FRAMES[-1], 0.4))
PROTOCOLS: dict[str, Any] = {
    "vfa": VFA_PROTOCOL,
    "ivim": IVIM_PROTOCOL,
    "etofts": DCE_PROTOCOL,
    "tofts": DCE_PROTOCOL,
}
DELAY: Bounds = {"t0": (0.0, 30.0)}
VOXELS = 2003  # no multiple of the voxels in a vector


def noisy(name: str, snr: float, seed: int, protocol: Any = None) -> tuple[Model, FloatArray, FloatArray]:
    """Return a model, signals (N, V) and their noise (V,)."""
    model, rng = get_model(name), np.random.default_rng(seed)
    theta = draw(model, VOXELS, seed)
    clean = model.signal(theta, protocol or PROTOCOLS[name])
    if model.amplitude is None:
        sigma = clean.max(axis=0) / snr
        return model, clean + sigma * rng.standard_normal(clean.shape), sigma
    sigma = theta[-1] / snr
    return model, add_rician_noise(clean, sigma, rng), sigma


def costs(
    model: Model,
    objective: Objective,
    protocol: Any,
    theta: FloatArray,
    prior: Penalty | None,
    width: FloatArray,
) -> FloatArray:
    cost = objective.misfit(model.signal(theta, protocol))[0]
    if prior is not None:
        for i in np.flatnonzero(np.isfinite(width) & (width > 0)):
            cost = cost + prior.weight * prior.precision[i] * ((theta[i] - prior.centre[i]) / width[i]) ** 2
    return cost


def same_minima(
    model: Model,
    objective: Objective,
    protocol: Any,
    bounds: Bounds | None = None,
    prior: Penalty | None = None,
    start: FloatArray | None = None,
) -> tuple[Minimum, Minimum]:
    """Check that both ways end equally low, and say that they did equally often; return both."""
    limits = model.limits(bounds)
    mine = call.minimise(model, objective, protocol, *limits, prior, start)
    assert mine is not None
    peer = lm.minimise_arrays(model, objective, protocol, *limits, prior=prior, start=start)
    width = limits[1] - limits[0]
    found, other = (costs(model, objective, protocol, m.theta, prior, width) for m in (mine, peer))
    noise = getattr(objective, "sigma", np.sqrt(np.maximum(other, 0) / len(objective.signal))) ** 2
    # A voxel of many local minima may end in another one: as often the better as the worse.
    least = 1e-3 if prior is None else lm.PRIOR_TOLERANCE * lm.LEAST_PRECISION
    worse, better = np.mean(found > other + least * noise), np.mean(found < other - least * noise)
    assert worse <= better + 2e-3
    assert worse <= 3e-3
    alike = mine.converged & peer.converged & (np.abs(found - other) <= 1e-3 * least * noise)
    assert np.mean(alike) > (0.99 if prior is None else 0.95)
    assert np.mean(mine.converged) >= np.mean(peer.converged) - 1e-3
    assert np.all((mine.theta >= limits[0][:, None]) & (mine.theta <= limits[1][:, None]))
    return mine, peer


def objective_of(kind: Any, signal: FloatArray, sigma: FloatArray, weights: FloatArray | None) -> Objective:
    if kind is LeastSquares:
        return LeastSquares(signal, weights)
    found: Objective = kind(signal, sigma, weights)
    return found


@pytest.mark.parametrize("name", ["vfa", "ivim"])
@pytest.mark.parametrize("kind", [LeastSquares, QuickRicianLikelihood, RicianLikelihood])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_minima_of_magnitudes_are_those_of_arrays(
    name: str, kind: Any, weighted: bool, held: bool, wide: bool
) -> None:
    model, signal, sigma = noisy(name, 15, seed=11)
    weights = np.arange(1.0, len(signal) + 1)[:, None] if weighted else None
    objective = objective_of(kind, signal, sigma, weights)
    bounds = None if wide else narrow(model)
    lower, upper = model.limits(bounds)
    prior = None
    if held:
        middle = 0.5 * (lower + np.where(np.isfinite(upper), upper, 1.0))
        prior = Penalty(sigma**2, middle[:, None], np.full((lower.size, 1), 12.0))
    same_minima(model, objective, PROTOCOLS[name], bounds, prior)


@pytest.mark.parametrize("name", ["tofts", "etofts"])
@pytest.mark.parametrize("bounds", [{}, DELAY, DELAY | {"vp": (0.0, 0.0)}, {"kep": (0.5, 0.5)}])
@pytest.mark.parametrize("snr", [5.0, 40.0])
def test_minima_of_tracer_kinetics_are_those_of_arrays(name: str, bounds: Bounds, snr: float) -> None:
    model, signal, _ = noisy(name, snr, seed=12)
    mine, peer = same_minima(model, LeastSquares(signal), DCE_PROTOCOL, bounds)
    alike = np.all(np.abs(mine.theta - peer.theta) <= 1e-3 * (1e-3 + np.abs(peer.theta)), axis=0)
    assert np.mean(alike) > 0.9


def test_prior_of_each_voxel() -> None:
    model, signal, sigma = noisy("ivim", 10, seed=13)
    lower, upper = model.limits(narrow(model))
    rng = np.random.default_rng(13)
    middle = rng.uniform(lower[:, None], np.minimum(upper, 2.0)[:, None], (4, VOXELS))
    prior = Penalty(sigma**2, middle, rng.uniform(5.0, 50.0, (4, VOXELS)))
    same_minima(model, QuickRicianLikelihood(signal, sigma), IVIM_PROTOCOL, narrow(model), prior)


@pytest.mark.parametrize("kind", [LeastSquares, QuickRicianLikelihood])
@pytest.mark.parametrize("times", [0.005, [0.004, 0.005, 0.006, 0.02]])
def test_angles_of_each_voxel(kind: Any, times: Any) -> None:
    b1 = np.random.default_rng(14).uniform(0.6, 1.3, VOXELS)
    protocol = VfaProtocol(VFA_PROTOCOL.flip_angle, times).with_b1(b1)
    model, signal, sigma = noisy("vfa", 100, seed=14, protocol=protocol)
    same_minima(model, objective_of(kind, signal, sigma, None), protocol)


def test_b_values_with_averages_and_fixed_parameters() -> None:
    protocol = DiffusionProtocol([0, 5, 40, 80, 200, 500, 800, 1000], averages=[1, 1, 1, 2, 2, 3, 4, 4])
    model, signal, _ = noisy("ivim", 20, seed=15, protocol=protocol)
    weights = protocol.weights[:, None]
    for bounds in ({"d": (1e-3, 1e-3)}, {"dstar": (0.02, 0.02)}, {"f": (0.1, 0.1)}, {"f": (0.0, 0.0)}):
        same_minima(model, LeastSquares(signal, weights), protocol, bounds)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_results_do_not_depend_on_neighbours_or_threads(name: str) -> None:
    model, signal, _ = noisy(name, 20, seed=16)
    limits = model.limits({} if model.amplitude else DELAY)

    def fit(voxels: NDArray[np.intp]) -> Minimum:
        found = call.minimise(model, LeastSquares(signal[:, voxels]), PROTOCOLS[name], *limits, None, None)
        assert found is not None
        return found

    whole = fit(np.arange(VOXELS))
    order = np.random.default_rng(16).permutation(VOXELS)
    for size, threads in ((1, 1), (7, 3), (500, 2), (VOXELS, 1)):
        blocks = [order[first : first + size] for first in range(0, min(VOXELS, 60 * size), size)]
        for block, part in zip(blocks, in_threads(fit, blocks, threads), strict=True):
            for mine, theirs in zip(vars(part).values(), vars(whole).values(), strict=True):
                np.testing.assert_array_equal(mine, theirs[..., block])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_noise_free_signals_give_their_parameters(name: str) -> None:
    model, protocol = get_model(name), PROTOCOLS[name]
    theta = draw(model, 300, seed=17)
    theta = np.maximum(theta, 0.05 * np.array([p.training[1] for p in model.parameters])[:, None])
    if model.amplitude is None:
        theta[3] = 0.0
    found = call.minimise(
        model, LeastSquares(model.signal(theta, protocol)), protocol, *model.limits(), None, None
    )
    assert found is not None
    error = np.max(np.abs(found.theta - theta) / np.maximum(theta, 1e-9), axis=0)
    assert np.mean(error < 1e-3) > 0.98


@pytest.mark.parametrize("name", PROTOCOLS)
def test_gradient_and_curvature_are_those_of_the_minimum(name: str) -> None:
    model, signal, _ = noisy(name, 20, seed=18)
    bounds = {} if model.amplitude else DELAY
    found, _ = same_minima(model, LeastSquares(signal), PROTOCOLS[name], bounds)
    prediction, jacobian = model.signal_and_jacobian(found.theta, PROTOCOLS[name])
    curvature = np.einsum("inv,jnv->ijv", jacobian, jacobian)
    size = np.sqrt(np.einsum("iiv->iv", curvature))
    np.testing.assert_allclose(
        found.curvature, curvature, atol=1e-9 * np.max(size[:, None] * size), rtol=1e-6
    )
    gradient = np.einsum("inv,nv->iv", jacobian, signal - prediction)
    length = np.sqrt(np.sum(signal**2, axis=0))
    assert np.max(np.abs(found.gradient - gradient) / (size * length + 1e-300)) < 1e-9


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_the_unit_of_signals_does_not_matter(scale: float) -> None:
    model, signal, _ = noisy("ivim", 20, seed=19)
    one, other = (
        call.minimise(model, LeastSquares(s), IVIM_PROTOCOL, *model.limits(), None, None)
        for s in (signal, signal * scale)
    )
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.theta[:3], one.theta[:3], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("one", [Lsq(), Mle()])
def test_odd_voxels_are_treated_as_without_kernels(
    name: str, one: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, signal, _ = noisy(name, 20, seed=20)
    if isinstance(one, Mle) and not model.magnitude:
        pytest.skip("concentrations have no Rician noise")
    odd = signal[:, :20].T.copy()
    odd[0], odd[1], odd[2, 1], odd[3, 0], odd[4] = 0.0, np.nan, np.inf, -1.0, -odd[4]
    odd[5], odd[6], odd[7] = 1e100, 1e-100, 1.0
    odd[8, 1:] = 0.0
    mine = one.fit(model, odd, PROTOCOLS[name], sigma=0.05)
    monkeypatch.setattr(call, "kernel", lambda name: None)
    peer = one.fit(model, odd, PROTOCOLS[name], sigma=0.05)
    ordinary = np.ones(20, dtype=bool)
    ordinary[5:7] = False
    np.testing.assert_array_equal(mine.status[ordinary], peer.status[ordinary])
    for key in peer.maps:
        np.testing.assert_array_equal(np.isfinite(mine.maps[key]), np.isfinite(peer.maps[key]))


def test_other_models_and_objectives_go_without() -> None:
    class Other(type(get_model("vfa"))):  # type: ignore[misc]
        """The same name, perhaps other physics."""

    signal = np.ones((4, 3))
    limits = get_model("vfa").limits()
    assert call.minimise(Other(), LeastSquares(signal), VFA_PROTOCOL, *limits, None, None) is None
    mese = get_model("mese")
    assert call.minimise(mese, LeastSquares(signal), VFA_PROTOCOL, *mese.limits(), None, None) is None
