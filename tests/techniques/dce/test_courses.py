"""What the page of a contrast-enhanced series shows before its maps."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.techniques.dce.courses import courses
from bids_qmri.techniques.dce.protocol import DceProtocol

TIMES = np.arange(0.0, 100.0, 5.0)
INPUT_TIMES = np.arange(-20.0, 140.0, 0.5)
INPUT = np.where(INPUT_TIMES >= 30.0, np.exp(-(INPUT_TIMES - 30.0) / 60.0), 0.0)
PROTOCOL = DceProtocol(TIMES, INPUT_TIMES, INPUT)


def test_the_input_is_drawn_over_the_time_of_the_frames_with_its_arrival() -> None:
    plasma, _ = courses(np.ones((3, TIMES.size)), PROTOCOL, 6)
    assert min(plasma.x) >= TIMES[0]
    assert max(plasma.x) <= TIMES[-1]
    assert plasma.marks == {"arrival": 30.0}
    assert np.interp(60.0, plasma.x, plasma.y) == pytest.approx(np.exp(-0.5), rel=1e-3)


def test_the_tissue_is_the_mean_of_voxels_whose_concentration_is_known() -> None:
    known = np.linspace(0.0, 1.0, TIMES.size) * np.array([[1.0], [3.0]])
    _, tissue = courses(np.vstack([known, np.full((1, TIMES.size), np.nan)]), PROTOCOL, 6)
    assert tissue.y == pytest.approx(2.0 * np.linspace(0.0, 1.0, TIMES.size), rel=1e-4)
    assert tissue.marks == {"end of the baseline": 25.0}
    assert "2 voxels" in tissue.caption


def test_without_a_known_concentration_the_input_alone_is_shown() -> None:
    assert len(courses(np.full((2, TIMES.size), np.nan), PROTOCOL, None)) == 1
