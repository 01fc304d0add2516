from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.errors import InputError
from bids_qmri.physics.spoiled_gradient_echo import concentration_to_signal, signal_to_concentration
from bids_qmri.techniques.dce.bolus import bolus_arrival

SEQUENCE = {"flip_angle": np.deg2rad(20.0), "repetition_time": 0.005, "relaxivity": 4.5}
RNG = np.random.default_rng(0)
C = np.concatenate([np.zeros((30, 4)), RNG.uniform(0, 5, (30, 12))], axis=1)
T10 = RNG.uniform(0.3, 3.0, 30)
S_B = RNG.uniform(50, 500, 30)


def test_conversion_and_back_is_exact() -> None:
    signal = concentration_to_signal(C, S_B, T10, **SEQUENCE)
    np.testing.assert_allclose(signal_to_concentration(signal, S_B, T10, **SEQUENCE), C, atol=1e-10)


def test_no_agent_leaves_the_baseline() -> None:
    np.testing.assert_allclose(
        concentration_to_signal(C, S_B, T10, **SEQUENCE)[:, :4], S_B[:, None].repeat(4, 1)
    )


def test_baseline_frames_and_their_mean_are_the_same() -> None:
    signal = concentration_to_signal(C, S_B, T10, **SEQUENCE) + RNG.normal(0, 1, C.shape)
    frames = signal_to_concentration(signal, slice(1, 4), T10, **SEQUENCE)
    mean = signal_to_concentration(signal, signal[:, 1:4].mean(axis=1), T10, **SEQUENCE)
    np.testing.assert_array_equal(frames, mean)


def test_the_scale_of_the_signal_does_not_matter() -> None:
    signal = concentration_to_signal(C, S_B, T10, **SEQUENCE)
    scaled = signal_to_concentration(1e3 * signal, 1e3 * S_B, T10, **SEQUENCE)
    np.testing.assert_allclose(scaled, C, atol=1e-10)


def test_traces_of_agent_change_the_signal_by_its_derivative() -> None:
    # d ln S / dR1 = TR E1 (1 - cos a) / ((1 - E1)(1 - E1 cos a))
    signal = concentration_to_signal([[1e-6]], [1.0], [1.0], **SEQUENCE)
    e1, cosine = np.exp(-0.005), np.cos(SEQUENCE["flip_angle"])
    slope = 0.005 * e1 * (1 - cosine) / ((1 - e1) * (1 - e1 * cosine))
    assert (signal[0, 0] - 1) / 1e-6 == pytest.approx(4.5 * slope, rel=1e-4)


def test_flip_angles_per_voxel_equal_voxels_alone() -> None:
    angles = np.deg2rad(RNG.uniform(15, 25, 30))
    signal = concentration_to_signal(C, S_B, T10, **{**SEQUENCE, "flip_angle": angles})
    one = concentration_to_signal(C[3:4], S_B[3:4], T10[3:4], **{**SEQUENCE, "flip_angle": angles[3]})
    np.testing.assert_allclose(signal[3:4], one)
    back = signal_to_concentration(signal, S_B, T10, **{**SEQUENCE, "flip_angle": angles})
    np.testing.assert_allclose(back, C, atol=1e-10)


def test_one_t1_serves_all_voxels() -> None:
    signal = concentration_to_signal(C, S_B, 1.4, **SEQUENCE)
    np.testing.assert_allclose(signal_to_concentration(signal, S_B, 1.4, **SEQUENCE), C, atol=1e-10)


@pytest.mark.parametrize(
    ("baseline", "t10"),
    [(0.0, 1.0), (-5.0, 1.0), (np.nan, 1.0), (100.0, np.nan), (100.0, 0.0), (100.0, np.inf)],
)
def test_voxels_without_baseline_or_t1_have_no_concentration(baseline: float, t10: float) -> None:
    signal = np.array([[100.0, 120.0], [100.0, 120.0]])
    result = signal_to_concentration(signal, [baseline, 100.0], [t10, 1.0], **SEQUENCE)
    assert np.isnan(result[0]).all()
    assert np.isfinite(result[1]).all()


def test_signals_above_full_relaxation_or_below_zero_have_no_concentration() -> None:
    relaxed = 100 * (1 - np.exp(-0.005) * np.cos(SEQUENCE["flip_angle"])) / (1 - np.exp(-0.005))
    signal = [[0.99 * relaxed, relaxed, 2 * relaxed, -1.0]]
    result = signal_to_concentration(signal, [100.0], [1.0], **SEQUENCE)
    np.testing.assert_array_equal(np.isnan(result), [[False, True, True, True]])


def test_without_signal_the_relaxation_rate_is_zero() -> None:
    assert signal_to_concentration([[0.0]], [100.0], [1.5], **SEQUENCE)[0, 0] == pytest.approx(
        -1 / (1.5 * 4.5)
    )


def test_noise_below_the_baseline_is_a_negative_concentration() -> None:
    assert signal_to_concentration([[95.0]], [100.0], [1.0], **SEQUENCE)[0, 0] < 0


@pytest.mark.parametrize("last", [0, 1, 3, 7])
def test_bolus_arrival_finds_the_last_frame_before_the_rise(last: int) -> None:
    t = np.arange(25.0)
    curve = 100 + np.where(t > last, 80 * np.exp(-(t - last - 1) / 20), 0.0)
    curve += np.random.default_rng(1).normal(0, 1, 25) * (t != last)
    assert bolus_arrival(curve) == last


def test_slow_uptake_is_found_within_a_frame() -> None:
    t = np.arange(40.0)
    assert abs(bolus_arrival(1 - np.exp(-np.maximum(t - 6, 0) / 12)) - 6) <= 1


def test_a_curve_that_never_rises_is_refused() -> None:
    with pytest.raises(InputError, match=r"BaselineVolumes: .*highest in its first frame"):
        bolus_arrival([5.0, 4.0, 3.0])
