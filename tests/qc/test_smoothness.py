"""Spatial structure of residuals: none in white noise, the known one in smoothed noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bids_qmri.qc.smoothness import ResidualTally, rmse_autocorrelation

SHAPE = (40, 36, 12)
VOXELS = int(np.prod(SHAPE))


def noise(width: float, images: int = 6) -> np.ndarray:
    """Return white noise smoothed in plane by a Gaussian of a standard deviation in voxels, (V, N)."""
    rng = np.random.default_rng(3)
    volumes = [
        gaussian_filter(rng.standard_normal(SHAPE), (width, width, 0), mode="wrap").ravel(order="F")
        for _ in range(images)
    ]
    return np.stack(volumes, axis=1)


def tally(difference: np.ndarray, block: int = VOXELS) -> dict[str, float | None]:
    watched = ResidualTally(SHAPE)
    for first in range(0, VOXELS, block):
        voxels = np.arange(first, min(first + block, VOXELS))
        watched.add(difference[voxels], voxels)
    return watched.metrics((2.0, 2.0, 5.0))


def test_white_noise_has_no_autocorrelation() -> None:
    assert abs(tally(noise(0))["residual_autocorrelation"] or 1.0) < 0.02


@pytest.mark.parametrize("width", [1.0, 1.5])
def test_the_width_of_smoothed_noise_is_that_of_its_filter_in_mm(width: float) -> None:
    assert tally(noise(width))["residual_fwhm"] == pytest.approx(2 * width * np.sqrt(8 * np.log(2)), rel=0.05)


def test_blocks_of_whole_rows_lose_few_pairs() -> None:
    whole, parts = tally(noise(1.0)), tally(noise(1.0), 400)
    assert parts["residual_autocorrelation"] == pytest.approx(whole["residual_autocorrelation"], rel=0.02)


def test_the_last_voxel_of_a_row_is_no_neighbour_of_the_first_of_the_next() -> None:
    ramp = np.tile(np.where(np.arange(SHAPE[0]) % SHAPE[0] < 20, -1.0, 1.0), VOXELS // SHAPE[0])
    watched = ResidualTally((SHAPE[0], VOXELS // SHAPE[0], 1))
    watched.add(ramp[:, None], np.arange(VOXELS))
    # One change of sign per row of 39 pairs along it, none across.
    expected = (1 + 37 / 39) / 2
    assert watched.metrics((1, 1, 1))["residual_autocorrelation"] == pytest.approx(expected)


def test_residuals_that_nothing_is_known_of_have_no_metrics() -> None:
    assert set(ResidualTally(SHAPE).metrics((1, 1, 1)).values()) == {None}
    gone = np.full((VOXELS, 2), np.nan)
    assert set(tally(gone).values()) == {None}


def test_rmse_of_independent_voxels_is_not_correlated_and_that_of_a_gradient_is() -> None:
    rng = np.random.default_rng(5)
    inside = np.ones(VOXELS, dtype=bool)
    independent = rng.chisquare(10, VOXELS).astype(np.float32)
    gradient = np.linspace(1, 9, VOXELS).astype(np.float32)
    assert abs(rmse_autocorrelation(independent, inside, SHAPE) or 1.0) < 0.02
    assert (rmse_autocorrelation(gradient, inside, SHAPE) or 0.0) > 0.95


def test_a_perfect_or_tiny_fit_has_no_rmse_autocorrelation() -> None:
    inside = np.ones(VOXELS, dtype=bool)
    assert rmse_autocorrelation(np.zeros(VOXELS, np.float32), inside, SHAPE) is None
    assert rmse_autocorrelation(np.ones(8, np.float32), np.ones(8, dtype=bool), (2, 2, 2)) is None
