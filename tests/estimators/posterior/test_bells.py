"""What estimators make of a prior that is told: error bars that hold, smaller errors, the box as a limit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from dynamic import DCE_PROTOCOL
from simulated import IVIM_PROTOCOL, VFA_PROTOCOL

from bids_qmri.estimators.base import FitResult, get_estimator
from bids_qmri.estimators.classical.mle import Mle
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.estimators.posterior.map import Map
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, add_rician_noise
from bids_qmri.physics.prior import EVEN, Bell, Prior, quantile
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.units import FloatArray

VOXELS = 2000

BELL_ALONE = 0.85
"""Share of a bell within its own standard deviation, which tails make wide: posteriors that the data leave
nearly as they were have it, those that the data rule 0.68."""

LAPLACE = 0.6
"""Least share that curvature at the maximum of a skewed density is allowed."""


@dataclass(frozen=True)
class Case:
    """Voxels whose truth is drawn from a prior, with their signals (V, N) and noise (V,)."""

    model: Model
    protocol: Any
    bounds: Bounds
    prior: Prior
    truth: dict[str, FloatArray]
    signal: FloatArray
    sigma: FloatArray

    def fit(self, label: str, prior: Prior | None, unit: float = 1.0) -> FitResult:
        estimator = get_estimator(self.model.name, label)
        given = {"sigma": unit * self.sigma, "bounds": self.bounds, "prior": prior}
        return estimator.fit(self.model, unit * self.signal, self.protocol, **given)


TOLD = {
    "ivim": (
        IVIM,
        IVIM_PROTOCOL,
        20,
        {"d": Bell(1.2e-3, 2e-4), "dstar": Bell(0.05, 0.3), "f": Bell(0.12, 0.04)},
    ),
    "vfa": (VFA, VFA_PROTOCOL, 100, {"t1": Bell(1.2, 0.15)}),
    "etofts": (
        EXTENDED_TOFTS,
        DCE_PROTOCOL,
        15,
        {"kep": Bell(0.6, 0.3), "ve": Bell(0.25, 0.05), "vp": Bell(0.04, 0.015), "t0": Bell(4.0, 1.5)},
    ),
}
MODELS = sorted(TOLD)
LABELS = ("bayes", "map", "ncde")


@cache
def case(name: str) -> Case:
    model, protocol, snr, bells = TOLD[name]
    rng, prior = np.random.default_rng(2), Prior(tuple(bells.items()))
    bounds = dict(model.prior({"t0": (0.0, 10.0)} if name == "etofts" else None))
    theta = np.ones((len(model.parameters), VOXELS))
    for row, parameter in zip(theta, model.parameters, strict=True):
        if parameter.name != model.amplitude:
            row[:] = quantile(prior, parameter, rng.random(VOXELS), *bounds[parameter.name])
    clean = model.signal(theta, protocol)
    if model.amplitude is not None:
        sigma = np.full(VOXELS, 1.0 / snr)
        signal = add_rician_noise(clean, sigma, rng)
    else:
        sigma = clean.max(axis=0) / snr
        signal = clean + sigma * rng.standard_normal(clean.shape)
    names = [p.name for p in (*model.parameters, *model.derived) if p.name != model.amplitude]
    kept = [row for row, p in zip(theta, model.parameters, strict=True) if p.name != model.amplitude]
    truth = dict(zip(names, [*kept, *model.derive(theta)[0]], strict=True))
    return Case(model, protocol, bounds, prior, truth, signal.T, sigma)


@cache
def fitted(name: str, label: str, told: bool) -> FitResult:
    return case(name).fit(label, case(name).prior if told else EVEN)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("name", MODELS)
def test_truth_from_the_prior_that_is_told_lies_within_one_sd_as_often_as_it_should(
    name: str, label: str
) -> None:
    found = fitted(name, label, told=True)
    least = LAPLACE if label == "map" else 0.65
    for quantity, truth in case(name).truth.items():
        inside = np.mean(np.abs(found.maps[quantity] - truth) < found.sd[quantity])
        assert least < inside < BELL_ALONE, quantity


@pytest.mark.parametrize("name", MODELS)
def test_posterior_means_err_by_what_their_sd_say(name: str) -> None:
    found = fitted(name, "bayes", told=True)
    for quantity, truth in case(name).truth.items():
        error = np.mean((found.maps[quantity] - truth) ** 2)
        assert error == pytest.approx(np.mean(found.sd[quantity] ** 2), rel=0.3), quantity


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("name", MODELS)
def test_who_is_told_where_the_truth_is_errs_less(name: str, label: str) -> None:
    told, even = fitted(name, label, told=True), fitted(name, label, told=False)
    for quantity, truth in case(name).truth.items():
        ours, theirs = (np.mean((fit.maps[quantity] - truth) ** 2) for fit in (told, even))
        assert ours < theirs, quantity


WIDE = {
    "ivim": {"d": Bell(1e-3, 1.0), "f": Bell(0.1, 100.0)},
    "etofts": {"ve": Bell(0.2, 100.0), "vp": Bell(0.1, 100.0), "t0": Bell(3.0, 1000.0)},
}
"""Far wider than any limits; on the linear scale, where that is even."""


@pytest.mark.parametrize("name", WIDE)
def test_a_bell_much_wider_than_the_limits_is_the_box(name: str) -> None:
    wide = case(name).fit("bayes", Prior(tuple(WIDE[name].items())))
    even = fitted(name, "bayes", told=False)
    for quantity in case(name).truth:
        apart = (wide.maps[quantity] - even.maps[quantity]) / even.sd[quantity]
        assert np.sqrt(np.mean(apart**2)) < 0.1
        assert np.median(wide.sd[quantity] / even.sd[quantity]) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("name", ["ivim", "vfa"])
def test_the_unit_of_the_signal_does_not_matter(name: str, label: str) -> None:
    one, other = fitted(name, label, told=True), case(name).fit(label, case(name).prior, unit=700.0)
    for quantity in case(name).truth:
        np.testing.assert_allclose(other.maps[quantity], one.maps[quantity], rtol=1e-3)


def test_an_empty_prior_is_even() -> None:
    none, even = case("ivim").fit("bayes", None), fitted("ivim", "bayes", told=False)
    np.testing.assert_array_equal(none.maps["d"], even.maps["d"])


@pytest.mark.parametrize("estimator", [Mle(), Map(), Bayes()])
def test_equal_floor_and_scatter_are_one_noise_level(estimator) -> None:
    ivim = case("ivim")
    signal, sigma = ivim.signal[:200], ivim.sigma[:200]
    one, both = (
        estimator.fit(IVIM, signal, IVIM_PROTOCOL, sigma=told, bounds=ivim.bounds)
        for told in (sigma, Noise(sigma, sigma))
    )
    for name in one.maps:
        np.testing.assert_array_equal(one.maps[name], both.maps[name])
        np.testing.assert_array_equal(one.sd[name], both.sd[name])


@pytest.fixture(scope="module")
def moving() -> tuple[dict[str, FloatArray], FloatArray, float]:
    """Return truth, signals (V, N) that scatter three times more than their thermal noise, and the latter."""
    rng, floor, bounds = np.random.default_rng(4), 0.02, case("ivim").bounds
    theta = np.array([rng.uniform(*bounds.get(p.name, (1.0, 1.0)), VOXELS) for p in IVIM.parameters])
    clean = IVIM.signal(theta, IVIM_PROTOCOL)
    moved = np.abs(clean + np.sqrt(8.0) * floor * rng.standard_normal(clean.shape))
    return dict(zip(("d", "dstar", "f"), theta, strict=False)), add_rician_noise(moved, floor, rng).T, floor


@pytest.mark.parametrize("label", ["bayes", "map"])
def test_error_bars_hold_where_images_scatter_more_than_their_thermal_noise(label, moving) -> None:
    truth, signal, floor = moving
    told, unaware = (
        get_estimator("ivim", label).fit(IVIM, signal, IVIM_PROTOCOL, sigma=noise, bounds=case("ivim").bounds)
        for noise in (Noise(floor, 3.0 * floor), floor)
    )
    for name in ("d", "f"):
        inside, claimed = (
            np.mean(np.abs(fit.maps[name] - truth[name]) < fit.sd[name]) for fit in (told, unaware)
        )
        assert LAPLACE < inside < 0.75
        assert claimed < inside - 0.1
