"""Tensor and kurtosis as models: signals, derivatives, scalars against dipy, limits, what series lack."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.shells import GRID
from bids_qmri.techniques.dti.kurtosis import circle_moments, sphere_moments
from bids_qmri.techniques.dti.model import KURTOSIS, TENSOR, Cumulants
from bids_qmri.techniques.dti.scalars import OF_KURTOSIS, kurtosis_anisotropy_slope
from bids_qmri.techniques.dti.symmetric import ELEMENT_COUNT, ELEMENTS, eigensystem, elements_of, monomials
from bids_qmri.techniques.dti.tilt import Tilt

MODELS = pytest.mark.parametrize("model", [TENSOR, KURTOSIS], ids=["dti", "dki"])


def directions(n: int) -> np.ndarray:
    """Return n unit vectors spread over the sphere (golden angle spiral)."""
    z = 1 - (2 * np.arange(n) + 1) / n
    angle = np.pi * (1 + 5**0.5) * np.arange(n)
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


def shells(*bvals: float, n: int = 20, n_b0: int = 2) -> DiffusionProtocol:
    """Return a protocol of b = 0 images and n directions on every shell."""
    b = np.concatenate([np.zeros(n_b0), *[np.full(n, value) for value in bvals]])
    return DiffusionProtocol(b, np.concatenate([np.zeros((n_b0, 3)), *[directions(n) for _ in bvals]]))


PROTOCOL = shells(1000, 2000)


def frames(voxels: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(voxels, 3, 3)))[0]


def tissues(model: Cumulants, voxels: int = 40, seed: int = 1) -> np.ndarray:
    """Return parameters of tissue, (P, V), whose eigenvalues differ."""
    rng = np.random.default_rng(seed)
    ratio = np.sort(rng.uniform(0.3, 0.9, (voxels, 2)), axis=1)[:, ::-1]
    values = rng.uniform(1e-3, 2e-3, (voxels, 1)) * np.column_stack(
        [np.ones(voxels), np.cumprod(ratio, axis=1)]
    )
    vectors = frames(voxels, rng)
    tensor = elements_of((vectors * values[:, None]) @ vectors.transpose(0, 2, 1))
    isotropic = np.array([1.0] * 3 + [0.0] * 6 + [1 / 3] * 3 + [0.0] * 3)
    w = (isotropic + rng.normal(0, 0.2, (voxels, 15))) * values.mean(axis=1)[:, None] ** 2
    theta = np.vstack([tensor.T, w.T, rng.uniform(0.5, 2.0, voxels)])
    return theta[[*range(6), -1]] if model is TENSOR else theta


def dipy_params(theta: np.ndarray) -> np.ndarray:
    values, vectors = eigensystem(theta[:6].T)
    kurtosis = theta[6:-1].T / values.mean(axis=1)[:, None] ** 2
    return np.concatenate([values, vectors.reshape(-1, 9), kurtosis], axis=1)


def scalars(model: Cumulants, theta: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip([p.name for p in model.derived], model.derive(theta)[0], strict=True))


@MODELS
def test_without_weighting_the_signal_is_s0(model: Cumulants) -> None:
    theta = tissues(model)
    np.testing.assert_allclose(model.signal(theta, PROTOCOL)[0], theta[-1])


@MODELS
def test_design_is_that_of_dipy(model: Cumulants) -> None:
    from dipy.core.gradients import gradient_table
    from dipy.reconst import dki, dti

    b0_with_direction = DiffusionProtocol(np.r_[20.0, PROTOCOL.bvals], np.r_[[[0, 0, 0.5]], PROTOCOL.bvecs])
    table = gradient_table(b0_with_direction.bvals, bvecs=b0_with_direction.bvecs)
    theirs = (dti if model is TENSOR else dki).design_matrix(table)[:, :-1]
    np.testing.assert_allclose(model.design(b0_with_direction), theirs, rtol=1e-12, atol=1e-9)


@MODELS
def test_jacobian_is_the_derivative_of_the_signal(model: Cumulants) -> None:
    theta = tissues(model)
    signal, jacobian = model.signal_and_jacobian(theta, PROTOCOL)
    np.testing.assert_allclose(signal, model.signal(theta, PROTOCOL))
    for i in range(len(theta)):
        step = np.zeros_like(theta)
        step[i] = 1e-4 * np.abs(theta[i]).max()
        difference = model.signal(theta + step, PROTOCOL) - model.signal(theta - step, PROTOCOL)
        expected = difference / (2 * step[i])
        np.testing.assert_allclose(jacobian[i], expected, atol=1e-6 * np.abs(expected).max())


@MODELS
def test_slopes_are_the_derivatives_of_the_scalars(model: Cumulants) -> None:
    theta = tissues(model)
    values, slopes = model.derive(theta)
    scale = np.abs(values).max(axis=1, keepdims=True)
    assert slopes.shape == (len(model.derived), *theta.shape)
    assert not slopes[:, -1].any()
    for i in range(len(theta) - 1):
        step = np.zeros_like(theta)
        size = np.abs(theta[i]).max()
        step[i] = 1e-5 * size
        change = (model.derive(theta + step)[0] - model.derive(theta - step)[0]) / 2e-5
        np.testing.assert_allclose(size * slopes[:, i] / scale, change / scale, rtol=1e-5, atol=1e-5)


def test_scalars_are_those_of_dipy() -> None:
    from dipy.reconst import dki, dti

    theta = tissues(KURTOSIS)
    ours, params = scalars(KURTOSIS, theta), dipy_params(theta)
    np.testing.assert_allclose(ours["fa"], dti.fractional_anisotropy(params[:, :3]), rtol=1e-10)
    for name, theirs in (
        ("mk", dki.mean_kurtosis(params, max_kurtosis=10)),
        ("ak", dki.axial_kurtosis(params)),
        ("rk", dki.radial_kurtosis(params)),
        ("kfa", dki.kurtosis_fractional_anisotropy(params)),
    ):
        # dipy ends its elliptic integrals at 3e-4, and subtracts what they give.
        np.testing.assert_allclose(ours[name], theirs, rtol=3e-3 if name == "mk" else 1e-9)


def test_means_of_kurtosis_are_means_over_directions() -> None:
    theta = tissues(KURTOSIS, voxels=3)
    values, vectors = eigensystem(theta[:6].T)
    dense = directions(20_001)
    angle = np.linspace(0, np.pi, 200, endpoint=False)
    ours = scalars(KURTOSIS, theta)
    for v in range(3):
        circle = np.outer(np.cos(angle), vectors[v, :, 1]) + np.outer(np.sin(angle), vectors[v, :, 2])
        for name, n in (("mk", dense), ("rk", circle), ("ak", vectors[v, :, :1].T)):
            quartic = monomials(n, ELEMENTS) @ (ELEMENT_COUNT * theta[6:-1, v])
            diffusivity = np.sum((n @ vectors[v]) ** 2 * values[v], axis=1)
            assert ours[name][v] == pytest.approx(np.mean(quartic / diffusivity**2), rel=1e-4)


@pytest.mark.parametrize("b", [0.2, 1.0, 3.0])
def test_moments_of_the_circle(b: float) -> None:
    angle = np.linspace(0, np.pi, 400, endpoint=False)
    c, s = np.cos(angle) ** 2, np.sin(angle) ** 2
    expected = [np.mean(c**i * s ** (3 - i) / (c + b * s) ** 3) for i in (3, 2, 1, 0)]
    np.testing.assert_allclose(circle_moments(np.array(1.0), np.array(b)), expected, rtol=1e-10)


def test_moments_of_the_sphere_where_diffusion_is_isotropic() -> None:
    expected = np.array([15, 3, 3, 3, 1, 3, 15, 3, 3, 15]) / 105.0
    np.testing.assert_allclose(sphere_moments(np.ones((1, 3)))[0], expected, rtol=1e-12)


def test_isotropic_kurtosis_has_its_limits() -> None:
    theta = np.zeros((22, 1))
    d, k = 1e-3, 0.7
    theta[[0, 2, 5], 0] = d
    theta[6:9, 0], theta[15:18, 0] = k * d**2, k * d**2 / 3
    theta[-1] = 1.0
    values, slopes = KURTOSIS.derive(theta)
    found = dict(zip([p.name for p in KURTOSIS.derived], values[:, 0], strict=True))
    assert found["fa"] == pytest.approx(0, abs=1e-7)
    assert [found[name] for name in ("mk", "ak", "rk")] == pytest.approx([k] * 3)
    assert found["kfa"] == pytest.approx(0, abs=1e-7)
    # No direction is the first: what depends on it has no derivative, what does not has one.
    assert np.isfinite(slopes[[1, 4]]).all()
    assert np.isnan(slopes[[0, 2, 3]]).any(axis=(1, 2)).all()


def test_scalars_do_not_depend_on_the_frame() -> None:
    theta = tissues(KURTOSIS, voxels=1)
    turn = frames(1, np.random.default_rng(8))[0]
    turned = DiffusionProtocol(PROTOCOL.bvals, PROTOCOL.bvecs @ turn.T)
    # The same signals along turned directions are those of the turned tissue.
    lower, upper = KURTOSIS.limits()
    other = KURTOSIS.start(KURTOSIS.signal(theta, PROTOCOL), turned, lower, upper)
    np.testing.assert_allclose(KURTOSIS.derive(other)[0], KURTOSIS.derive(theta)[0], rtol=1e-6)


@MODELS
def test_start_recovers_signals_without_noise_and_keeps_limits(model: Cumulants) -> None:
    theta = tissues(model)
    lower, upper = model.limits()
    start = model.start(model.signal(theta, PROTOCOL), PROTOCOL, lower, upper)
    np.testing.assert_allclose(model.derive(start)[0], model.derive(theta)[0], rtol=1e-6)
    lower, upper = model.limits({"s0": (1.0, 1.1), "dxx": (0.0, 1e-3)})
    noise = np.random.default_rng(2).normal(0, 1, (PROTOCOL.n_measurements, 30))
    start = model.start(noise, PROTOCOL, lower, upper)
    assert np.all((start >= lower[:, None]) & (start <= upper[:, None]))


@MODELS
def test_predicted_signals_end_at_the_largest_b(model: Cumulants) -> None:
    protocol = shells(1000, 1505, 2000, 4000)
    theta = tissues(model)
    maps = dict(zip([p.name for p in model.parameters], theta, strict=True))
    predicted = model.predict(maps, protocol)
    assert predicted is not None
    left_out = protocol.bvals > model.b_max + 10
    assert np.isnan(predicted[:, left_out]).all()
    np.testing.assert_allclose(predicted[:, ~left_out], model.signal(theta, protocol)[~left_out].T)
    del maps["dxy"]
    assert model.predict(maps, protocol) is None
    assert model.predict(maps, DiffusionProtocol([0.0, 1000.0])) is None


def test_signals_need_directions() -> None:
    with pytest.raises(InputError, match="not known"):
        TENSOR.signal(tissues(TENSOR), DiffusionProtocol([0.0, 1000.0]))


@MODELS
def test_deviations_are_those_of_first_order_where_noise_is_low(model: Cumulants) -> None:
    theta = tissues(model)
    elements = theta[:-1].T
    covariance = np.eye(len(theta) - 1) * (1e-4 * np.abs(elements).max(axis=0)) ** 2
    covariance = np.repeat(covariance[None], len(elements), axis=0)
    none = np.zeros_like(elements)
    spread = model.deviations(elements, *eigensystem(elements[:, :6]), covariance, none)
    slopes = model.derive(theta)[1][:, :-1]
    expected = np.sqrt(np.einsum("qiv,vij,qjv->vq", slopes, covariance, slopes))
    np.testing.assert_allclose(spread, expected, rtol=1e-2)
    bias = 1e-3 * elements
    with_bias = model.deviations(elements, *eigensystem(elements[:, :6]), covariance, bias)
    expected = np.hypot(expected, np.einsum("qiv,vi->vq", slopes, bias))
    np.testing.assert_allclose(with_bias, expected, rtol=2e-2)


def test_the_tilt_of_the_first_eigenvector_biases_what_hangs_on_it() -> None:
    rng = np.random.default_rng(7)
    elements = tissues(KURTOSIS, voxels=1)[:-1].T
    values, vectors = eigensystem(elements[:, :6])
    # Noise of the tensor between eigenvectors alone, and one of the kurtosis tensor that goes with it.
    first, others = vectors[0, :, 0], vectors[0, :, 1:]
    between = np.einsum("a,bj->jab", first, others) + np.einsum("b,aj->jab", first, others)
    modes = np.hstack([5e-6 * elements_of(between), 2e-8 * rng.normal(size=(2, 15))])
    half = rng.normal(size=(50_000, 2))
    noisy = elements + np.concatenate([half, -half]) @ modes
    scalars, slopes = KURTOSIS.slopes(elements, values, vectors)
    found = KURTOSIS.slopes(noisy, *eigensystem(noisy[:, :6]))[0].mean(axis=0) - scalars[0]
    tilt = Tilt.of(values, vectors, (modes.T @ modes)[None])
    expected = slopes[0, :, :6] @ tilt.of_tensor()[0]
    expected[5:7] += tilt.of_kurtosis(values, elements[:, 6:])[0]
    hanging = [2, 3, 5, 6]  # AD, RD, AK, RK
    np.testing.assert_allclose(found[hanging], expected[hanging], rtol=0.05)


def test_noise_is_taken_out_of_the_anisotropy_of_kurtosis() -> None:
    rng = np.random.default_rng(4)
    isotropic = np.array([1.0] * 3 + [0.0] * 6 + [1 / 3] * 3 + [0.0] * 3)
    noise = 0.1
    noisy = isotropic + rng.normal(0, noise, (4000, 15))
    covariance = np.broadcast_to(noise**2 * np.eye(15), (4000, 15, 15))
    clean = OF_KURTOSIS.without_noise(noisy, covariance)
    assert np.mean(clean == 0.0) == pytest.approx(0.5, abs=0.1)


def test_deviations_of_the_anisotropy_of_kurtosis_cover_it() -> None:
    rng = np.random.default_rng(4)
    elements = np.array([1.6, 0.5, 0.4, *[0.0] * 6, 0.2, 0.15, 0.1, *[0.0] * 3])
    for noise in (0.05, 0.2):
        noisy = elements + rng.normal(0, noise, (4000, 15))
        covariance = np.broadcast_to(noise**2 * np.eye(15), (4000, 15, 15))
        found = kurtosis_anisotropy_slope(noisy)[0]
        spread = OF_KURTOSIS.deviation(found, noisy, covariance, np.zeros_like(noisy))
        true = kurtosis_anisotropy_slope(elements[None])[0]
        assert 0.60 < np.mean(np.abs(found - true) <= spread) < 0.76


def test_anisotropy_whose_mean_is_noise_has_no_deviation() -> None:
    elements = np.full((1, 15), 0.01)
    covariance = np.eye(15)[None]
    assert np.isnan(OF_KURTOSIS.deviation(np.array([0.5]), elements, covariance, 0 * elements))[0]


@pytest.mark.parametrize(
    ("model", "protocol", "lacks"),
    [
        (TENSOR, DiffusionProtocol([0.0, 1000.0]), "no gradient directions"),
        (TENSOR, shells(1000, n=5), "5 directions with b up to 1500 s/mm^2; a tensor needs 6"),
        (TENSOR, shells(2000), ""),
        (TENSOR, shells(2000, n=5), "0 directions"),
        (TENSOR, shells(600, 1000, n_b0=0), "an image at b = 0 is needed"),
        (TENSOR, shells(1000), ""),
        (KURTOSIS, shells(1000), "kurtosis needs 2, one at 1500 or above"),
        (KURTOSIS, shells(1000, 2000, n=10), "10 directions; kurtosis needs 15"),
        (KURTOSIS, shells(1000, 2000, n_b0=0), "an image at b = 0 is needed"),
        (KURTOSIS, shells(*np.arange(100, 3000, 30), n=6), GRID),
        (KURTOSIS, shells(1000, 2000), ""),
    ],
)
def test_obstacles_say_what_a_series_lacks(model: Cumulants, protocol: DiffusionProtocol, lacks: str) -> None:
    found = model.obstacle(protocol)
    assert lacks in found
    assert bool(lacks) == bool(found)
