"""Tensor and kurtosis fits: dipy's numbers, degenerate voxels, standard deviations, what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.dipy import normal_equations
from bids_qmri.estimators.dipy.tensor import Nlls, Ols, Restore, TensorFit, Wls
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.prior import EVEN
from bids_qmri.techniques.dti.model import KURTOSIS, TENSOR, Cumulants
from bids_qmri.techniques.ivim.model import IVIM

FITS: tuple[TensorFit, ...] = (Ols(), Wls(), Nlls(), Restore())
ALL_FITS = pytest.mark.parametrize("estimator", FITS, ids=[fit.label for fit in FITS])
LINEAR = pytest.mark.parametrize("estimator", FITS[:2], ids=["ols", "wls"])

DIAGONAL = np.diag([1.7e-3, 0.4e-3, 0.3e-3])

SIX = np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1]]) / 2**0.5
"""The fewest directions."""


def fit_tensor(
    signal: Any, protocol: DiffusionProtocol, estimator: TensorFit = FITS[1], sigma: Any = None
) -> FitResult:
    return estimator.fit(TENSOR, signal, protocol, sigma=sigma)


def fit_dki(
    signal: Any, protocol: DiffusionProtocol, estimator: TensorFit = FITS[1], sigma: Any = None
) -> FitResult:
    return estimator.fit(KURTOSIS, signal, protocol, sigma=sigma)


def directions(n: int) -> np.ndarray:
    """Return n unit vectors spread over the sphere (golden angle spiral)."""
    z = 1 - (2 * np.arange(n) + 1) / n
    angle = np.pi * (1 + 5**0.5) * np.arange(n)
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


def shells(*bvals: float, n: int = 20, n_b0: int = 2) -> DiffusionProtocol:
    """Return a protocol of b = 0 images and n directions on every shell."""
    b = np.concatenate([np.zeros(n_b0), *[np.full(n, value) for value in bvals]])
    g = np.concatenate([np.zeros((n_b0, 3)), *[directions(n) for _ in bvals]])
    return DiffusionProtocol(b, g)


def tensor_signal(protocol: DiffusionProtocol, tensor: np.ndarray, s0: float = 1000.0) -> np.ndarray:
    """Return the signal, shape (1, N), of a symmetric tensor in mm^2/s."""
    adc = np.einsum("ni,ij,nj->n", protocol.bvecs, tensor, protocol.bvecs)
    return s0 * np.exp(-protocol.bvals * adc)[None, :]


def noisy(protocol: DiffusionProtocol, n_voxels: int = 30, sd: float = 20.0, seed: int = 0) -> np.ndarray:
    clean = np.repeat(tensor_signal(protocol, DIAGONAL), n_voxels, axis=0)
    return np.abs(clean + np.random.default_rng(seed).normal(0, sd, clean.shape))


@ALL_FITS
def test_noise_free_tensor_is_recovered(estimator):
    protocol = shells(1000)
    fit = fit_tensor(tensor_signal(protocol, DIAGONAL), protocol, estimator)
    assert fit.maps["md"][0] == pytest.approx(0.8e-3, rel=1e-6)
    assert fit.maps["ad"][0] == pytest.approx(1.7e-3, rel=1e-6)
    assert fit.maps["rd"][0] == pytest.approx(0.35e-3, rel=1e-6)
    assert fit.maps["s0"][0] == pytest.approx(1000, rel=1e-6)
    assert fit.residual[0] == pytest.approx(0, abs=1e-4)
    assert fit.status.tolist() == [Status.OK]


def test_fractional_anisotropy_follows_its_definition():
    protocol = shells(1000)
    values = np.diag(DIAGONAL)
    expected = np.sqrt(1.5 * np.sum((values - values.mean()) ** 2) / np.sum(values**2))
    assert fit_tensor(tensor_signal(protocol, DIAGONAL), protocol).maps["fa"][0] == pytest.approx(expected)


@ALL_FITS
def test_equals_dipy_called_directly(estimator):
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    protocol = shells(1000)
    signal = noisy(protocol)
    model = TensorModel(
        gradient_table(protocol.bvals, bvecs=protocol.bvecs), fit_method=estimator.label.upper()
    )
    direct, ours = model.fit(signal), fit_tensor(signal, protocol, estimator)
    np.testing.assert_allclose(ours.maps["fa"], direct.fa, rtol=1e-12)
    np.testing.assert_allclose(ours.maps["md"], direct.md, rtol=1e-12)


@ALL_FITS
def test_kurtosis_equals_dipy_called_directly(estimator):
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dki import DiffusionKurtosisModel

    protocol = shells(1000, 2500)
    signal = noisy(protocol, n_voxels=4, sd=5.0)
    table = gradient_table(protocol.bvals, bvecs=protocol.bvecs)
    direct = DiffusionKurtosisModel(table, fit_method=estimator.label.upper()).fit(signal)
    ours = fit_dki(signal, protocol, estimator).maps
    for name, value in (("md", direct.md), ("mk", direct.mk()), ("rk", direct.rk()), ("kfa", direct.kfa)):
        # dipy's own weighted solution is right to 1e-11, which kurtosis magnifies, that near 0 most.
        rtol, atol = (1e-9, 1e-10) if estimator.label == "wls" else (1e-10, 0.0)
        np.testing.assert_allclose(ours[name], value, rtol=rtol, atol=atol)


def test_isotropic_kurtosis_is_recovered():
    protocol, d, k = shells(1000, 2000), 0.9e-3, 0.8
    b = protocol.bvals
    signal = 500 * np.exp(-b * d + (b * d) ** 2 * k / 6)[None, :]
    fit = fit_dki(signal, protocol)
    for name in ("mk", "ak", "rk"):
        assert fit.maps[name][0] == pytest.approx(k, rel=1e-3)
    assert fit.maps["md"][0] == pytest.approx(d, rel=1e-6)
    assert fit.residual[0] == pytest.approx(0, abs=1e-4)


def test_gaussian_diffusion_has_no_kurtosis():
    protocol = shells(1000, 2500)
    fit = fit_dki(tensor_signal(protocol, DIAGONAL), protocol)
    assert abs(fit.maps["mk"][0]) < 1e-6
    assert abs(fit.maps["ak"][0]) < 1e-6


def test_high_b_values_do_not_touch_the_tensor():
    protocol = shells(1000, 3000)
    low = shells(1000)
    signal = noisy(protocol)
    both = fit_tensor(signal, protocol).maps
    alone = fit_tensor(signal[:, : low.n_measurements], low).maps
    np.testing.assert_array_equal(both["fa"], alone["fa"])


def test_unusable_voxels_are_nan_and_leave_the_others_alone():
    protocol = shells(1000)
    signal = noisy(protocol, n_voxels=5)
    bad = signal.copy()
    bad[1, 0] = 0.0
    bad[2, 5] = np.nan
    bad[3] = np.inf
    fit = fit_tensor(bad, protocol)
    assert fit.status.tolist() == [Status.OK, *[Status.UNUSABLE] * 3, Status.OK]
    assert np.isnan(fit.maps["fa"][1:4]).all()
    assert np.isnan(fit.residual[1:4]).all()
    np.testing.assert_array_equal(fit.maps["md"][[0, 4]], fit_tensor(signal, protocol).maps["md"][[0, 4]])


def test_all_voxels_unusable():
    protocol = shells(1000)
    fit = fit_tensor(np.zeros((3, protocol.n_measurements)), protocol)
    assert (fit.status == Status.UNUSABLE).all()
    assert set(fit.maps) == {p.name for p in (*TENSOR.parameters, *TENSOR.derived)}
    assert set(fit.sd) == set(fit.maps)


def test_raised_measurements_and_eigenvalues_are_told():
    protocol = shells(1000)
    signal = np.concatenate(
        [noisy(protocol, n_voxels=1), tensor_signal(protocol, np.diag([2e-3, 1e-3, -1e-4]))]
    )
    signal[0, 7] = 0.0
    assert fit_tensor(signal, protocol).status.tolist() == [Status.AT_BOUND, Status.AT_BOUND]


def test_a_measurement_of_zero_does_not_outweigh_the_others():
    protocol = shells(1000, n=60)
    signal = tensor_signal(protocol, np.diag([1e-3, 1e-3, 1e-3]))
    signal[0, 7] = 0.0
    assert fit_tensor(signal, protocol, Ols()).maps["md"][0] == pytest.approx(1e-3, rel=1e-6)


def test_permuted_voxels_and_measurements_give_the_same_maps():
    protocol = shells(1000)
    signal = noisy(protocol, n_voxels=6)
    order = np.random.default_rng(1).permutation(protocol.n_measurements)
    shuffled = DiffusionProtocol(protocol.bvals[order], protocol.bvecs[order])
    straight = fit_tensor(signal, protocol).maps
    other = fit_tensor(signal[::-1][:, order], shuffled).maps
    np.testing.assert_allclose(other["fa"][::-1], straight["fa"], rtol=1e-9)


def test_restore_takes_a_given_noise_level_and_resists_an_outlier():
    protocol = shells(1000, n=30)
    signal = tensor_signal(protocol, DIAGONAL) + np.random.default_rng(2).normal(0, 2, (1, 32))
    signal[0, 10] += 400
    robust = fit_tensor(signal, protocol, Restore(), sigma=2.0).maps["md"][0]
    plain = fit_tensor(signal, protocol, Ols()).maps["md"][0]
    assert abs(robust - 0.8e-3) < 0.1 * abs(plain - 0.8e-3)


def test_six_directions_and_one_b0_are_enough_but_not_for_restore():
    protocol = DiffusionProtocol(np.r_[0, np.full(6, 750.0)], np.r_[np.zeros((1, 3)), SIX])
    signal = tensor_signal(protocol, DIAGONAL)
    assert fit_tensor(signal, protocol).maps["md"][0] == pytest.approx(0.8e-3, rel=1e-6)
    with pytest.raises(InputError, match="leave none to reject"):
        fit_tensor(signal, protocol, Restore())


def test_two_shells_without_b0_are_enough():
    protocol = shells(500, 1200, n_b0=0)
    fit = fit_tensor(tensor_signal(protocol, DIAGONAL), protocol)
    assert fit.maps["s0"][0] == pytest.approx(1000, rel=1e-6)


@pytest.mark.parametrize(
    ("protocol", "seen"),
    [
        (DiffusionProtocol(np.array([0, 1000.0])), "directions are not known"),
        (shells(1000, n=5), "5 different directions"),
        (shells(1000, n_b0=0), "1 different b-values"),
        (shells(2000, 3000, n=5), "0 different directions and 1 different b-values"),
        (DiffusionProtocol(np.full(8, 1000.0), 2 * directions(8)), "not unit vectors"),
    ],
)
def test_protocols_that_cannot_determine_a_tensor_are_named(protocol, seen):
    with pytest.raises(InputError, match=seen):
        fit_tensor(np.ones((1, protocol.n_measurements)), protocol)


def test_opposite_directions_count_once():
    g = np.concatenate([np.zeros((1, 3)), directions(4), -directions(4)])
    protocol = DiffusionProtocol(np.r_[0, np.full(8, 1000.0)], g)
    with pytest.raises(InputError, match="4 different directions"):
        fit_tensor(np.ones((1, 9)), protocol)


def test_kurtosis_needs_two_shells():
    protocol = shells(1000)
    with pytest.raises(InputError, match="kurtosis tensor: 15 directions"):
        fit_dki(tensor_signal(protocol, DIAGONAL), protocol)


def test_wrong_number_of_images_is_named():
    with pytest.raises(InputError, match="one column per measurement"):
        fit_tensor(np.ones((2, 3)), shells(1000))


def test_models_that_are_no_power_series_are_refused():
    with pytest.raises(InputError, match="not a power series"):
        Wls()._fit(IVIM, np.ones((1, 22)), shells(1000), None, None, EVEN)


def awkward(protocol: DiffusionProtocol, kurtosis: float, n_voxels: int = 60) -> np.ndarray:
    """Return magnitudes of tissues of all orientations, with zeros, steps, outliers and voxels of noise."""
    rng = np.random.default_rng(5)
    vectors = np.linalg.qr(rng.normal(size=(n_voxels, 3, 3)))[0]
    values = rng.uniform(0.2e-3, 2.2e-3, (n_voxels, 3))
    tensors = (vectors * values[:, None]) @ vectors.transpose(0, 2, 1)
    x = protocol.bvals * np.einsum("ni,vij,nj->vn", protocol.bvecs, tensors, protocol.bvecs)
    noise = 1000 / rng.choice([5, 10, 20, 50], n_voxels)[:, None] * rng.normal(size=(2, *x.shape))
    signal = np.hypot(1000 * np.exp(-x + kurtosis / 6 * x**2) + noise[0], noise[1])
    signal[0, -3] = 0.0
    signal[1, -8:] = 0.0
    signal[2, 2:] = np.round(signal[2, 2:] / 200) * 200
    signal[3] *= 1e-7
    signal[4, -5] = -7.0
    signal[5, -6] *= 1e3
    signal[6] = np.abs(rng.normal(0, 10, x.shape[1])) + 1e-3
    signal[7, 2:12] *= 1e-6
    signal[8, 2:] = 1e-3
    return signal


def by_dipy(model: Cumulants, label: str, signal: np.ndarray, protocol: DiffusionProtocol) -> dict[str, Any]:
    """Return dipy's maps of single voxels, with zeros raised to the least positive of each."""
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dki import DiffusionKurtosisModel
    from dipy.reconst.dti import TensorModel

    table = gradient_table(protocol.bvals, bvecs=protocol.bvecs)
    made = TensorModel if model is TENSOR else DiffusionKurtosisModel
    theirs = made(table, fit_method=label.upper(), return_S0_hat=True)
    least = np.min(signal, axis=1, initial=np.inf, where=signal > 0, keepdims=True)
    fits = [theirs.fit(voxel) for voxel in np.maximum(signal, least)]
    values = {"s0": np.array([float(np.squeeze(fit.model_S0)) for fit in fits])}
    for p in model.derived:
        found = [getattr(fit, p.name) for fit in fits]
        values[p.name] = np.array([float(np.squeeze(f() if callable(f) else f)) for f in found])
    return values


@LINEAR
@pytest.mark.parametrize("model", [TENSOR, KURTOSIS], ids=["dti", "dki"])
def test_every_awkward_voxel_equals_dipy(model: Cumulants, estimator: TensorFit):
    protocol = shells(1000) if model is TENSOR else shells(1000, 2000, n=32)
    signal = awkward(protocol, 0.0 if model is TENSOR else 0.8)
    ours = estimator.fit(model, signal, protocol)
    assert (ours.status != Status.UNUSABLE).all()
    for name, theirs in by_dipy(model, estimator.label, signal, protocol).items():
        scale = np.abs(theirs) + (1e-3 if name in ("fa", "mk", "ak", "rk", "kfa") else 0.0)
        # Two voxels have one signal but for b = 0; their anisotropies are what rounding leaves.
        good = ~np.isin(np.arange(len(theirs)), (3, 8)) if name in ("fa", "kfa") else slice(None)
        assert np.abs((ours.maps[name] - theirs) / scale)[good].max() < 1e-9, name


@ALL_FITS
def test_order_and_company_of_voxels_do_not_matter(estimator: TensorFit, monkeypatch: pytest.MonkeyPatch):
    protocol = shells(1000, 2000, n=32)
    signal = noisy(protocol, n_voxels=300 if estimator in FITS[:2] else 40)
    whole = fit_dki(signal, protocol, estimator)
    order = np.random.default_rng(1).permutation(len(signal))
    monkeypatch.setattr(normal_equations, "BLOCK_BYTES", 1)
    shuffled = fit_dki(signal[order], protocol, estimator)
    for name in whole.maps:
        np.testing.assert_allclose(shuffled.maps[name], whole.maps[name][order], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(shuffled.sd[name], whole.sd[name][order], rtol=1e-5, atol=1e-12)
    np.testing.assert_array_equal(shuffled.status, whole.status[order])


@ALL_FITS
def test_elements_predict_what_was_fitted(estimator: TensorFit):
    protocol = shells(1000, 2500, n=32)
    signal = noisy(protocol, n_voxels=5)
    fit = fit_dki(signal, protocol, estimator)
    predicted = KURTOSIS.predict(fit.maps, protocol)
    assert predicted is not None
    np.testing.assert_allclose(np.sqrt(np.mean((signal - predicted) ** 2, axis=1)), fit.residual, rtol=1e-9)


def test_what_cannot_be_known_has_no_standard_deviation():
    protocol = shells(1000)
    raised = tensor_signal(protocol, np.diag([2e-3, 1e-3, -1e-4]))
    isotropic = np.vstack([raised, 1000 * np.exp(-protocol.bvals * 1e-3)])
    fit = fit_tensor(isotropic, protocol, sigma=1.0)
    for name in ("fa", "md", "ad", "rd", "dxx"):
        assert np.isnan(fit.sd[name][0])
    assert np.isfinite(fit.sd["s0"]).all()
    assert np.isfinite(fit.sd["md"][1])
    six = DiffusionProtocol(np.r_[0, np.full(6, 750.0)], np.r_[np.zeros((1, 3)), SIX])
    signal = tensor_signal(six, DIAGONAL) + np.random.default_rng(0).normal(0, 1, 7)
    assert np.isnan(fit_tensor(signal, six).sd["md"]).all()
    assert np.isfinite(fit_tensor(signal, six, sigma=1.0).sd["md"]).all()


@LINEAR
def test_noise_levels_of_single_voxels(estimator: TensorFit):
    protocol = shells(1000)
    signal = noisy(protocol, n_voxels=3)
    each = fit_tensor(signal, protocol, estimator, sigma=np.array([1.0, 2.0, 4.0])).sd["md"]
    common = fit_tensor(signal, protocol, estimator, sigma=1.0).sd["md"]
    # Scatter is of first order in the noise; the bias, much less here, of second.
    np.testing.assert_allclose(each, common * [1, 2, 4], rtol=1e-3)


def test_a_search_that_ran_away_is_not_taken_for_an_estimate() -> None:
    """Signals of noise alone, but for b = 0: dipy's search ends at diffusivities that no fluid has."""
    protocol = DiffusionProtocol([0.0, *([1000.0] * 12)], np.concatenate([np.zeros((1, 3)), directions(12)]))
    rng = np.random.default_rng(5)
    signal = np.abs(rng.standard_normal((400, 13))) * 1e-3
    signal[:, 0] = 1.0
    found = fit_tensor(signal, protocol, Nlls())
    lost = found.maps["ad"] > 0.01
    assert lost.any()
    assert np.all(found.status[lost] == Status.NOT_CONVERGED)
    assert not np.any(found.status[~lost] == Status.NOT_CONVERGED)


def test_restore_says_before_any_voxel_is_read_that_a_series_is_too_short() -> None:
    protocol = DiffusionProtocol([0.0, *([1000.0] * 6)], np.concatenate([np.zeros((1, 3)), SIX]))
    with pytest.raises(InputError, match="7 measurements leave none to reject"):
        Restore().prepare(TENSOR, protocol)
    Wls().prepare(TENSOR, protocol)
