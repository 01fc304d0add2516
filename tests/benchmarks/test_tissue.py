"""Phantoms of tissue and their scores: geometry, noise, and standard errors of ratios."""

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PHANTOM_NAMES = ("ivim", "vfa", "dce", "dce-signal", "noddi-s1")


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def block():
    """Return a phantom of one tissue, all images 100."""
    from benchmarks.tissue_base import Phantom
    from bids_qmri import DiffusionProtocol

    shape = (24, 24, 6)
    mask = np.zeros(shape, dtype=bool)
    mask[4:-4, 4:-4] = True
    clean = np.where(mask[..., None], 100.0, 0.0) * np.ones(8)
    nowhere = np.zeros(shape, dtype=np.intp)
    protocol = DiffusionProtocol(np.arange(8) * 100.0)
    truth = {"d": np.where(mask, 1e-3, np.nan)}
    return Phantom("ivim", "ivim", 0, truth, ("d",), mask, {}, nowhere, nowhere, protocol, clean, 100.0)


def drawn(name):
    from benchmarks.tissue_phantoms import PHANTOMS, MissingDataError

    try:
        return PHANTOMS[name](seed=2)
    except MissingDataError as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=PHANTOM_NAMES)
def phantom(request):
    return drawn(request.param)


def test_thermal_noise_has_the_level_that_is_told(block):
    from benchmarks.tissue_base import noisy

    scan = noisy(block, snr=20, seed=1)
    assert scan.noise.floor == pytest.approx(5.0)
    assert np.std(block.voxels(scan.images)) == pytest.approx(5.0, rel=0.03)
    # Rayleigh in air
    assert np.mean(scan.images[~block.mask]) == pytest.approx(5 * np.sqrt(np.pi / 2), rel=0.03)


@pytest.mark.parametrize("width", [0.0, 2.0])
def test_physiology_changes_images_by_its_rms(block, width):
    from benchmarks.tissue_base import noisy

    scan = noisy(block, snr=1e4, seed=1, physiology=0.07, physiology_width=width)
    assert np.std(block.voxels(scan.images)) == pytest.approx(7.0, rel=0.15)
    assert scan.noise.scatter == pytest.approx(7.0, rel=0.01)


def test_g_factor_doubles_the_noise_at_most(block):
    from benchmarks.tissue_base import noisy

    floor = noisy(block, snr=20, seed=1, g_factor=True).noise.floor
    assert 5.0 <= floor.min() < 6.5
    assert 8.0 < floor.max() <= 10.0


def test_lesions_are_small_and_apart():
    from benchmarks.tissue_geometry import LESION_SIZES, lesions_in

    host = np.ones((40, 40, 3), dtype=bool)
    lesions, around = lesions_in([host], 6, np.random.default_rng(0))
    sizes = np.bincount(lesions.ravel())[1:]
    assert sizes.size == 6
    assert sizes.min() >= LESION_SIZES[0]
    assert sizes.max() <= LESION_SIZES[1]
    assert not np.any((lesions > 0) & (around > 0))


def test_edges_have_a_face_to_another_tissue():
    from benchmarks.tissue_geometry import edges

    left = np.zeros((6, 4, 1), dtype=bool)
    left[:3] = True
    assert np.flatnonzero(edges({"left": left, "right": ~left})[:, 0, 0]).tolist() == [2, 3]


def test_phantoms_are_explained_by_their_truth(phantom):
    from bids_qmri.catalogue import get_model

    maps = {name: phantom.voxels(grid) for name, grid in phantom.truth.items()}
    assert all(np.all(np.isfinite(values)) for values in maps.values())
    explained = get_model(phantom.model).predict(maps, phantom.protocol)
    np.testing.assert_allclose(
        phantom.voxels(phantom.fitted(phantom.clean)), explained, atol=1e-6 * explained.max(), rtol=1e-4
    )


def test_tissues_share_no_voxel(phantom):
    tissues = [m for name, m in phantom.regions.items() if name not in ("edge", "matter")]
    assert np.all(np.sum(tissues, axis=0) == phantom.mask)


def test_draws_have_the_shares_that_are_told():
    from benchmarks.tissue_neurites import noddi_tissue_draws
    from bids_qmri import DiffusionProtocol

    directions = np.random.default_rng(0).standard_normal((40, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    protocol = DiffusionProtocol(np.repeat([700.0, 2000.0], 20), directions)
    draws = noddi_tissue_draws(protocol, snr=20, seed=0, n=4000)
    assert np.mean(draws.tissue == "mixed") == pytest.approx(0.2, abs=0.02)
    assert np.mean(draws.truth["ndi"][draws.tissue == "white"]) == pytest.approx(0.62, abs=0.01)
    assert draws.truth["fwf"].max() > 0.99


@pytest.mark.parametrize("seeds", [1, 8])
def test_standard_error_of_a_ratio_is_its_spread(seeds):
    from benchmarks.tissue_scores import Score, _per_voxel

    def ratio(rng):
        score = Score()
        for _ in range(seeds):
            base = rng.standard_normal(400)
            errors = 0.7 * base + 0.5 * rng.standard_normal(400)
            score.sums.append(_per_voxel(errors, base, None).sum(axis=1))
        return score.ratio()

    values, errors = zip(*(ratio(np.random.default_rng([seeds, i])) for i in range(200)), strict=True)
    assert np.mean(values) == pytest.approx(0.74, rel=0.02)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_smoothing_keeps_a_flat_image_flat(block):
    from benchmarks.tissue_rows import smoothed

    assert block.voxels(smoothed(block.clean, block)) == pytest.approx(100.0)


def test_oracle_beats_least_squares_on_its_own_phantom():
    from benchmarks.tissue_base import noisy
    from benchmarks.tissue_oracle import oracle
    from benchmarks.tissue_rows import as_app

    phantom = drawn("ivim")
    scan = noisy(phantom, snr=20, seed=3)
    truth = phantom.voxels(phantom.truth["d"])
    best = oracle(phantom, scan.images, scan.noise)
    fitted = as_app(phantom, scan.images, scan.noise, label="lsq")
    assert np.mean((best.maps["d"] - truth) ** 2) < 0.5 * np.mean((fitted.maps["d"] - truth) ** 2)
    covered = np.abs(best.maps["d"] - truth) < best.sd["d"]
    assert np.mean(covered) == pytest.approx(0.7, abs=0.1)
