"""Kurtosis of many voxels against dipy's own functions."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimators.dipy.kurtosis_scalars import kurtosis_scalars


def test_kurtosis_of_eigenvalues_that_nearly_coincide_equals_dipy():
    from dipy.reconst import dki

    rng = np.random.default_rng(0)
    values = np.sort(rng.uniform(0.2e-3, 2.5e-3, (3000, 3)), axis=1)[:, ::-1]
    near = 1 - rng.uniform(0, 0.05, 1000)
    values[:1000, 2] = values[:1000, 1] * near
    values[1000:2000, 1] = values[1000:2000, 0] * near
    values[2000:2200] = values[2000:2200, :1] * (1 - np.sort(rng.uniform(0, 0.05, (200, 3)), axis=1))
    values[2200:2300, 2] = 10 ** rng.uniform(-10, -5, 100)
    values = -np.sort(-values, axis=1)
    vectors = np.linalg.qr(rng.normal(size=(3000, 3, 3)))[0]
    isotropic = np.array([1.0] * 3 + [0.0] * 6 + [1 / 3] * 3 + [0.0] * 3)
    params = np.hstack([values, vectors.reshape(-1, 9), isotropic + rng.normal(0, 0.3, (3000, 15))])
    ours = kurtosis_scalars(params)
    for found, name in zip(ours, ("mean", "axial", "radial"), strict=True):
        theirs = getattr(dki, f"{name}_kurtosis")(params, min_kurtosis=-3 / 7, max_kurtosis=10)
        np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-10)
