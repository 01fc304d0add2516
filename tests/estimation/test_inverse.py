"""Rates beside times: inverse values, errors to first order, zeros and unknowns as they are."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.estimation.inverse import with_rate


def test_a_rate_is_the_inverse_of_its_time_with_its_error() -> None:
    time = np.array([0.0, 0.02, 0.5, np.nan], dtype=np.float32)
    sd = np.array([0.0, 0.001, 0.05, np.nan], dtype=np.float32)
    known = np.array([0, 1, 0, 0], dtype=np.uint8)
    status = np.array([0, 1, 1, 4], dtype=np.uint8)
    found = ImageMaps({"t2": time}, {"t2": sd}, np.zeros(4, np.float32), status, determined={"t2": known})
    rates = with_rate(found, "t2", "r2")
    np.testing.assert_allclose(rates.maps["r2"], [0, 50, 2, np.nan], rtol=1e-6)
    np.testing.assert_allclose(rates.sd["r2"], [0, 2.5, 0.2, np.nan], rtol=1e-6)
    np.testing.assert_array_equal(rates.determined["r2"], known)
