"""Eigensystems in closed form against LAPACK."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimators.dipy.eigen import eigensystem


def test_eigensystems_are_exact_where_eigenvalues_coincide_or_vanish():
    rng = np.random.default_rng(0)
    values = np.sort(rng.uniform(1e-4, 2e-3, (600, 3)), axis=1)[:, ::-1]
    values[:100, 1] = values[:100, 2] * (1 + 10 ** rng.uniform(-9, -1, 100))
    values[100:200, 1] = values[100:200, 0]
    values[200:220] = values[200:220, :1]
    values[220:300, 2] = 10 ** rng.uniform(-9, -4, 80)
    values[300:350, 2] *= -0.5
    values[350:360] = 0.0
    vectors = np.linalg.qr(rng.normal(size=(600, 3, 3)))[0]
    tensors = (vectors * values[:, None]) @ vectors.transpose(0, 2, 1)
    found, axes = eigensystem(tensors[:, (0, 1, 1, 2, 2, 2), (0, 0, 1, 0, 1, 2)])
    np.testing.assert_allclose(found, np.linalg.eigh(tensors)[0][:, ::-1], rtol=1e-10, atol=1e-18)
    np.testing.assert_allclose((axes * found[:, None]) @ axes.transpose(0, 2, 1), tensors, atol=1e-15)
    np.testing.assert_allclose(
        axes @ axes.transpose(0, 2, 1), np.broadcast_to(np.eye(3), axes.shape), atol=1e-12
    )
