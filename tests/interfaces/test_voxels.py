"""Blocks give every masked voxel once, whatever their size; the mean curve is that of usable voxels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import synth
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_qmri.bids.images import Series, open_series
from bids_qmri.interfaces import voxels
from bids_qmri.interfaces.voxels import masked_blocks, mean_curve

SHAPE, N = (4, 3, 2), 5
DATA = np.random.default_rng(3).uniform(1, 9, (*SHAPE, N)).astype(np.float32)
ROWS = DATA.reshape(-1, N, order="F").astype(float)
MASKS = arrays(bool, len(ROWS))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Series]:
    folder = tmp_path_factory.mktemp("series")
    with open_series([synth.write_image(folder / "x.nii.gz", DATA)], folder) as opened:
        yield opened


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(mask=MASKS, size=st.integers(1, 30))
def test_blocks_of_any_size_give_every_masked_voxel_once_and_in_order(
    series: Series, monkeypatch: pytest.MonkeyPatch, mask: np.ndarray, size: int
) -> None:
    monkeypatch.setattr(voxels, "BLOCK_VOXELS", size)
    blocks = list(masked_blocks(series, mask))
    assert all(0 < len(signal) == len(indices) <= size for signal, indices in blocks)
    found = np.concatenate([np.empty(0, int), *(indices for _, indices in blocks)])
    np.testing.assert_array_equal(found, np.flatnonzero(mask))
    np.testing.assert_array_equal(np.concatenate([np.empty((0, N)), *(s for s, _ in blocks)]), ROWS[mask])


@given(mask=MASKS.filter(np.any))
def test_the_mean_curve_equals_numpy(series: Series, mask: np.ndarray) -> None:
    np.testing.assert_allclose(mean_curve(series, mask), ROWS[mask].mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_frame_takes_its_voxel_out_of_the_mean_curve_and_no_other(tmp_path: Path, bad: float) -> None:
    data = DATA.copy()
    data[1, 0, 0, 2] = bad
    kept = np.arange(len(ROWS)) != 1
    with open_series([synth.write_image(tmp_path / "x.nii.gz", data)], tmp_path) as damaged:
        curve = mean_curve(damaged, np.ones(len(ROWS), bool))
    np.testing.assert_allclose(curve, ROWS[kept].mean(axis=0), rtol=1e-12)
