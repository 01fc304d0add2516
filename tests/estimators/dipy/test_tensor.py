from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.dipy.tensor import METHODS, fit_dki, fit_tensor
from bids_qmri.physics.diffusion import DiffusionProtocol

TENSOR = np.diag([1.7e-3, 0.4e-3, 0.3e-3])


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
    clean = np.repeat(tensor_signal(protocol, TENSOR), n_voxels, axis=0)
    return np.abs(clean + np.random.default_rng(seed).normal(0, sd, clean.shape))


@pytest.mark.parametrize("method", METHODS)
def test_noise_free_tensor_is_recovered(method):
    protocol = shells(1000)
    fit = fit_tensor(tensor_signal(protocol, TENSOR), protocol, method=method)
    assert fit.maps["md"][0] == pytest.approx(0.8e-3, rel=1e-6)
    assert fit.maps["ad"][0] == pytest.approx(1.7e-3, rel=1e-6)
    assert fit.maps["rd"][0] == pytest.approx(0.35e-3, rel=1e-6)
    assert fit.maps["s0"][0] == pytest.approx(1000, rel=1e-6)
    assert fit.residual[0] == pytest.approx(0, abs=1e-4)
    assert fit.status.tolist() == [Status.OK]


def test_fractional_anisotropy_follows_its_definition():
    protocol = shells(1000)
    values = np.diag(TENSOR)
    expected = np.sqrt(1.5 * np.sum((values - values.mean()) ** 2) / np.sum(values**2))
    assert fit_tensor(tensor_signal(protocol, TENSOR), protocol).maps["fa"][0] == pytest.approx(expected)


@pytest.mark.parametrize("method", METHODS)
def test_equals_dipy_called_directly(method):
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    protocol = shells(1000)
    signal = noisy(protocol)
    model = TensorModel(gradient_table(protocol.bvals, bvecs=protocol.bvecs), fit_method=method.upper())
    direct, ours = model.fit(signal), fit_tensor(signal, protocol, method=method)
    np.testing.assert_allclose(ours.maps["fa"], direct.fa, rtol=1e-12)
    np.testing.assert_allclose(ours.maps["md"], direct.md, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_kurtosis_equals_dipy_called_directly(method):
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dki import DiffusionKurtosisModel

    protocol = shells(1000, 2500)
    signal = noisy(protocol, n_voxels=4, sd=5.0)
    table = gradient_table(protocol.bvals, bvecs=protocol.bvecs)
    direct = DiffusionKurtosisModel(table, fit_method=method.upper()).fit(signal)
    ours = fit_dki(signal, protocol, method=method).maps
    for name, value in (("md", direct.md), ("mk", direct.mk()), ("rk", direct.rk()), ("kfa", direct.kfa)):
        np.testing.assert_allclose(ours[name], value, rtol=1e-10)


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
    fit = fit_dki(tensor_signal(protocol, TENSOR), protocol)
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
    assert set(fit.maps) == {"fa", "md", "ad", "rd", "s0"}


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
    assert fit_tensor(signal, protocol, method="ols").maps["md"][0] == pytest.approx(1e-3, rel=1e-6)


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
    signal = tensor_signal(protocol, TENSOR) + np.random.default_rng(2).normal(0, 2, (1, 32))
    signal[0, 10] += 400
    robust = fit_tensor(signal, protocol, sigma=2.0, method="restore").maps["md"][0]
    plain = fit_tensor(signal, protocol, method="ols").maps["md"][0]
    assert abs(robust - 0.8e-3) < 0.1 * abs(plain - 0.8e-3)


def test_six_directions_and_one_b0_are_enough_but_not_for_restore():
    six = np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1]]) / 2**0.5
    protocol = DiffusionProtocol(np.r_[0, np.full(6, 750.0)], np.r_[np.zeros((1, 3)), six])
    signal = tensor_signal(protocol, TENSOR)
    assert fit_tensor(signal, protocol).maps["md"][0] == pytest.approx(0.8e-3, rel=1e-6)
    with pytest.raises(InputError, match="leave none to reject"):
        fit_tensor(signal, protocol, method="restore")


def test_two_shells_without_b0_are_enough():
    protocol = shells(500, 1200, n_b0=0)
    fit = fit_tensor(tensor_signal(protocol, TENSOR), protocol)
    assert fit.maps["s0"][0] == pytest.approx(1000, rel=1e-6)


@pytest.mark.parametrize(
    ("protocol", "seen"),
    [
        (DiffusionProtocol(np.array([0, 1000.0])), "directions are not known"),
        (shells(1000, n=5), "5 different directions"),
        (shells(1000, n_b0=0), "1 different b-values"),
        (shells(2000, 3000), "0 different directions and 1 different b-values"),
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
        fit_dki(tensor_signal(protocol, TENSOR), protocol)


def test_wrong_number_of_images_is_named():
    with pytest.raises(InputError, match="one image per b-value"):
        fit_tensor(np.ones((2, 3)), shells(1000))


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="none of"):
        fit_tensor(np.ones((1, 22)), shells(1000), method="magic")  # type: ignore[arg-type]
