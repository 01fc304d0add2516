"""What images say against their table: empty volumes are left out, jumps of the scale are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.odd_volumes import examined
from bids_qmri.bids.volumes import open_images
from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol

BVALS = np.array([0.0] * 4 + [1000.0] * 30)
VECTORS = np.vstack([np.zeros((4, 3)), synth.directions(30)])


def signal(tensor: tuple[float, float, float] = (1.5e-3, 4e-4, 4e-4)) -> np.ndarray:
    rng = np.random.default_rng(0)
    clean = 1000 * np.exp(-BVALS * (VECTORS**2 @ np.array(tensor)))
    return np.abs(clean + rng.normal(0, 20, (8, 8, 4, BVALS.size)))


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., tuple[Acquisition, list[int]]]:
    def work(data: np.ndarray, bvecs: np.ndarray | None = VECTORS) -> tuple[Acquisition, list[int]]:
        path = synth.write_image(tmp_path / "x.nii.gz", data)
        protocol = DiffusionProtocol(BVALS, bvecs)
        found = Acquisition("dwi", {"sub": "01"}, "dwi", (path,), (path,), {}, protocol)
        with open_images(found, tmp_path) as series:
            return examined(found, series)

    return work


def test_what_is_fine_is_left_alone(look) -> None:
    found, kept = look(signal())
    assert found.notes == ()
    assert found.volumes is None
    assert kept == list(range(34))


@pytest.mark.parametrize("nothing", [0.0, np.nan, -1.0])
@pytest.mark.parametrize("volume", [0, 3, 20])
def test_an_empty_volume_is_left_out(look, nothing: float, volume: int) -> None:
    data = signal()
    data[..., volume] = nothing
    found, kept = look(data)
    assert volume not in kept
    assert found.volumes == tuple(kept)
    assert found.protocol.n_measurements == 33
    assert f"x.nii.gz: volumes {volume} " in found.notes[0]


def test_nothing_but_empty_volumes_is_an_error(look) -> None:
    with pytest.raises(InputError, match="all volumes are empty"):
        look(0 * signal())


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_a_jump_at_b0_is_named(look, factor: float) -> None:
    data = signal()
    data[..., 3] *= factor
    [note] = look(data)[0].notes
    assert "volumes 3 (b = 0)" in note
    assert f"{factor:.2f} times" in note


def test_a_damaged_direction_is_named_though_tissue_is_anisotropic(look) -> None:
    data = signal()
    data[..., 17] *= 0.4
    [note] = look(data)[0].notes
    assert "volumes 17 (b = 1000)" in note


def test_images_without_direction_are_compared_with_each_other(look) -> None:
    data = signal((7e-4,) * 3)
    assert look(data, None)[0].notes == ()
    # Muscle may differ by a factor of two along and across.
    data[..., 20:] *= 2.0
    assert look(data, None)[0].notes == ()
    data[..., 20:] *= 2.0
    assert "volumes 20-33 (b = 1000)" in look(data, None)[0].notes[0]
