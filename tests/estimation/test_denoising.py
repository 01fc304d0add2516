"""Denoising by MPPCA: what noise it leaves is told, and error bars of fits of what it gives hold."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter

from bids_qmri.errors import InputError
from bids_qmri.estimation import denoising
from bids_qmri.estimation.denoising import Denoised, denoise, patch_radius
from bids_qmri.units import FloatArray

SEED = 301
"""Not one with which the method was chosen."""


def _smooth(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Return a field of unit variance that varies over a few voxels."""
    field = gaussian_filter(rng.normal(size=shape), [1.5 if n > 1 else 0 for n in shape])
    return np.asarray(field / field.std())


def _decays(shape: tuple[int, ...], count: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return signals of two decaying parts, and their Jacobian by amplitude, fraction and slow rate."""
    rng = np.random.default_rng(seed)
    b = np.concatenate([[0, 0], np.linspace(0.01, 0.8, count - 2)])
    amplitude = (100 * (1 + 0.3 * np.tanh(_smooth(shape, rng))))[..., np.newaxis]
    fraction = (0.15 + 0.06 * np.tanh(_smooth(shape, rng)))[..., np.newaxis]
    slow = np.exp(-b * (1.2 * np.exp(0.25 * _smooth(shape, rng)))[..., np.newaxis])
    fast = np.exp(-25 * b)
    jacobian = [
        (1 - fraction) * slow + fraction * fast,
        amplitude * (fast - slow),
        -b * amplitude * (1 - fraction) * slow,
    ]
    return amplitude * jacobian[0], np.stack(jacobian, axis=-1)


def _noisy(signal: FloatArray, sigma: float, seed: int) -> FloatArray:
    return signal + sigma * np.random.default_rng(seed).normal(size=signal.shape)


def _over_patches(values: FloatArray, found: Denoised) -> FloatArray:
    return np.asarray(uniform_filter(values, [2 * r + 1 for r in found.radius]))


@pytest.mark.parametrize(
    ("shape", "count", "snr"),
    [
        ((16, 16, 8), 16, 30),
        ((14, 14, 10), 60, 10),
        ((24, 24, 1), 16, 30),
        ((24, 24, 2), 24, 10),
        ((20, 20, 3), 40, 20),
        ((24, 6, 20), 12, 20),
    ],
)
def test_the_noise_that_remains_is_told(shape: tuple[int, ...], count: int, snr: float) -> None:
    signal, _ = _decays(shape, count, SEED)
    sigma = 100 / snr
    runs = [denoise(_noisy(signal, sigma, SEED + k)) for k in range(1, 7)]
    true = np.var([run.images for run in runs], axis=0, ddof=1).mean(axis=-1)
    ratio = np.stack([run.remaining for run in runs]) / np.sqrt(_over_patches(true, runs[0]))
    assert np.median(ratio) == pytest.approx(1, abs=0.1)
    assert np.percentile(ratio, 10) > 0.75
    assert np.percentile(ratio, 90) < 1.3
    assert np.median(runs[0].sigma) == pytest.approx(sigma, rel=0.05)
    assert np.median(runs[0].remaining) < 0.6 * sigma


@pytest.mark.parametrize(("shape", "count", "snr"), [((16, 16, 8), 16, 30), ((24, 24, 1), 40, 20)])
def test_error_bars_of_fits_hold(shape: tuple[int, ...], count: int, snr: float) -> None:
    """They are made with the noise before: what remains lies along the components that were kept."""
    signal, jacobian = _decays(shape, count, SEED + 10)
    inverse = np.linalg.inv(np.einsum("...nk,...nl->...kl", jacobian, jacobian))
    unit_sd = np.sqrt(np.diagonal(inverse, axis1=-2, axis2=-1))
    covered, naive = [], []
    for k in range(3):
        found = denoise(_noisy(signal, 100 / snr, SEED + 11 + k))
        error = np.einsum("...kl,...nl,...n->...k", inverse, jacobian, found.images - signal)
        for scatter, shares in ((found.sigma, covered), (found.remaining, naive)):
            shares.append(np.mean(np.abs(error) < scatter[..., np.newaxis] * unit_sd, axis=(0, 1, 2)))
    assert np.mean(covered, axis=0).min() > 0.66
    assert np.mean(naive, axis=0).min() < 0.45


def test_the_floor_of_magnitudes_stays() -> None:
    """Where there is no signal the mean of magnitudes is 1.253 times the noise, denoised or not."""
    rng = np.random.default_rng(SEED)
    signal, _ = _decays((20, 20, 8), 20, SEED)
    signal[:10] = 0
    noise = rng.normal(size=(2, *signal.shape))
    magnitudes = np.hypot(signal + 4 * noise[0], 4 * noise[1])
    found = denoise(magnitudes)
    inside = found.images[2:7, 3:-3, 3:-3]
    assert inside.mean() == pytest.approx(4 * 1.2533, rel=0.02)
    assert inside.std() < 0.5 * magnitudes[2:7, 3:-3, 3:-3].std()


def test_signal_that_is_taken_for_noise_is_noticed() -> None:
    """A single voxel of a kind of its own is no component of its patch."""
    signal, _ = _decays((14, 14, 10), 30, SEED)
    signal[7, 7, 5] += 9 * np.cos(np.arange(30))
    found = denoise(_noisy(signal, 5, 1))
    assert found.denoised_fraction(np.ones(signal.shape[:3], dtype=bool)) == pytest.approx(0.95, abs=0.07)
    assert found.removed[7, 7, 5] > 1.5


def test_what_is_removed_looks_like_noise() -> None:
    signal, _ = _decays((16, 16, 10), 30, SEED)
    noisy = _noisy(signal, 5, 2)
    residual = noisy - denoise(noisy).images
    residual -= residual.mean(axis=(0, 1, 2))
    neighbours = np.mean(residual[1:] * residual[:-1]) / np.mean(residual**2)
    assert abs(neighbours) < 0.05
    with_signal = np.corrcoef(residual.ravel(), (signal - signal.mean(axis=(0, 1, 2))).ravel())[0, 1]
    assert abs(with_signal) < 0.05


def test_slabs_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = _noisy(_decays((12, 40, 6), 12, SEED)[0], 5, 3)
    whole = denoise(noisy)
    monkeypatch.setattr(denoising, "SLAB_BYTES", 1)
    parts = denoise(noisy)
    np.testing.assert_allclose(parts.images, whole.images, rtol=1e-5)
    np.testing.assert_allclose(np.median(parts.remaining), np.median(whole.remaining), rtol=0.1)


def test_memory_stays_within_what_is_said() -> None:
    noisy = _noisy(_decays((16, 16, 10), 20, SEED)[0], 5, 4).astype(np.float32)
    denoise(noisy)
    tracemalloc.start()
    denoise(noisy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (2 + 8) * noisy.nbytes + (1 << 20)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float64])
def test_whole_numbers_are_not_cut(kind: type) -> None:
    counts = np.round(_noisy(_decays((10, 10, 8), 12, SEED)[0], 5, 5))
    found = denoise(counts.astype(kind))
    np.testing.assert_array_equal(found.images, denoise(counts.astype(np.float32)).images)
    assert found.images.dtype == np.float32
    assert np.mean(found.images == np.round(found.images)) < 0.05


def test_zeros_and_voxels_that_are_not_finite_cost_no_other() -> None:
    noisy = _noisy(_decays((14, 14, 8), 12, SEED)[0], 5, 6)
    noisy[:6] = 0
    noisy[10, 10, 4, 3] = np.nan
    found = denoise(noisy)
    assert np.isnan(found.images[10, 10, 4, 3])
    assert np.isnan(found.images).sum() == 1
    np.testing.assert_array_equal(found.images[10, 10, 4], noisy[10, 10, 4].astype(np.float32))
    for values in (found.sigma, found.remaining, found.removed):
        assert np.isfinite(values).all()
    np.testing.assert_array_equal(found.images[:2], 0)


def test_a_level_that_a_patch_does_not_tell_is_that_of_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    def untold(data: FloatArray, **_: object) -> tuple[FloatArray, FloatArray]:
        level = np.full(data.shape[:3], 5.0)
        level[:3] = np.nan
        return data, level

    monkeypatch.setattr("dipy.denoise.localpca.mppca", untold)
    found = denoise(np.ones((8, 8, 6, 12)))
    assert np.isfinite(found.sigma).all()
    assert np.isfinite(found.remaining).all()


def test_what_was_given_is_not_changed() -> None:
    noisy = _noisy(_decays((8, 8, 6), 12, SEED)[0], 5, 7).astype(np.float32)
    noisy[0, 0, 0, 0] = np.inf
    before = noisy.copy()
    denoise(noisy)
    np.testing.assert_array_equal(noisy, before)


@pytest.mark.parametrize(
    ("shape", "count", "radius"),
    [
        ((96, 96, 60), 65, (2, 2, 2)),
        ((96, 96, 60), 200, (3, 2, 3)),
        ((96, 96, 1), 16, (2, 2, 0)),
        ((96, 96, 1), 60, (4, 3, 0)),
        ((96, 96, 2), 30, (3, 2, 0)),
        ((96, 96, 3), 60, (2, 2, 1)),
        ((96, 96, 4), 100, (3, 2, 1)),
        ((4, 96, 96), 30, (1, 2, 2)),
    ],
)
def test_patches_hold_more_voxels_than_there_are_images(
    shape: tuple[int, ...], count: int, radius: tuple[int, ...]
) -> None:
    found = patch_radius(shape, count)
    assert sorted(found) == sorted(radius)
    assert all(2 * r + 1 <= size for r, size in zip(found, shape, strict=True))
    assert np.prod([2 * r + 1 for r in found]) > count


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 8, 8, 9), "has 9 images"),
        ((5, 5, 1, 30), "5 x 5 x 1 voxels are smaller than 30 images"),
        ((8, 8, 30), "has 3 dimensions"),
    ],
)
def test_what_cannot_be_denoised_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        denoise(np.ones(shape, dtype=np.float32))


def test_complex_images_are_refused() -> None:
    with pytest.raises(InputError, match="complex64"):
        denoise(np.ones((8, 8, 8, 12), dtype=np.complex64))
