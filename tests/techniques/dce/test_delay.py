"""Blood takes time from the artery to the tissue: a delay that nobody states costs the kinetics nothing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import bids_qmri
from bids_qmri.catalogue import get_model
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import FitResult, get_estimator
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.model import Bounds
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.preparation import LONGEST_DELAY, LONGEST_PRIOR_DELAY
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.settings import Aif, DceSettings
from bids_qmri.units import FloatArray

VOXELS, SNR, SPACING, FRAMES = 600, 20, 3.0, 80
NAMES = ("kep", "ve", "vp", "t0")


@cache
def delayed() -> tuple[dict[str, FloatArray], FloatArray, FloatArray, DceProtocol]:
    """Return truth of voxels that blood reaches 0 to 10 s after the artery, concentrations (V, N), noise."""
    rng, time = np.random.default_rng(5), SPACING * np.arange(FRAMES)
    protocol = DceProtocol(time, *population_aif("parker", 20.0, time[-1], 0.42))
    ranges = ((0.1, 1.5), (0.1, 0.6), (0.01, 0.1), (0.0, 10.0))
    theta = np.array([rng.uniform(*limits, VOXELS) for limits in ranges])
    clean = EXTENDED_TOFTS.signal(theta, protocol)
    sigma = clean.max(axis=0) / SNR
    signal = (clean + sigma * rng.standard_normal(clean.shape)).T
    return dict(zip(NAMES, theta, strict=True)), signal, sigma, protocol


@cache
def fitted(label: str) -> FitResult:
    return fit(label, None)


def fit(label: str, bounds: Bounds | None) -> FitResult:
    _, signal, sigma, protocol = delayed()
    return bids_qmri.fit("etofts", signal, protocol, estimator=label, sigma=sigma, bounds=bounds, prior="box")


def error(found: FitResult, name: str) -> float:
    return float(np.mean((found.maps[name] - delayed()[0][name]) ** 2))


@pytest.mark.parametrize("label", ["lsq", "map", "ncde"])
def test_the_rate_is_found_as_well_as_by_the_posterior_mean(label: str) -> None:
    assert error(fitted(label), "kep") < 1.2 * error(fitted("bayes"), "kep")


def test_the_delay_itself_is_found_to_a_fraction_of_a_frame() -> None:
    assert np.median(np.abs(fitted("lsq").maps["t0"] - delayed()[0]["t0"])) < 0.2 * SPACING


def test_a_delay_that_is_left_out_ruins_rate_and_plasma() -> None:
    without = fit("lsq", {"t0": (0.0, 0.0)})
    assert error(without, "kep") > 10 * error(fitted("lsq"), "kep")
    assert error(without, "vp") > 10 * error(fitted("lsq"), "vp")


@pytest.mark.parametrize(
    ("label", "longest"),
    [("lsq", LONGEST_DELAY), ("map", LONGEST_PRIOR_DELAY), ("bayes", LONGEST_PRIOR_DELAY)],
)
@pytest.mark.parametrize("model", ["etofts", "tofts"])
def test_the_delay_after_a_measured_input_is_free(model: str, label: str, longest: float) -> None:
    time = np.arange(0.0, 240.0, 5.0)
    aif = Aif("measured", time, np.exp(-time / 60.0))
    settings = DceSettings(time, 0.35, 0.005, 4.5, 0.42, 4, aif, 1.2)
    curve = np.where(time < 20, 100.0, 150.0)
    scan = Scan(None, settings, np.ones(10, dtype=bool), mean_curve=lambda: curve)
    how = prepare(get_model(model), get_estimator(model, label), scan)
    assert how.bounds is not None
    assert how.bounds["t0"] == (0.0, longest)
