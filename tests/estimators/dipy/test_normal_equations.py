"""Inverses of many matrices at once."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.estimators.dipy.normal_equations import inverted


@pytest.mark.parametrize("size", [7, 22])
def test_inverses_of_a_batch(size: int):
    root = np.random.default_rng(size).normal(size=(9, size, size + 4))
    matrices = root @ root.transpose(0, 2, 1)
    np.testing.assert_allclose(inverted(matrices), np.linalg.inv(matrices), rtol=1e-8)
    matrices[4] = 0.0
    # One singular matrix must not stop the others.
    with np.errstate(all="ignore"):
        others = inverted(matrices)
    np.testing.assert_allclose(others[0], np.linalg.inv(matrices[0]), rtol=1e-8)
    assert not np.isfinite(others[4]).all()
