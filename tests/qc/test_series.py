"""Quality of images: noise, decay and agreement within shells, each of a series of known truth."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.qc.series import SeriesDesign, SeriesTally

BVALS = np.array([0.0, 1000.0, 2000.0])
SHELL = np.repeat([0, 1, 2], 5)
VOXELS = 5000


def design(**changes: object) -> SeriesDesign:
    fields = {"n_measurements": 15, "reference": np.arange(5), "equal": True, "shell": SHELL, "bvals": BVALS}
    return SeriesDesign(**(fields | changes))  # type: ignore[arg-type]


def images(levels: tuple[float, ...] = (1.0, 0.4, 0.2), sigma: float = 5.0) -> np.ndarray:
    rng = np.random.default_rng(1)
    brightness = rng.uniform(300, 900, VOXELS)
    return brightness[:, None] * np.array(levels)[SHELL] + rng.normal(0, sigma, (VOXELS, 15))


def metrics(signal: np.ndarray, sigma: float | None = None, **changes: object) -> dict[str, float | None]:
    tally = SeriesTally(design(**changes))
    for part in np.array_split(signal, 7):
        tally.add(part)
    return tally.metrics(sigma)


def test_noise_is_told_from_repetitions_and_snr_prefers_that_of_residuals() -> None:
    found = metrics(images())
    assert found["sigma"] is None
    assert found["sigma_repeats"] == pytest.approx(5.0, rel=0.03)
    assert found["signal_median"] == pytest.approx(600, rel=0.03)
    assert found["snr"] == pytest.approx(120, rel=0.06)
    assert metrics(images(), sigma=10.0)["snr"] == pytest.approx(60, rel=0.03)


def test_one_reference_image_or_unequal_ones_tell_no_noise() -> None:
    assert metrics(images(), reference=np.array([0]))["sigma_repeats"] is None
    assert metrics(images(), equal=False)["sigma_repeats"] is None


def test_a_decaying_series_never_rises() -> None:
    found = metrics(images())
    assert found["shell_decay_rises"] == 0
    assert found["shell_decay_max_step"] == pytest.approx(-0.2, abs=0.01)


def test_swapped_shells_are_seen() -> None:
    found = metrics(images((1.0, 0.2, 0.4)))
    assert found["shell_decay_rises"] == 1
    assert found["shell_decay_max_step"] == pytest.approx(0.2, abs=0.01)


def test_correlation_is_that_with_the_mean_of_the_other_images_of_the_shell() -> None:
    signal = images(sigma=100.0)
    tally = SeriesTally(design())
    tally.add(signal[:2000])
    tally.add(signal[2000:])
    others = signal[:, [6, 7, 8, 9]].mean(axis=1)
    assert tally.correlation()[5] == pytest.approx(np.corrcoef(signal[:, 5], others)[0, 1])


def test_an_image_that_moved_has_the_smallest_correlation() -> None:
    signal = images(sigma=20.0)
    before = metrics(signal)
    signal[:, 7] = np.roll(signal[:, 7], 1)
    after = metrics(signal)
    assert (after["shell_correlation_min"] or 1) < 0.5 < (before["shell_correlation_min"] or 0)
    assert after["shell_correlation_median"] == pytest.approx(before["shell_correlation_median"], abs=0.1)


def test_a_series_without_shells_has_no_shell_metrics() -> None:
    found = metrics(images(), shell=None, bvals=None)
    assert {found[name] for name in found if name.startswith("shell")} == {None}
    assert found["signal_median"] is not None


def test_voxels_that_are_not_finite_do_not_count_and_nothing_at_all_is_no_number() -> None:
    signal = images()
    broken = np.vstack([signal, np.full((9, 15), np.nan)])
    assert metrics(broken) == metrics(signal) or metrics(broken)["snr"] == pytest.approx(
        metrics(signal)["snr"]
    )
    assert set(metrics(np.full((9, 15), np.nan)).values()) == {None}


def test_curves_by_shell_are_what_reports_can_draw() -> None:
    tally = SeriesTally(design())
    tally.add(images())
    curves = tally.shells()
    assert curves is not None
    assert curves["BValues"] == [0, 1000, 2000]
    assert curves["Images"] == [5, 5, 5]
    np.testing.assert_allclose(curves["NormalisedSignal"], [1, 0.4, 0.2], atol=0.01)
