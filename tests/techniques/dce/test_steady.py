"""First frames out of the steady state, frames before the bolus that disagree, and signals that fall."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.errors import InputError
from bids_qmri.techniques.dce.remarks import jumps
from bids_qmri.techniques.dce.settings import Aif, DceSettings
from bids_qmri.techniques.dce.steady import Beginning, beginning, unsteady_frames

FRAME = 5.0
FRAMES = np.arange(60.0)
CURVE = 100.0 + 60.0 * np.where(
    FRAMES >= 6, (1 - np.exp(-(FRAMES - 5) / 3)) * np.exp(-(FRAMES - 5) / 80), 0.0
)
"""Mean signal of a tissue that contrast agent reaches after six frames."""


def _begun(curve: np.ndarray, stated: int | None = None) -> Beginning:
    settings = DceSettings(5.0 * np.arange(curve.size), 0.2, 0.005, 4.5, 0.42, stated, Aif("parker"), 1.2)
    return beginning(curve, settings)


@pytest.mark.parametrize("stated", [None, 5])
def test_a_good_series_is_taken_as_it_is_in_silence(stated: int | None) -> None:
    begun = _begun(CURVE, stated)
    assert (begun.unsteady, begun.notes) == (0, ())
    assert begun.baseline in (5, 6)


@pytest.mark.parametrize("stated", [None, 5])
@pytest.mark.parametrize("factors", [(1.8,), (4.0,), (1.8, 1.2), (0.6,), (1.08,)])
def test_first_frames_out_of_the_steady_state_are_left_out(
    factors: tuple[float, ...], stated: int | None
) -> None:
    curve = CURVE.copy()
    curve[: len(factors)] *= factors
    begun = _begun(curve, stated)
    assert begun.unsteady == len(factors)
    assert begun.unsteady + begun.baseline in (5, 6)
    assert "steady state" in begun.notes[0]


def test_a_person_may_take_the_first_frame_alone() -> None:
    curve = CURVE.copy()
    curve[0] *= 1.8
    assert unsteady_frames(curve, 1) == 0


def test_one_frame_before_the_bolus_is_enough() -> None:
    begun = _begun(np.array([100.0, 180.0, 175.0, 170.0, 160.0, 150.0]))
    assert (begun.unsteady, begun.baseline) == (0, 1)


def test_a_dark_first_frame_before_the_bolus_is_not_lost() -> None:
    assert unsteady_frames(np.array([100.0, 130.0, 170.0, 180.0, 175.0, 170.0, 168.0, 166.0]), None) == 0


def test_more_baseline_frames_than_the_curve_has_are_a_warning() -> None:
    (note,) = _begun(CURVE, 12).notes
    assert "BaselineVolumes: is 12" in note
    assert "frame 7" in note or "frame 8" in note


def test_baseline_frames_that_disagree_are_named() -> None:
    curve = CURVE.copy()
    curve[3] *= 0.8
    assert "frame 4" in _begun(curve, 5).notes[0]


@pytest.mark.parametrize(
    "curve",
    [
        800 * np.exp(-0.8 * np.exp(-((FRAMES - 20) ** 2) / 32)),
        200 * np.exp(-FRAMES / 200),
    ],
)
def test_a_signal_that_falls_is_refused(curve: np.ndarray) -> None:
    with pytest.raises(InputError, match="falls"):
        _begun(curve)


def _voxels(noise: float = 0.01) -> np.ndarray:
    rng = np.random.default_rng(0)
    uptake = (CURVE - 100.0) * rng.uniform(0.2, 1.8, (200, 1))
    return (100.0 + uptake) * (1 + noise * rng.standard_normal((200, CURVE.size)))


@pytest.mark.parametrize(("frame", "factor"), [(40, 1.3), (40, 0.85), (40, 1.15), (3, 1.25)])
@pytest.mark.parametrize("noise", [0.001, 0.03])
def test_a_jump_of_the_whole_image_is_named(frame: int, factor: float, noise: float) -> None:
    signal = _voxels(noise)
    signal[:, frame:] *= factor
    (note,) = jumps(signal, FRAME)
    assert f"from frame {frame} to {frame + 1}" in note


@pytest.mark.parametrize("noise", [0.001, 0.03])
def test_contrast_agent_is_no_jump(noise: float) -> None:
    signal = _voxels(noise)
    assert jumps(signal, FRAME) == ()
    assert jumps(signal[:, ::10], 10 * FRAME) == ()
