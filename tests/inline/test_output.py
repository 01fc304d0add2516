"""Whole numbers that scanners store: how they are scaled, and that nothing is lost but the rounding."""

from __future__ import annotations

from dataclasses import replace

import mrd
import numpy as np
import pytest
import scans

from bids_qmri.inline.config import Config
from bids_qmri.inline.output import quantity, whole_numbers
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.spoiled_gradient_echo import concentration_to_signal
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.model import VFA

FRAMES = 5.0 * np.arange(40)
DYNAMIC = '{"parameters": {"t10": 1.2, "relaxivity": 4.5, "hematocrit": 0.42, "aif": "parker"}}'


@pytest.mark.parametrize(
    ("model", "name", "scale", "unit"),
    [
        ("noddi", "ndi", 1000, "1"),
        ("noddi", "odi", 1000, "1"),
        ("noddi", "fwf", 1000, "1"),
        ("ivim", "f", 1000, "1"),
        ("ivim", "d", 1e6, "mm^2/s"),
        ("ivim", "dStd", 1e6, "mm^2/s"),
        ("ivim", "dstar", 1e4, "mm^2/s"),
        ("vfa", "t1", 1000, "s"),
        ("etofts", "ktrans", 1000, "1/min"),
        ("vfa", "status", 1, "1"),
    ],
)
def test_scales_are_1000_or_what_the_range_needs(model, name, scale, unit):
    how = quantity(Config(model, "lsq"), name, np.ones(3, np.float32))
    assert (how.scale, how.unit) == (scale, unit)


@pytest.mark.parametrize(("high", "scale"), [(32.0, 1000), (33.0, 100), (200.0, 100), (5000.0, 1)])
def test_parameters_of_large_numbers_fit(high, scale, monkeypatch):
    t1 = replace(VFA.parameters[0], bounds=(0.0, high))
    monkeypatch.setattr(type(VFA), "parameters", (t1, VFA.parameters[1]))
    assert quantity(Config("vfa", "lsq"), "t1", np.ones(3, np.float32)).scale == scale


def test_amplitudes_use_the_range_they_have():
    how = quantity(Config("vfa", "lsq"), "m0", np.array([0.0, 5e4, np.nan], np.float32))
    assert how.scale == 0.1
    assert quantity(Config("vfa", "lsq"), "m0", np.zeros(3, np.float32)).scale > 0


def test_rounding_is_to_the_nearest_and_the_impossible_is_zero():
    values = np.array([0.1234, -0.1236, np.nan, np.inf, 100.0], np.float32)
    assert whole_numbers(values, 1000).tolist() == [123, -124, 0, 0, 32767]


def dynamic_series() -> tuple[np.ndarray, list[bytes]]:
    """True Ktrans in 1/min, (slices, y, x), and messages of a dynamic series with a 3-D image per frame."""
    ktrans = np.linspace(0.05, 0.4, 36)
    theta = np.stack([ktrans / 0.3, np.full(36, 0.3), np.full(36, 0.03), np.zeros(36)])
    time, plasma = population_aif("parker", 32.0, FRAMES[-1], 0.42, step=0.1)
    curve = EXTENDED_TOFTS.signal(theta, DceProtocol(FRAMES, time, plasma)).T
    scan = {"flip_angle": np.deg2rad(15), "repetition_time": 0.005, "relaxivity": 4.5}
    signal = concentration_to_signal(curve, np.full(36, 900.0), np.full(36, 1.2), **scan)
    images = [
        mrd.image(
            signal[:, i].reshape(2, 3, 6).astype(np.float32),
            mrd.meta(FlipAngle=15, RepetitionTime=5),
            repetition=i,
            time_stamp=int(1e6 + FRAMES[i] / 0.0025),
        )
        for i in range(len(FRAMES))
    ]
    return ktrans.reshape(2, 3, 6), images


def test_a_dynamic_series_becomes_ktrans(port):
    truth, images = dynamic_series()
    answer = scans.talk(port, "etofts-lsq", images[::-1], text=DYNAMIC)
    assert answer.texts == []
    np.testing.assert_allclose(answer.map("ktrans")[0], truth, rtol=0.05, atol=2e-3)


def test_maps_that_the_estimator_does_not_make_are_refused(port):
    images = scans.flips(scans.vfa_volumes()[1])
    answer = scans.talk(port, "vfa-lsq", images, text='{"parameters": {"maps": "t1 t2"}}')
    assert "gives no 't2'" in answer.texts[0]
