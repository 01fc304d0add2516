"""Where the truth lies beyond what a prior allows, least squares answers; elsewhere nothing changes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from dynamic import DCE_PROTOCOL
from scipy.stats import chi2

import bids_qmri
from bids_qmri.estimation.beyond import BETTER, beyond_limits
from bids_qmri.estimation.preparation import Preparation, Scan, prepare
from bids_qmri.estimators.base import Estimator, FitResult, Status, get_estimator
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import EVEN, quantile
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import FloatArray

VOXELS, BLOOD = 60, 20
LABELS = ("bayes", "map")
SIGMA = 0.03
RATE = 1e-3
"""Of voxels that noise alone may take to lie beyond."""

FRAMES = 6.0 * np.arange(40)
DRIVEN = DceProtocol(FRAMES, *population_aif("parker", 20.0, float(FRAMES[-1]), 0.42))
LIMITS = {"kep": (0.01, 5.0), "ve": (0.01, 1.0), "vp": (0.0, 0.3), "t0": (0.0, 12.0)}
"""Those of the command line, where the input is measured."""


@cache
def concentrations() -> FloatArray:
    """Return curves (V, N) of a tumour whose first voxels hold much more plasma than tissue can."""
    rng = np.random.default_rng(3)
    theta = np.array(
        [rng.uniform(*limits, VOXELS) for limits in ((0.3, 1.2), (0.2, 0.4), (0.02, 0.1), (1, 4))]
    )
    theta[2, :BLOOD] = 0.45
    clean = EXTENDED_TOFTS.signal(theta, DCE_PROTOCOL)
    return np.asarray((clean + SIGMA * rng.standard_normal(clean.shape)).T)


def preparation(label: str) -> tuple[Estimator, Preparation]:
    by = get_estimator("etofts", label)
    return by, prepare(EXTENDED_TOFTS, by, Scan(DCE_PROTOCOL, mask=np.ones(VOXELS, dtype=bool)))


@cache
def results(label: str) -> tuple[FitResult, FitResult, FitResult]:
    """Return the fit as it is, with least squares beyond its limits, and least squares."""
    by, how = preparation(label)
    noise = Noise(SIGMA, SIGMA)
    plain = by.fit(EXTENDED_TOFTS, concentrations(), DCE_PROTOCOL, sigma=noise, bounds=how.bounds)
    mended = beyond_limits(EXTENDED_TOFTS, how, concentrations(), DCE_PROTOCOL, noise, plain)
    least = Lsq().fit(EXTENDED_TOFTS, concentrations(), DCE_PROTOCOL, sigma=noise, bounds=how.physical)
    return plain, mended, least


def flagged(ranges: dict[str, tuple[float, float]], snr: float, voxels: int) -> float:
    """Return the share of voxels, of even truth within ranges, that are taken to lie beyond the limits."""
    rng = np.random.default_rng(5)
    theta = np.stack(
        [quantile(EVEN, p, rng.random(voxels), *ranges[p.name]) for p in EXTENDED_TOFTS.parameters]
    )
    clean = EXTENDED_TOFTS.signal(theta, DRIVEN).T
    sigma = clean.max(axis=1) / snr
    signal = clean + sigma[:, None] * rng.standard_normal(clean.shape)
    found = bids_qmri.fit("etofts", signal, DRIVEN, estimator="ncde", sigma=sigma, prior="box")
    return float(np.mean(found.status == Status.OUT_OF_RANGE))


def test_noise_takes_one_voxel_of_a_thousand_beyond_the_limit_that_is_its_truth() -> None:
    assert 0.5 * chi2.sf(BETTER, 1) == pytest.approx(RATE, rel=0.01)


@pytest.mark.parametrize("snr", [10, 20, 40])
def test_truths_that_are_even_within_the_limits_are_hardly_ever_flagged(snr: float) -> None:
    assert flagged(LIMITS, snr, 2000) <= RATE


def test_blood_is_flagged_at_an_snr_of_20() -> None:
    blood = {"kep": (0.1, 1.5), "ve": (0.1, 0.6), "vp": (0.45, 0.45), "t0": (0.0, 10.0)}
    assert flagged(blood, 20.0, 300) > 0.95


def test_tissue_is_expected_to_hold_less_plasma_than_blood() -> None:
    assert EXTENDED_TOFTS.prior(None)["vp"][1] < 0.45


@pytest.mark.parametrize("label", LABELS)
def test_values_beyond_the_limits_are_those_of_least_squares(label: str) -> None:
    _, mended, least = results(label)
    assert np.all(mended.status[:BLOOD] == Status.OUT_OF_RANGE)
    for name in ("kep", "ve", "vp", "ktrans"):
        np.testing.assert_array_equal(mended.maps[name][:BLOOD], least.maps[name][:BLOOD])
        np.testing.assert_array_equal(mended.sd[name][:BLOOD], least.sd[name][:BLOOD])
    np.testing.assert_array_equal(mended.residual[:BLOOD], least.residual[:BLOOD])


@pytest.mark.parametrize("label", LABELS)
def test_voxels_within_the_limits_are_left_alone(label: str) -> None:
    plain, mended, _ = results(label)
    for part, whole in ((mended.maps, plain.maps), (mended.sd, plain.sd)):
        for name in whole:
            np.testing.assert_array_equal(part[name][BLOOD:], whole[name][BLOOD:])
    np.testing.assert_array_equal(mended.status[BLOOD:], plain.status[BLOOD:])


@pytest.mark.parametrize("label", LABELS)
def test_the_excess_of_plasma_does_not_become_permeability(label: str) -> None:
    plain, mended, _ = results(label)
    limit = EXTENDED_TOFTS.prior(None)["vp"][1]
    assert np.all(plain.maps["vp"] <= limit)
    assert np.median(mended.maps["vp"][:BLOOD]) == pytest.approx(0.45, rel=0.1)


def test_where_limits_are_the_physical_ones_nothing_lies_beyond() -> None:
    by, how = preparation("bayes")
    wide = replace(how, bounds=how.physical)
    noise = Noise(SIGMA, SIGMA)
    fit = by.fit(EXTENDED_TOFTS, concentrations(), DCE_PROTOCOL, sigma=noise, bounds=how.bounds)
    assert beyond_limits(EXTENDED_TOFTS, wide, concentrations(), DCE_PROTOCOL, noise, fit) is fit


def test_unknown_noise_moves_nothing() -> None:
    _, how = preparation("bayes")
    plain = results("bayes")[0]
    assert beyond_limits(EXTENDED_TOFTS, how, concentrations(), DCE_PROTOCOL, None, plain) is plain


def test_limits_that_a_person_asks_for_are_kept() -> None:
    found = bids_qmri.fit(
        "etofts", concentrations(), DCE_PROTOCOL, estimator="bayes", sigma=SIGMA, bounds={"vp": (0.0, 0.2)}
    )
    assert np.all(found.maps["vp"] <= 0.2)


@pytest.mark.parametrize("label", [*LABELS, "ncde"])
def test_fits_of_arrays_and_files_go_this_way(label: str) -> None:
    found = bids_qmri.fit("etofts", concentrations(), DCE_PROTOCOL, estimator=label, sigma=SIGMA, prior="box")
    assert np.all(found.status[:BLOOD] == Status.OUT_OF_RANGE)
    assert np.median(found.maps["vp"][:BLOOD]) == pytest.approx(0.45, rel=0.1)
