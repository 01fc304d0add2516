"""A long fit says how far it is; a short one says nothing."""

from __future__ import annotations

import logging
import re
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from bids_qmri.interfaces.pace import told


def _lines(caplog: pytest.LogCaptureFixture, seconds_of_a_block: float) -> list[str]:
    blocks = [SimpleNamespace(voxels=np.arange(10)) for _ in range(100)]
    ticks = count(0.0, seconds_of_a_block)
    caplog.clear()
    with caplog.at_level(logging.INFO, "bids_qmri.fit"):
        given = list(told(blocks, 1000, "sub-01 tensor restore", lambda: next(ticks)))  # type: ignore[arg-type]
    assert given == blocks
    return [record.getMessage() for record in caplog.records]


def test_the_rest_of_an_even_fit_is_told_right(caplog: pytest.LogCaptureFixture) -> None:
    lines = _lines(caplog, 10.0)
    assert lines[0] == "sub-01 tensor restore: 1 % of the voxels, about 16 min left"
    for line in lines:
        share, left, unit = re.fullmatch(
            r"sub-01 tensor restore: (\d+) % .* (\d+) (s|min) left", line
        ).groups()
        assert int(left) * {"s": 1, "min": 60}[unit] == pytest.approx(10 * (100 - int(share)), abs=30)
    assert 20 < len(lines) < 45


def test_a_short_fit_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert _lines(caplog, 0.04) == []
