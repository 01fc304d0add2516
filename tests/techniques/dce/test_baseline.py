"""Error bars of kinetics hold whatever number of frames concentrations refer to."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bids_qmri.estimation.blocks import fit_array
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import FitResult, get_estimator
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.spoiled_gradient_echo import concentration_to_signal
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.settings import Aif, DceSettings
from bids_qmri.units import FloatArray

VOXELS, SNR, SPACING, S0, T10 = 500, 20.0, 3.0, 100.0, 1.2
SCANNER = {"flip_angle": np.deg2rad(20.0), "repetition_time": 0.005, "relaxivity": 4.5}
QUANTITIES = ("kep", "ve", "vp", "ktrans")
BASELINES = (2, 8, 64)


@cache
def series(frames: int) -> tuple[dict[str, FloatArray], FloatArray, DceSettings]:
    """Return truth, signals (V, N) with `frames` before the bolus, and what was played out."""
    rng = np.random.default_rng(frames)
    time = SPACING * np.arange(frames + 60)
    aif_time, plasma = population_aif("parker", time[frames] - 0.5 * SPACING, time[-1], 0.42)
    theta = np.array(
        [rng.uniform(*limits, VOXELS) for limits in ((0.1, 1.5), (0.1, 0.6), (0.01, 0.1), (0, 6))]
    )
    curve = EXTENDED_TOFTS.signal(theta, DceProtocol(time, aif_time, plasma)).T
    clean = concentration_to_signal(curve, np.full(VOXELS, S0), np.full(VOXELS, T10), **SCANNER)
    signal = clean + S0 / SNR * rng.standard_normal(clean.shape)
    truth = dict(zip(("kep", "ve", "vp", "t0"), theta, strict=True)) | {"ktrans": theta[0] * theta[1]}
    aif = Aif("measured", aif_time, plasma)
    angle, tr, relaxivity = SCANNER.values()
    return truth, signal, DceSettings(time, angle, tr, relaxivity, 0.42, frames, aif, T10)


def fitted(frames: int, label: str, *, aware: bool = True) -> FitResult:
    _, signal, settings = series(frames)
    by = get_estimator("etofts", label)
    mask = np.ones(VOXELS, dtype=bool)
    how = prepare(EXTENDED_TOFTS, by, Scan(None, settings, mask, mean_curve=lambda: signal.mean(axis=0)))
    return fit_array(EXTENDED_TOFTS, by, how if aware else replace(how, widen=None), signal, None, "box")


def inside(frames: int, found: FitResult) -> list[FloatArray]:
    """Return where the truth lies within one standard deviation, (V,) each, of voxels inside the limits."""
    truth = series(frames)[0]
    estimated = found.status == 1
    return [(np.abs(found.maps[name] - truth[name]) < found.sd[name])[estimated] for name in QUANTITIES]


@pytest.mark.parametrize("label", ["lsq", "bayes"])
def test_truth_lies_within_one_sd_as_often_as_it_should(label: str) -> None:
    by_length = [inside(frames, fitted(frames, label)) for frames in BASELINES]
    for i, name in enumerate(QUANTITIES):
        pooled = np.mean(np.concatenate([values[i] for values in by_length]))
        assert 0.62 < pooled < 0.75, name


def test_residuals_alone_do_not_show_that_two_frames_are_noisy() -> None:
    aware, unaware = (fitted(2, "lsq", aware=aware) for aware in (True, False))
    for name, claimed, honest in zip(QUANTITIES, inside(2, unaware), inside(2, aware), strict=True):
        assert claimed.mean() < honest.mean(), name
    assert np.mean([values.mean() for values in inside(2, unaware)]) < 0.6


def test_the_more_frames_the_less_they_add() -> None:
    added = []
    for frames in BASELINES:
        aware, unaware = (fitted(frames, "lsq", aware=aware) for aware in (True, False))
        added.append(np.nanmedian(aware.sd["ve"] / unaware.sd["ve"]))
    assert added[0] > added[1] > added[2]


def test_estimates_are_left_as_they_are() -> None:
    aware, unaware = (fitted(8, "lsq", aware=aware) for aware in (True, False))
    for name in QUANTITIES:
        np.testing.assert_array_equal(aware.maps[name], unaware.maps[name])
