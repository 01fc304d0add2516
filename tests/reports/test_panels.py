"""A diagram of voxels says how many it does not show."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bids_qmri.outputs.tables import output_table
from bids_qmri.qc.agreement import agreement_metrics
from bids_qmri.reports.panels import draw_agreement, draw_scatter

T1 = output_table("vfa").estimate("t1")
LABELS = ("ncde", "lsq")


def test_a_scatter_counts_what_either_axis_leaves_out() -> None:
    assert T1.range is not None
    low, high = T1.range
    inside = np.linspace(low, high, 50)
    far = np.array([high * 1.1, high / 2, high * 2])
    other = np.array([high / 2, high * 3, high * 2])
    _, said = draw_scatter(T1, np.r_[inside, far], np.r_[inside, other], LABELS)
    assert said == "3 of 53 voxels lie beyond the axes."


def test_where_all_are_shown_nothing_is_said() -> None:
    assert T1.range is not None
    inside = np.linspace(*T1.range, 50)
    assert draw_scatter(T1, inside, inside, LABELS)[1] == ""


@pytest.mark.parametrize("size", [200, 2000])
def test_differences_beyond_the_limits_of_the_axis_are_counted(size: int) -> None:
    rng = np.random.default_rng(4)
    reference = rng.uniform(0.5, 2.0, size)
    values = reference + 0.01 * rng.standard_normal(size)
    reference[:3] = 1.0
    values[:3] = [9.0, 10.0, -8.0]
    one = np.ones(size, np.uint8)
    _, said = draw_agreement(T1, values, reference, LABELS, agreement_metrics(values, one, reference, one))
    found = re.fullmatch(rf"(\d+) of {size} voxels lie beyond the axes\.", said)
    assert found is not None
    # The axis of means leaves out half a percent at either end.
    assert 3 <= int(found.group(1)) <= 3 + 0.011 * size
