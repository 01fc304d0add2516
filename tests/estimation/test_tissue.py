"""The automatic mask on simulated bodies, vials and crops of known extent."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.estimation.tissue import Mask, tissue_mask
from bids_qmri.units import FloatArray

SEEDS = (101, 102, 103)
"""Not those with which the thresholds were chosen."""


def _grid(shape: tuple[int, int, int]) -> list[FloatArray]:
    sides = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape]
    return np.meshgrid(*sides, indexing="ij")


def _noisy(signal: FloatArray, sigma: float, seed: int, n_images: int = 1) -> FloatArray:
    """Return the mean of magnitude images."""
    rng = np.random.default_rng(seed)
    noise = sigma * rng.normal(size=(2, n_images, *signal.shape))
    return np.hypot(signal + noise[0], noise[1]).mean(axis=0)


def _body(shape: tuple[int, int, int]) -> tuple[FloatArray, Mask]:
    """Return a trunk with fat, muscle, organs and gas, two arms beside it, and where they are."""
    x, y, _ = _grid(shape)

    def ellipse(cx: float, cy: float, a: float, b: float) -> Mask:
        return np.asarray(((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1)

    signal = np.zeros(shape)
    trunk, arms = ellipse(0, 0, 0.68, 0.55), ellipse(-0.87, -0.1, 0.1, 0.16) | ellipse(0.87, -0.1, 0.1, 0.16)
    signal[trunk], signal[arms] = 0.9, 0.4
    for value, where in (
        (0.35, (0, 0, 0.6, 0.47)),
        (0.5, (-0.25, 0, 0.28, 0.32)),
        (1.0, (0.3, 0.1, 0.12, 0.18)),
        (0.8, (0.05, -0.3, 0.07, 0.07)),
        (0.03, (0.3, -0.18, 0.15, 0.12)),
    ):
        signal[ellipse(*where)] = value
    return signal, trunk | arms


def dice(one: Mask, other: Mask) -> float:
    """Return the overlap of two masks."""
    return float(2 * np.sum(one & other) / (one.sum() + other.sum()))


def background(mask: Mask, truth: Mask) -> float:
    """Return the share of a mask that is not of the object."""
    return float(np.sum(mask & ~truth) / mask.sum())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_images", [1, 6])
@pytest.mark.parametrize("snr", [5, 10, 40])
@pytest.mark.parametrize("shape", [(128, 112, 1), (64, 64, 8), (64, 48, 24)])
def test_a_body_with_gas_and_arms_is_taken_whole(
    shape: tuple[int, int, int], snr: float, n_images: int, seed: int
) -> None:
    signal, truth = _body(shape)
    mean = _noisy(signal, 0.35 / snr, seed, n_images)
    mask = tissue_mask(mean, mean > 0, n_images)
    assert dice(mask, truth) > 0.98
    assert background(mask, truth) < 0.02


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_may_lie_along_any_axis(axis: int) -> None:
    signal, truth = _body((80, 72, 6))
    mean = np.moveaxis(_noisy(signal, 0.02, 5), 2, axis)
    assert dice(tissue_mask(mean, mean > 0), np.moveaxis(truth, 2, axis)) > 0.98


def test_the_scale_of_the_signal_does_not_matter() -> None:
    signal, _ = _body((64, 64, 1))
    mean = _noisy(signal, 0.03, 6)
    np.testing.assert_array_equal(tissue_mask(mean, mean > 0), tissue_mask(4096 * mean, mean > 0))


def test_a_coil_at_the_front_does_not_cost_the_back() -> None:
    signal, truth = _body((96, 80, 1))
    mean = _noisy(signal * np.exp(-0.8 * (1 + _grid(signal.shape)[1])), 0.35 / 15, 7)
    mask = tissue_mask(mean, mean > 0)
    assert np.sum(truth & ~mask) < 0.01 * truth.sum()


def test_many_small_vials_are_kept_beside_a_large_bottle() -> None:
    x, y, z = _grid((96, 96, 20))
    vials = np.zeros(x.shape, dtype=bool)
    for turn in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        vials |= (x - 0.75 * np.cos(turn)) ** 2 + (y - 0.75 * np.sin(turn)) ** 2 < 0.05**2
    vials &= np.abs(z) < 0.3
    bottle = x**2 + y**2 < 0.4**2
    mean = _noisy(0.4 * vials + bottle, 0.02, 8)
    mask = tissue_mask(mean, mean > 0)
    assert np.sum(vials) / 12 < 0.01 * np.sum(bottle)
    assert np.all(mask[vials])
    assert np.all(mask[bottle])


def test_two_breasts_of_different_size_are_both_kept() -> None:
    x, y, _ = _grid((128, 64, 16))
    truth = ((x + 0.5) ** 2 + y**2 < 0.16) | ((x - 0.5) ** 2 + y**2 < 0.04)
    mean = _noisy(0.5 * truth, 0.03, 9)
    assert dice(tissue_mask(mean, mean > 0), truth) > 0.98


def test_a_faint_ghost_apart_from_the_object_is_left_out() -> None:
    signal, truth = _body((128, 112, 1))
    ghost = np.zeros_like(truth)
    ghost[50:60, 105:108] = True
    mean = _noisy(signal + 0.12 * ghost, 0.01, 10, 6)
    mask = tissue_mask(mean, mean > 0, 6)
    assert not np.any(mask & ghost)
    assert dice(mask, truth) > 0.98


def test_tissue_of_three_times_the_noise_is_found() -> None:
    x, y, _ = _grid((40, 42, 5))
    truth = x**2 + y**2 < 0.2
    mean = _noisy(3.0 * truth, 1.0, 11)
    mask = tissue_mask(mean, mean > 0)
    assert np.mean(mask[truth]) > 0.95
    assert np.mean(mask[~truth]) < 0.05


def test_a_crop_without_air_is_kept_whole_though_fluid_is_bright() -> None:
    rng = np.random.default_rng(12)
    mean = rng.uniform(60, 300, (30, 30, 20))
    mean[12:16, 12:16] = 1500
    assert tissue_mask(mean, mean > 0).all()


def test_noisy_tissue_that_fills_the_view_is_not_taken_for_air() -> None:
    mean = _noisy(np.full((32, 32, 8), 4.0), 1.0, 13)
    mean[14:18, 14:18] = 20
    assert tissue_mask(mean, mean > 0).all()


def test_air_that_was_set_to_zero_costs_no_tissue() -> None:
    signal, truth = _body((64, 64, 1))
    mean = np.where(truth, _noisy(signal, 0.02, 14) + 0.04, 0)
    np.testing.assert_array_equal(tissue_mask(mean, mean > 0), truth)


def test_voxels_that_cannot_be_used_stay_out_and_cost_no_neighbour() -> None:
    signal, truth = _body((64, 64, 1))
    mean = _noisy(signal, 0.02, 15)
    usable = np.ones(mean.shape, dtype=bool)
    usable[30, 30] = False
    mean[30, 30] = np.nan
    mask = tissue_mask(mean, usable)
    assert not mask[30, 30].any()
    assert dice(mask, truth) > 0.98


def test_where_nothing_stands_out_all_that_is_usable_is_taken() -> None:
    mean = np.full((20, 20, 20), 7.0)
    assert tissue_mask(mean, mean > 0).all()
    assert not tissue_mask(mean, mean < 0).any()
