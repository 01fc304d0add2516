"""The closed form, against its publications' formulas written out for one voxel at a time."""

from __future__ import annotations

import numpy as np
import pytest
from contrasts import weightings

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.base import Status, get_estimator
from bids_qmri.techniques.mpm.model import MPM, MTS
from bids_qmri.techniques.mpm.rational import rational

DEGREES, TR = (6.0, 21.0, 6.0), 0.025
"""Of PDw, T1w and MTw."""


def by_hand(pdw: float, t1w: float, mtw: float, f: float) -> dict[str, float]:
    """Return apparent R1, PD and MTsat at nominal angles, then corrected for a transmit field f.

    Nominal: Helms et al. 2008, doi:10.1002/mrm.21542, equations for small angles; MTsat with its residual
    correction (1 - 0.4) / (1 - 0.4 f) of Weiskopf et al. 2013. The field scales R1 by f^2, PD by 1 / f.
    """
    a_pd, a_t1, a_mt = np.deg2rad(DEGREES)
    r1 = 0.5 * (t1w * a_t1 / TR - pdw * a_pd / TR) / (pdw / a_pd - t1w / a_t1)
    pd = pdw * t1w * (TR * a_t1 / a_pd - TR * a_pd / a_t1) / (t1w * TR * a_t1 - pdw * TR * a_pd)
    mtsat = 100 * ((pd * a_mt / mtw - 1) * r1 * TR - a_mt**2 / 2)
    return {"t1": 1 / (r1 * f**2), "pd": pd / f, "mtsat": mtsat * (1 - 0.4) / (1 - 0.4 * f)}


@pytest.mark.parametrize("f", [0.8, 1.0, 1.15])
def test_the_formulas_of_the_publications(f: float) -> None:
    rng = np.random.default_rng(2)
    protocol = weightings(1).with_b1(np.full(20, f))
    theta = np.stack([rng.uniform(0.7, 2.0, 20), rng.uniform(0.5, 4.0, 20), rng.uniform(800, 1200, 20)])
    measured = MTS.signal(theta, protocol)
    found = dict(zip(("t1", "r2star", "mtsat", "pd"), rational(measured, protocol), strict=True))
    for voxel, (mtw, pdw, t1w) in enumerate(measured.T):
        for name, expected in by_hand(pdw, t1w, mtw, f).items():
            np.testing.assert_allclose(found[name][voxel], expected, rtol=1e-10, err_msg=name)


def test_it_is_close_to_the_exact_signal_at_small_angles() -> None:
    theta = np.array([[0.8, 1.2, 1.8], [1.0, 2.0, 3.0], [1000.0, 900.0, 1100.0]])
    found = get_estimator("mts", "rational").fit(MTS, MTS.signal(theta, weightings(1)).T, weightings(1))
    np.testing.assert_allclose(found.maps["t1"], theta[0], rtol=0.03)
    np.testing.assert_allclose(found.maps["mtsat"], theta[1], rtol=0.05)


def test_the_decay_of_all_weightings_is_one() -> None:
    theta = np.array([[1.0, 1.5], [15.0, 40.0], [1.5, 3.0], [1000.0, 800.0]])
    protocol = weightings(6)
    found = get_estimator("mpm", "rational").fit(MPM, MPM.signal(theta, protocol).T, protocol)
    np.testing.assert_allclose(found.maps["r2star"], theta[1], rtol=1e-9)


@pytest.mark.parametrize(("name", "parameter"), [("mpm", "mtsat"), ("mpm", "r2star"), ("mts", "t1")])
def test_error_bars_are_the_scatter_of_repeated_measurements(name: str, parameter: str) -> None:
    model, protocol = get_model(name), weightings(6 if name == "mpm" else 1)
    values = {"t1": 1.2, "r2star": 25.0, "mtsat": 2.0, "pd": 1000.0}
    theta = np.array([[values[p.name]] for p in model.parameters])
    clean = model.signal(theta, protocol)[:, 0]
    measured = clean + 0.3 * np.random.default_rng(3).normal(size=(5000, clean.size))
    found = get_estimator(name, "rational").fit(model, measured, protocol, sigma=0.3)
    assert np.std(found.maps[parameter]) == pytest.approx(np.median(found.sd[parameter]), rel=0.05)


def test_signals_without_a_solution_are_unusable() -> None:
    signal = MTS.signal(np.array([[1.0], [2.0], [1000.0]]), weightings(1)).T
    bad = np.concatenate([signal, np.zeros_like(signal), np.full_like(signal, np.nan), signal[:, [0, 2, 1]]])
    found = get_estimator("mts", "rational").fit(MTS, bad, weightings(1))
    assert found.status.tolist()[:3] == [Status.OK, Status.UNUSABLE, Status.UNUSABLE]
    assert np.isfinite(found.maps["t1"]).tolist()[:3] == [True, False, False]
