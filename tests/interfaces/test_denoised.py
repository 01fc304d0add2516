"""Images denoised before they are fitted: where, how it is recorded, and what noise the fits are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.dataset import find
from bids_qmri.catalogue import get_model
from bids_qmri.estimators.base import get_estimator
from bids_qmri.interfaces.fit import Found, estimate
from bids_qmri.interfaces.opening import open_acquisition
from bids_qmri.interfaces.scan import OpenAcquisition

SHAPE = (24, 22, 8)
BVALS = (0, 0, 10, 20, 50, 100, 150, 200, 300, 400, 500, 600, 700, 800)
SIGMA = 4.0
DENOISE = ReadOptions(denoise="mppca")


def _truth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where an object is, its diffusivity in mm^2/s, and its perfused fraction."""
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    inside = x**2 + y**2 < 0.5
    return inside, 1e-3 * (1 + 0.3 * x), 0.15 + 0.05 * y


def _write(root: Path, seed: int = 1) -> None:
    inside, d, f = (part[..., np.newaxis] for part in _truth())
    b = np.array(BVALS, dtype=float)
    signal = 100 * inside * ((1 - f) * np.exp(-b * d) + f * np.exp(-b * 0.025))
    noise = SIGMA * np.random.default_rng(seed).normal(size=(2, *signal.shape))
    bvecs = np.tile([1.0, 0.0, 0.0], (len(BVALS), 1))
    synth.add_dwi(root, np.hypot(signal + noise[0], noise[1]), BVALS, bvecs)


@contextmanager
def _opened(folder: Path, options: ReadOptions) -> Iterator[OpenAcquisition]:
    (found,) = find(folder / "raw", "01", options)
    assert isinstance(found, Acquisition), found
    with open_acquisition(found, options, folder / "work") as opened:
        yield opened


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    _write(synth.new_dataset(tmp_path / "raw"))
    return tmp_path


def _fit(folder: Path, options: ReadOptions, name: str, label: str) -> Found:
    model, estimator = get_model(name), get_estimator(name, label)
    with _opened(folder, options) as opened:
        return estimate(model, estimator, opened, opened.prepare(model, estimator, {}))


def test_without_the_option_images_are_as_they_were(dataset: Path) -> None:
    with _opened(dataset, ReadOptions()) as opened:
        assert opened.denoised is None
    how, _, _ = _fit(dataset, ReadOptions(), "ivim", "lsq")
    assert "Denoised" not in how.used


def test_images_are_denoised_on_their_grid_after_the_mask_was_found(dataset: Path) -> None:
    with _opened(dataset, ReadOptions()) as raw, _opened(dataset, DENOISE) as opened:
        before, after = (one.series.read(0, one.series.n_voxels) for one in (raw, opened))
        np.testing.assert_array_equal(opened.mask, raw.mask)
        np.testing.assert_allclose(opened.series.affine, raw.series.affine, atol=1e-5)
    inside = _truth()[0].ravel(order="F")
    changed = (before - after)[inside]
    assert 0.6 * SIGMA < changed.std() < SIGMA
    assert abs(changed.mean()) < 0.05 * SIGMA


def test_fits_are_told_the_floor_and_the_noise_before(dataset: Path) -> None:
    _, _, noise = _fit(dataset, DENOISE, "ivim", "lsq")
    assert noise is not None
    assert noise.typical(_truth()[0].ravel(order="F")) == pytest.approx((SIGMA, SIGMA), rel=0.1)


def test_sidecars_say_so(dataset: Path) -> None:
    how, _, noise = _fit(dataset, DENOISE, "ivim", "lsq")
    assert how.used["Denoised"] == "mppca"
    assert how.used["DenoisedFraction"] == pytest.approx(0.95, abs=0.1)
    assert how.used["DenoisingPatch"] == [5, 5, 5]
    assert noise is not None
    assert noise.found["NoiseScatterFrom"] == "principal components, before denoising"
    assert 0.1 * SIGMA < how.used["NoiseRemaining"] < 0.6 * SIGMA


@pytest.mark.parametrize("label", ["lsq", "mle"])
def test_error_bars_of_diffusivity_hold(dataset: Path, label: str) -> None:
    inside, d, _ = (part.ravel(order="F") for part in _truth())
    _, found, _ = _fit(dataset, DENOISE, "ivim", label)
    error, sd = np.abs(found.maps["d"] - d), found.sd["d"]
    known = inside & np.isfinite(sd) & (found.status == 1)
    print(f"{label}: {np.mean(error[known] < sd[known]):.2f} within a bar")
    assert np.mean(error[known] < sd[known]) > 0.65
    assert np.mean(error[known] < 2 * sd[known]) > 0.9


def test_error_bars_of_tensors_hold_though_residuals_are_denoised(tmp_path: Path) -> None:
    """Residuals of a denoised voxel tell next to nothing of its noise."""
    root = synth.new_dataset(tmp_path / "raw")
    inside, d, _ = _truth()
    vectors = np.concatenate([np.zeros((2, 3)), synth.directions(20)])
    bvals = [0, 0, *([1000] * 20)]
    stretch = 0.4e-3 * vectors[:, 0] ** 2
    signal = 100 * inside[..., np.newaxis] * np.exp(-np.array(bvals) * (0.8 * d[..., np.newaxis] + stretch))
    noise = SIGMA * np.random.default_rng(3).normal(size=(2, *signal.shape))
    synth.add_dwi(root, np.hypot(signal + noise[0], noise[1]), bvals, vectors)
    _, found, _ = _fit(tmp_path, DENOISE, "dti", "wls")
    within = inside.ravel(order="F") & (found.status == 1)
    error = np.abs(found.maps["md"] - (0.8 * d.ravel(order="F") + 0.4e-3 / 3))[within]
    print(f"MD: {np.mean(error < found.sd['md'][within]):.2f} within a bar")
    assert np.mean(error < found.sd["md"][within]) > 0.65


def test_what_was_removed_shows_where_signal_went_with_the_noise(dataset: Path) -> None:
    """Noise alone gives 1 without anatomy; noise that neighbours share stays, and shows as less."""
    inside = _truth()[0].ravel(order="F")
    with _opened(dataset, DENOISE) as opened:
        assert opened.denoised is not None
        removed = opened.denoised.removed
    assert np.median(removed[inside]) == pytest.approx(1.0, abs=0.1)
    left = inside & (np.unravel_index(np.arange(inside.size), SHAPE, order="F")[0] < SHAPE[0] // 2)
    assert np.median(removed[left]) == pytest.approx(np.median(removed[inside & ~left]), abs=0.05)


def test_a_map_and_a_figure_show_what_was_removed(dataset: Path, tmp_path: Path) -> None:
    from bids_qmri.cli.run import main

    chosen = ["--models", "ivim", "--estimators", "lsq", "--denoise", "mppca", "-w", str(tmp_path / "work")]
    assert main([str(dataset / "raw"), str(tmp_path / "maps"), "participant", *chosen]) == 0
    name = "sub-01_model-ivim_param-removed_desc-lsq_dwimap"
    assert (tmp_path / "maps/sub-01/dwi" / f"{name}.nii.gz").is_file()
    assert (tmp_path / "maps/sub-01/figures" / f"{name}.svg").is_file()
    assert "Variance that denoising removed" in (tmp_path / "maps/sub-01.html").read_text()


def test_what_is_no_diffusion_series_is_left_and_noted(tmp_path: Path) -> None:
    synth.add_vfa(synth.new_dataset(tmp_path / "raw"))
    with _opened(tmp_path, DENOISE) as opened:
        assert opened.denoised is None
        assert opened.notes == ["not denoised: only diffusion series are"]


def test_a_grid_too_small_is_left_and_noted(tmp_path: Path) -> None:
    synth.add_tensor(synth.new_dataset(tmp_path / "raw"))
    with _opened(tmp_path, DENOISE) as opened:
        assert opened.denoised is None
        assert "not denoised" in opened.notes[0]


def test_stated_noise_is_kept(dataset: Path) -> None:
    from bids_qmri.estimation.noise import ScanNoise

    model, estimator = get_model("ivim"), get_estimator("ivim", "lsq")
    with _opened(dataset, DENOISE) as opened:
        opened.stated = ScanNoise.told(5.0)
        _, _, noise = estimate(model, estimator, opened, opened.prepare(model, estimator, {}))
    assert noise is not None
    assert noise.typical(_truth()[0].ravel(order="F")) == (5.0, 5.0)
