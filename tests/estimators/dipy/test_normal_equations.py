"""Inverses of many matrices at once, and the bias of what they solve."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.estimators.dipy.normal_equations import Coefficients, NormalEquations, inverted


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


def nonlinear(
    equations: NormalEquations, design: np.ndarray, signal: np.ndarray, sigma: np.ndarray
) -> Coefficients:
    """Fit by ten steps of Gauss and Newton from the weighted fit."""
    found = equations.weighted(signal, sigma).values
    for _ in range(10):
        model = np.exp(found @ design.T)
        jacobian = model[:, :, None] * design
        normal = np.einsum("vnp,vnq->vpq", jacobian, jacobian)
        found = (
            found
            + np.linalg.solve(normal, np.einsum("vnp,vn->vp", jacobian, signal - model)[:, :, None])[:, :, 0]
        )
    return equations.nonlinear(signal, found, np.ones(signal.shape, dtype=bool), sigma)


@pytest.mark.parametrize("fit", ["ordinary", "weighted", "nonlinear"])
@pytest.mark.parametrize("sigma_given", [False, True], ids=["own", "given"])
def test_bias_is_the_mean_error_of_many_fits(fit: str, sigma_given: bool):
    b = np.concatenate([np.zeros(2), np.repeat([0.5, 1.0, 2.0, 3.0], 2)])
    design = np.stack([-b, b**2 / 6.0, -np.ones_like(b)], axis=1)
    true, noise = np.array([1.0, 0.8, -np.log(2.0)]), 0.01
    half = np.random.default_rng(3).normal(0, noise, (40_000, b.size))
    signal = np.exp(design @ true) + np.concatenate([half, -half])
    equations = NormalEquations(design)
    sigma = np.full(len(signal), noise) if sigma_given else None
    if fit == "nonlinear":
        found = nonlinear(equations, design, signal, sigma)
    else:
        found = getattr(equations, fit)(signal, sigma)
    error = found.values.mean(axis=0) - true
    np.testing.assert_allclose(found.bias.mean(axis=0), error, rtol=0.15, atol=0.03 * np.abs(error).max())
