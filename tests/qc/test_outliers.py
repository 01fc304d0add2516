"""Damaged slices are told from noise, from anisotropy and from the passage of a contrast agent."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.qc.outliers import Kind, damaged_slices, described

SLICES, VOXELS = 6, 200
PLACE = np.repeat(np.arange(SLICES), VOXELS)


def directions(count: int) -> np.ndarray:
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    return np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)


def shell(count: int, seed: int, snr: float = 20.0) -> np.ndarray:
    """Return signals of voxels with tensors of their own at b = 1000 s/mm^2, (V, N)."""
    rng = np.random.default_rng(seed)
    fibre = rng.standard_normal((PLACE.size, 3))
    fibre /= np.linalg.norm(fibre, axis=1, keepdims=True)
    signal = np.exp(-0.4 - 1.2 * (fibre @ directions(count).T) ** 2)
    return np.abs(signal + rng.standard_normal(signal.shape) / snr)


def of_shell(signal: np.ndarray) -> np.ndarray:
    count = signal.shape[1]
    return damaged_slices(signal, PLACE, [Kind(np.arange(count), directions(count))])


@pytest.mark.parametrize("count", [12, 16, 30, 64])
@pytest.mark.parametrize("seed", range(5))
def test_a_whole_shell_has_no_damage(count, seed):
    assert not of_shell(shell(count, seed)).any()


@pytest.mark.parametrize("count", [16, 30, 64])
@pytest.mark.parametrize("factor", [0.5, 0.75, 1.5])
def test_signal_that_dropped_in_one_slice_is_found_and_nothing_else(count, factor):
    signal = shell(count, 7)
    signal[PLACE == 2, 5] *= factor
    found = of_shell(signal)
    assert np.argwhere(found).tolist() == [[2, 5]]


@pytest.mark.parametrize("count", [16, 30, 64])
def test_spikes_widen_the_residuals_of_a_slice(count):
    signal = shell(count, 8)
    stripes = 1.0 + 0.8 * np.sin(np.arange(VOXELS))
    signal[PLACE == 4, 9] *= stripes
    assert np.argwhere(of_shell(signal)).tolist() == [[4, 9]]


def test_three_damaged_images_of_thirty_are_found():
    signal = shell(30, 9)
    signal[:, [3, 11, 28]] *= 0.6
    assert np.flatnonzero(of_shell(signal).all(axis=0)).tolist() == [3, 11, 28]


def dynamic(seed: int, frames: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(frames)
    uptake = np.where(time > 10, 1 - np.exp(-(time - 10) / 6.0), 0.0) * rng.uniform(0, 1.5, (PLACE.size, 1))
    return 1 + uptake + rng.standard_normal((PLACE.size, frames)) / 30


def test_the_passage_of_an_agent_is_no_damage():
    signal = dynamic(1)
    assert not damaged_slices(signal, PLACE, [Kind(np.arange(40), dynamic=True)]).any()


@pytest.mark.parametrize("seed", range(20))
def test_the_peak_of_a_bolus_is_no_damage(seed: int):
    """A first pass between two frames: baseline, one bright frame, then less; vessels much, tissue little."""
    rng = np.random.default_rng(seed)
    time = np.arange(40)
    shape = np.where(time >= 7, np.exp(-(time - 7) / 2.0) + 0.5, 0.0)
    amount = np.where(rng.random(PLACE.size) < 0.2, 3.0, 0.3) * rng.uniform(0.5, 1.5, PLACE.size)
    signal = (1 + amount[:, None] * shape) * (1 + rng.standard_normal((PLACE.size, 40)) / 40)
    assert not damaged_slices(signal, PLACE, [Kind(np.arange(40), dynamic=True)]).any()


def test_a_frame_with_spikes_is_found_during_the_passage_too():
    for frame in (4, 14, 30):
        signal = dynamic(3)
        inside = PLACE == 1
        signal[inside, frame] *= np.exp(0.5 * np.sin(1.7 * np.arange(inside.sum())))
        found = damaged_slices(signal, PLACE, [Kind(np.arange(40), dynamic=True)])
        assert np.argwhere(found).tolist() == [[1, frame]]


def test_a_frame_that_dropped_is_found():
    signal = dynamic(2)
    signal[PLACE == 1, 25] *= 0.7
    found = damaged_slices(signal, PLACE, [Kind(np.arange(40), dynamic=True)])
    assert np.argwhere(found).tolist() == [[1, 25]]


def test_of_five_images_nobody_can_tell_which_is_odd():
    signal = shell(5, 3)
    signal[:, 2] *= 0.5
    assert not of_shell(signal).any()


def test_those_with_most_damaged_slices_are_named_first():
    damaged = np.zeros((3, 4), dtype=bool)
    damaged[0, 1] = damaged[:, 3] = True
    assert list(described(damaged, "abcd")) == ["d: 3 of 3 slices", "b: 1 of 3 slices"]
