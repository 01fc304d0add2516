"""The noise of a scan: air has the floor, tissue the scatter; what is no air, and what disagrees, is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bids_qmri.errors import InputError
from bids_qmri.estimation.noise import (
    Air,
    ScanNoise,
    air_floor,
    combine,
    local_scatter,
    noise_of_map,
    patch_sigma,
)
from bids_qmri.estimators.classical.noise import Residuals
from bids_qmri.physics.noise import Noise, add_rician_noise
from bids_qmri.units import FloatArray

MASK = np.ones(100, dtype=bool)
MAP = Path("sub-01_noise.nii.gz")


def rayleigh(sigma: float, voxels: int = 4000, images: int = 8) -> FloatArray:
    return add_rician_noise(np.zeros((voxels, images)), sigma, np.random.default_rng(1))


@pytest.mark.parametrize("sigma", [1e-6, 1.0, 37.0])
def test_air_has_the_floor(sigma: float) -> None:
    air = air_floor(rayleigh(sigma))
    assert air is not None
    assert air.floor == pytest.approx(sigma, rel=0.05)
    assert air.variation == pytest.approx(0.5227, rel=0.05)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 5.0])
def test_air_that_is_rounded_to_integers_has_it_too(sigma: float) -> None:
    air = air_floor(np.rint(rayleigh(sigma)))
    assert air is not None
    assert air.floor == pytest.approx(sigma, rel=0.05)


def test_ghosts_in_some_voxels_do_not_raise_it() -> None:
    signal = rayleigh(3.0)
    signal[:1200] = add_rician_noise(np.full((1200, 8), 20.0), 3.0, np.random.default_rng(2))
    air = air_floor(signal)
    assert air is not None
    assert air.floor == pytest.approx(3.0, rel=0.1)


def test_what_is_no_air_tells_nothing() -> None:
    signal = rayleigh(3.0)
    zeros, few, object_ = np.zeros_like(signal), signal[:100], 100.0 + signal
    smooth = gaussian_filter(signal.reshape(20, 20, 10, 8), (3, 3, 3, 0)).reshape(signal.shape)
    partly = np.where(np.arange(4000)[:, None] % 40 == 0, signal, 0.0)
    for background in (zeros, few, object_, smooth, partly, np.full_like(signal, np.nan), np.empty((0, 8))):
        assert air_floor(background) is None


def patches(sigma: float, rank: int, images: int, count: int = 12) -> list[FloatArray]:
    """Return patches of 125 voxels whose signals have some components in common."""
    rng = np.random.default_rng(3)
    signals = [
        100 + 20 * rng.normal(size=(125, rank)) @ rng.normal(size=(rank, images)) for _ in range(count)
    ]
    return [signal + sigma * rng.normal(size=signal.shape) for signal in signals]


@pytest.mark.parametrize(("rank", "images"), [(1, 12), (3, 30), (5, 100)])
@pytest.mark.parametrize("sigma", [0.5, 5.0])
def test_patches_of_few_components_have_the_noise_that_was_added(
    sigma: float, rank: int, images: int
) -> None:
    assert patch_sigma(patches(sigma, rank, images)) == pytest.approx(sigma, rel=0.1)


def test_too_few_images_or_patches_with_holes_tell_nothing() -> None:
    assert patch_sigma(patches(1.0, 1, 8)) is None
    assert patch_sigma([]) is None
    assert patch_sigma([np.full((125, 30), np.nan)] * 5) is None


GRID = (32, 24, 8)


def residuals(noise: FloatArray, freedom: int = 6) -> Residuals:
    """Return residuals of voxels of given noise, (V,)."""
    cost = noise**2 * np.random.default_rng(4).chisquare(freedom, noise.size)
    return Residuals(cost, np.full(noise.size, freedom), None, np.arange(noise.size))


def test_scatter_follows_noise_that_doubles_from_left_to_right() -> None:
    positions = np.stack(np.unravel_index(np.arange(np.prod(GRID)), GRID, order="F"), axis=1)
    truth = 1.0 + positions[:, 0] / (GRID[0] - 1)
    sampled = np.sort(np.random.default_rng(5).choice(truth.size, 3000, replace=False))
    mask = np.ones(truth.size, dtype=bool)
    at = positions[sampled].astype(float)
    found = local_scatter(residuals(truth[sampled]), at, GRID, mask, (1.0, 1.0, 1.0), None)
    # 32 voxels of 6 degrees of freedom tell a median to 8 percent.
    assert np.mean(np.abs(found / truth - 1.0) < 0.25) > 0.97
    assert np.median(found / truth) == pytest.approx(1.0, abs=0.05)


def test_scatter_is_told_in_the_mask_alone() -> None:
    mask = np.random.default_rng(6).random(int(np.prod(GRID))) < 0.3
    inside = np.flatnonzero(mask)
    positions = np.stack(np.unravel_index(inside, GRID, order="F"), axis=1).astype(float)
    found = local_scatter(residuals(np.full(inside.size, 2.0)), positions, GRID, mask, (2.0, 2.0, 4.0), None)
    assert np.all(found[mask] > 0)
    assert np.all(found[~mask] == 0)


def test_air_goes_before_patches_and_patches_before_residuals() -> None:
    scatter = np.full(100, 3.0, dtype=np.float32)
    both = combine(scatter, MASK, Air(2.0, 500, 0.52), 2.2, 400)
    assert (both.floor, both.found["NoiseFloorFrom"]) == (2.0, "air, 500 voxels")
    assert combine(scatter, MASK, None, 2.2, 400).floor == 2.2
    none = combine(scatter, MASK, None, None, 400)
    assert (none.floor, none.found["NoiseFloorIs"]) == (3.0, "unsure")
    assert not both.warnings


def test_nothing_scatters_less_than_its_thermal_noise() -> None:
    scatter = np.linspace(1.0, 5.0, 100).astype(np.float32)
    found = combine(scatter, MASK, Air(2.0, 500, 0.52), None, 400)
    assert np.min(found.scatter) == 2.0
    alone = combine(1.0, MASK, Air(1.2, 500, 0.52), None, 400)
    assert (alone.floor, alone.scatter) == (1.0, 1.2)


@pytest.mark.parametrize(("air", "patch", "scatter"), [(2.0, 1.0, 3.0), (2.0, 4.0, 5.0), (2.0, None, 1.0)])
def test_two_ways_that_disagree_are_a_warning(air: float, patch: float | None, scatter: float) -> None:
    found = combine(np.full(100, scatter, np.float32), MASK, Air(air, 500, 0.52), patch, 400)
    [warning] = found.warnings
    assert "noise floor 2 by air" in warning
    assert "--noise" in warning


def test_fields_are_medians_over_the_mask() -> None:
    mask = np.arange(100) < 50
    scatter = np.where(mask, 3.0, 0.0).astype(np.float32)
    fields = combine(scatter, mask, Air(2.0, 500, 0.52), None, 400).fields(mask)
    assert (fields["NoiseLevel"], fields["NoiseFloor"]) == (3.0, 2.0)
    assert {"NoiseFloorFrom", "NoiseScatterFrom"} <= fields.keys()


def test_stated_noise_is_what_was_stated() -> None:
    noise = ScanNoise.told(Noise(1.0, np.array([2.0, 3.0])))
    at = noise.at(np.array([1]))
    assert (at.floor, at.scatter) == (1.0, [3.0])
    assert noise.fields(np.ones(2, dtype=bool))["NoiseFloorFrom"] == "stated"


def test_a_map_is_the_noise_where_it_covers_the_mask() -> None:
    values = np.linspace(1.0, 2.0, 100)
    values[3] = 0.0
    noise = noise_of_map(MAP, values, MASK, np.array([80.0, 40.0]))
    np.testing.assert_allclose(noise.scatter[4:], values[4:])
    assert np.all(noise.scatter > 0)
    np.testing.assert_array_equal(noise.floor, noise.scatter)
    assert noise.found["NoiseFloorFrom"] == MAP


@pytest.mark.parametrize("factor", [1e-6, 1e3])
def test_a_map_in_another_unit_is_refused(factor: float) -> None:
    with pytest.raises(InputError, match="in the unit of the images") as caught:
        noise_of_map(MAP, np.full(100, 2.0 * factor), MASK, np.array([80.0, 40.0]))
    assert caught.value.file == MAP


@pytest.mark.parametrize("hole", [0.0, -1.0, np.nan])
def test_a_map_that_leaves_out_much_of_the_mask_is_refused(hole: float) -> None:
    values = np.full(100, 2.0)
    values[:15] = hole
    with pytest.raises(InputError, match="15% of the mask") as caught:
        noise_of_map(MAP, values, MASK, np.array([80.0]))
    assert "--noise" in str(caught.value.fix)
