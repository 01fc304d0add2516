"""Voxels that share what they know: smaller errors within tissue, edges that stay, outliers that are told."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from simulated import IVIM_PROTOCOL

import bids_qmri
from bids_qmri.errors import InputError
from bids_qmri.estimation.blocks import fit_array
from bids_qmri.estimation.local import Grid, fit_neighbours
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import Status, get_estimator
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.units import FloatArray

SHAPE, ZOOMS, SIGMA = (20, 20, 3), (2.0, 2.0, 4.0), 1 / 20
VOXELS = int(np.prod(SHAPE))
X, Y, Z = np.unravel_index(np.arange(VOXELS), SHAPE, order="F")
LEFT = SHAPE[0] // 2 > X
WHOLE = np.ones(VOXELS, dtype=bool)
LEVELS = {"d": (1.0e-3, 1.7e-3), "dstar": (0.03, 0.06), "f": (0.10, 0.25)}
STEP = {name: abs(left - right) for name, (left, right) in LEVELS.items()}
Mask = npt.NDArray[np.bool_]


@cache
def phantom() -> tuple[dict[str, FloatArray], FloatArray]:
    """Return truth of two tissues side by side, each nearly even, and signals (V, N)."""
    rng = np.random.default_rng(0)
    theta = np.ones((4, VOXELS))
    for row, (left, right) in zip(theta, LEVELS.values(), strict=False):
        row[:] = np.where(LEFT, left, right) * np.exp(0.04 * rng.standard_normal(VOXELS))
    signal = add_rician_noise(IVIM.signal(theta, IVIM_PROTOCOL), SIGMA, rng).T
    return dict(zip(LEVELS, theta, strict=False)), signal


def local(
    signal: FloatArray, mask: Mask, folder: Path, blocks: int = 3, threads: int = 1
) -> dict[str, FloatArray]:
    """Return maps over the grid, NaN outside the mask; standard deviations as ``sd_NAME``."""
    by = get_estimator("ivim", "local")
    how = prepare(IVIM, by, Scan(IVIM_PROTOCOL, mask=mask))
    measured = [(signal[part], part) for part in np.array_split(np.flatnonzero(mask), blocks)]
    told = ScanNoise.told(SIGMA)
    found: dict[str, FloatArray] = {}
    grid = Grid(SHAPE, ZOOMS)
    for block in fit_neighbours(IVIM, how, measured, grid, told, folder / "nodes", by, threads):
        sd = {f"sd_{name}": values for name, values in block.fit.sd.items()}
        for name, values in (block.fit.maps | sd | {"status": block.fit.status}).items():
            found.setdefault(name, np.full(VOXELS, np.nan))[block.voxels] = values
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FloatArray]:
    return local(phantom()[1], WHOLE, tmp_path_factory.mktemp("whole"))


def test_maps_do_not_depend_on_the_number_of_threads(whole: dict[str, FloatArray], tmp_path: Path) -> None:
    for name, values in local(phantom()[1], WHOLE, tmp_path, threads=3).items():
        np.testing.assert_array_equal(values, whole[name], err_msg=name)


@cache
def alone() -> dict[str, FloatArray]:
    """Return posterior means of every voxel by itself, within the same limits."""
    by = get_estimator("ivim", "bayes")
    how = prepare(IVIM, by, Scan(IVIM_PROTOCOL, mask=WHOLE))
    return fit_array(IVIM, by, how, phantom()[1], ScanNoise.told(SIGMA), "box").maps


@pytest.mark.parametrize("name", ["d", "f"])
@pytest.mark.parametrize("region", ["left", "right"])
def test_errors_within_tissue_are_half_of_those_of_voxels_alone(
    whole: dict[str, FloatArray], region: str, name: str
) -> None:
    truth = phantom()[0][name]
    inside = (X < 7) if region == "left" else (X > 12)
    ours, theirs = (np.sqrt(np.mean((maps[name] - truth)[inside] ** 2)) for maps in (whole, alone()))
    assert ours < 0.5 * theirs


@pytest.mark.parametrize("name", ["d", "f"])
def test_an_edge_stays_where_it_is(whole: dict[str, FloatArray], name: str) -> None:
    """The mean of three columns would leak a third of the step into the last one before it."""
    error = whole[name] - phantom()[0][name]
    for column in (9, 10):
        assert abs(np.mean(error[column == X])) < 0.1 * STEP[name]


@pytest.mark.parametrize("name", ["d", "f"])
def test_truth_lies_within_one_sd_at_least_as_often_as_it_should(
    whole: dict[str, FloatArray], name: str
) -> None:
    assert np.mean(np.abs(whole[name] - phantom()[0][name]) < whole[f"sd_{name}"]) > 0.65


def test_half_of_the_mask_gives_its_interior_the_same_values(
    whole: dict[str, FloatArray], tmp_path: Path
) -> None:
    half = local(phantom()[1], Y < 10, tmp_path)
    interior = Y < 5
    for name in LEVELS:
        change = ((half[name] - whole[name]) / whole[f"sd_{name}"])[interior]
        assert np.sqrt(np.mean(change**2)) < 0.1, name


def test_blocks_do_not_matter(whole: dict[str, FloatArray], tmp_path: Path) -> None:
    other = local(phantom()[1], WHOLE, tmp_path, blocks=5)
    for name in LEVELS:
        change = (other[name] - whole[name]) / whole[f"sd_{name}"]
        assert np.sqrt(np.mean(change**2)) < 0.1, name


def test_a_voxel_that_contradicts_its_neighbours_keeps_its_value_and_is_told(
    whole: dict[str, FloatArray], tmp_path: Path
) -> None:
    signal, at = phantom()[1].copy(), np.ravel_multi_index((5, 10, 1), SHAPE, order="F")
    lesion = np.array([[2.8e-3], [0.03], [0.1], [1.0]])
    signal[at] = add_rician_noise(IVIM.signal(lesion, IVIM_PROTOCOL), SIGMA, np.random.default_rng(1)).T
    found = local(signal, WHOLE, tmp_path)
    # More of its posterior is the distribution of the scan than that of its neighbours.
    assert found["safety"][at] > 0.5
    assert np.quantile(found["safety"], 0.95) < 0.2
    assert abs(found["d"][at] - 2.8e-3) < 2 * found["sd_d"][at]
    others = np.arange(VOXELS) != at
    change = np.abs(found["d"] - whole["d"]) / whole["sd_d"]
    assert change[others].max() < 0.5


def test_quality_is_a_share_and_a_distance(whole: dict[str, FloatArray]) -> None:
    assert np.all((whole["safety"] >= 0) & (whole["safety"] <= 1))
    assert np.all(whole["shift"] >= 0)


def test_a_voxel_without_neighbours_is_fitted(tmp_path: Path) -> None:
    mask = LEFT.copy()
    lonely = np.ravel_multi_index((18, 10, 1), SHAPE, order="F")
    mask[lonely] = True
    found = local(phantom()[1], mask, tmp_path)
    assert np.isfinite(found["d"][lonely])
    assert found["safety"][lonely] > 0.99


def test_voxels_that_cannot_be_fitted_disturb_nobody(whole: dict[str, FloatArray], tmp_path: Path) -> None:
    signal = phantom()[1].copy()
    dead = [np.ravel_multi_index(place, SHAPE, order="F") for place in ((2, 2, 1), (3, 2, 1), (4, 2, 1))]
    signal[dead[0]], signal[dead[1], 2], signal[dead[2], 0] = 0.0, np.nan, -1.0
    found = local(signal, WHOLE, tmp_path)
    assert np.all(found["status"][dead] == Status.UNUSABLE)
    assert np.isnan(found["d"][dead]).all()
    far = Y > 8
    change = ((found["d"] - whole["d"]) / whole["sd_d"])[far]
    assert np.sqrt(np.mean(change**2)) < 0.1


def test_scratch_files_are_gone(tmp_path: Path) -> None:
    local(phantom()[1], LEFT, tmp_path)
    assert not list(tmp_path.rglob("*.npz"))


def test_a_scan_without_a_usable_voxel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no voxel can be fitted"):
        local(np.zeros_like(phantom()[1]), WHOLE, tmp_path)


def test_arrays_have_no_neighbours_and_are_refused_with_the_fix() -> None:
    with pytest.raises(InputError, match="local") as caught:
        bids_qmri.fit("ivim", phantom()[1][:10], IVIM_PROTOCOL, estimator="local", sigma=SIGMA)
    assert "bayes" in str(caught.value.fix)
