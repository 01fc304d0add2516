"""The network for any multi-shell protocol: accuracy, invariances, and where it says not to be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from multishell import noisy, published_scheme, random_axes, scan, spiral, two_shells

pytest.importorskip("onnxruntime")

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi import ncde as noddi_ncde
from bids_qmri.techniques.noddi.fit import NoddiLsq, NoddiMle
from bids_qmri.techniques.noddi.model import Noddi, noddi_signal
from bids_qmri.techniques.noddi.ncde import NoddiNcde

NODDI = Noddi()
QUANTITIES = ("ndi", "odi", "fwf")
SNR = 25.0


def root_mean_square(found: FitResult, truth: np.ndarray) -> np.ndarray:
    return np.array([np.sqrt(np.mean((found.maps[q] - truth[i]) ** 2)) for i, q in enumerate(QUANTITIES)])


def same(one: FitResult, other: FitResult, atol: float = 1e-5) -> None:
    for name in (*QUANTITIES, "misfit"):
        np.testing.assert_allclose(one.maps[name], other.maps[name], atol=atol)
    for name in QUANTITIES:
        np.testing.assert_allclose(one.sd[name], other.sd[name], atol=atol)
    np.testing.assert_array_equal(one.status, other.status)


@pytest.mark.parametrize("name", ["noddi_s1", "ukb_like", "clinical_2shell"])
@pytest.mark.parametrize("fwf", [0.5, 0.9])
def test_errors_on_schemes_never_trained_on_are_below_those_of_both_fits(
    shared_data: Path, name: str, fwf: float
) -> None:
    protocol = published_scheme(shared_data, name)
    truth, _, signal = scan(protocol, 1200, SNR, fwf=fwf)
    ours = NoddiNcde().fit(NODDI, signal, protocol, sigma=1 / SNR)
    for estimator in (NoddiLsq(), NoddiMle()):
        theirs = estimator.fit(NODDI, signal, protocol, sigma=1 / SNR)
        assert np.all(root_mean_square(ours, truth) <= 1.02 * root_mean_square(theirs, truth))


def test_standard_deviations_cover_two_thirds() -> None:
    protocol = two_shells()
    truth, _, signal = scan(protocol, 6000, SNR)
    found = NoddiNcde().fit(NODDI, signal, protocol, sigma=1 / SNR)
    for i, name in enumerate(QUANTITIES):
        assert 0.63 < np.mean(np.abs(found.maps[name] - truth[i]) < found.sd[name]) < 0.73


def test_noise_that_is_estimated_changes_little() -> None:
    protocol = two_shells()
    truth, _, signal = scan(protocol, 3000, SNR)
    known, estimated, none = (
        NoddiNcde().fit(NODDI, signal, protocol, sigma=s) for s in (1 / SNR, None, np.nan)
    )
    assert np.all(root_mean_square(estimated, truth) < 1.01 * root_mean_square(known, truth))
    # Least squares does not know it either.
    assert np.all(
        root_mean_square(none, truth) < root_mean_square(NoddiLsq().fit(NODDI, signal, protocol), truth)
    )


def test_other_diffusivities_are_told_to_the_network() -> None:
    protocol, rng = two_shells(), np.random.default_rng(4)
    truth = rng.uniform(0.1, [[0.9], [0.9], [0.5]], (3, 2000))
    infant = {"d_par": 1.4e-3, "d_iso": 2.8e-3}
    signal = noisy(noddi_signal(*truth, random_axes(2000, rng), protocol, **infant), 1 / SNR, rng)
    right, wrong = (NoddiNcde().fit(m, signal, protocol, sigma=1 / SNR) for m in (Noddi(**infant), NODDI))
    assert root_mean_square(right, truth)[0] < 0.8 * root_mean_square(wrong, truth)[0]


def test_scalars_turn_with_the_head_and_directions_follow() -> None:
    protocol = two_shells()
    _, _, signal = scan(protocol, 300, SNR)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    assert protocol.bvecs is not None
    here = NoddiNcde().fit(NODDI, signal, protocol, sigma=1 / SNR)
    there = NoddiNcde().fit(NODDI, signal, replace(protocol, bvecs=protocol.bvecs @ turn), sigma=1 / SNR)
    same(here, there)
    first, second = (np.array([f.maps[f"direction_{a}"] for a in "xyz"]) for f in (here, there))
    np.testing.assert_allclose(np.abs(np.sum((turn.T @ first) * second, axis=0)), 1.0, atol=1e-6)


def test_a_voxel_does_not_depend_on_those_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = two_shells()
    signal = scan(protocol, 700, SNR)[2]
    together = NoddiNcde().fit(NODDI, signal, protocol, sigma=1 / SNR)
    monkeypatch.setattr(noddi_ncde, "BLOCK_VOXELS", 60)
    same(together, NoddiNcde(threads=2).fit(NODDI, signal, protocol, sigma=1 / SNR), atol=1e-6)


def test_order_and_unit_of_the_images_do_not_matter() -> None:
    protocol = two_shells()
    signal = scan(protocol, 200, SNR)[2]
    order = np.random.default_rng(1).permutation(protocol.n_measurements)
    assert protocol.bvecs is not None
    other = DiffusionProtocol(protocol.bvals[order], protocol.bvecs[order])
    one = NoddiNcde().fit(NODDI, signal, protocol, sigma=1 / SNR)
    two = NoddiNcde().fit(NODDI, 500 * signal[:, order].astype(np.float32), other, sigma=500 / SNR)
    same(one, two, atol=1e-4)
    np.testing.assert_allclose(two.residual, 500 * one.residual, rtol=1e-3)


def test_direction_is_that_of_the_bundle_and_points_upwards() -> None:
    protocol, rng = two_shells(), np.random.default_rng(6)
    axes = random_axes(500, rng)
    bundle = [np.full(500, x) for x in (0.6, 0.1, 0.1)]
    found = NoddiNcde().fit(
        NODDI, noisy(noddi_signal(*bundle, axes, protocol), 0.03, rng), protocol, sigma=0.03
    )
    direction = np.array([found.maps[f"direction_{a}"] for a in "xyz"])
    assert np.all(direction[2] >= 0)
    assert np.median(np.abs(np.sum(direction.T * axes, axis=1))) > np.cos(np.deg2rad(4.0))


def test_residual_is_the_noise_where_the_model_holds() -> None:
    protocol = two_shells()
    found = NoddiNcde().fit(NODDI, 200 * scan(protocol, 2000, SNR)[2], protocol, sigma=200 / SNR)
    assert np.median(found.residual) == pytest.approx(200 / SNR, rel=0.06)
    np.testing.assert_allclose(np.median(found.maps["s0"]), 200, rtol=0.01)


def test_crossings_are_seen_in_the_misfit() -> None:
    protocol, rng = two_shells(), np.random.default_rng(7)
    bundle = [np.full(1000, x) for x in (0.65, 0.05, 0.05)]
    x, y = (np.tile(axis, (1000, 1)) for axis in np.eye(3)[:2])
    one, other = (noddi_signal(*bundle, axis, protocol) for axis in (x, y))
    single, crossing = (
        NoddiNcde().fit(NODDI, noisy(clean, 1 / SNR, rng), protocol, sigma=1 / SNR).maps["misfit"]
        for clean in (one, (one + other) / 2)
    )
    limit = np.quantile(single, 0.99)
    assert limit < 1.6
    assert np.mean(crossing > limit) > 0.9


def test_limits_cut_estimates_and_say_so() -> None:
    protocol = two_shells()
    signal = scan(protocol, 400, SNR)[2]
    found = NoddiNcde().fit(NODDI, signal, protocol, sigma=1 / SNR, bounds={"fwf": (0.0, 0.2)})
    assert found.maps["fwf"].max() == 0.2
    assert np.all(np.isin(found.status[found.maps["fwf"] == 0.2], (Status.AT_BOUND, Status.UNDETERMINED)))


def test_no_voxels_give_empty_maps() -> None:
    """As of a slice of air that a scanner sends."""
    found = NoddiNcde().fit(NODDI, np.empty((0, 78)), two_shells(), sigma=0.02)
    assert found.maps["ndi"].shape == found.status.shape == (0,)


def test_unusable_and_noisy_voxels_are_marked() -> None:
    protocol = two_shells()
    signal = scan(protocol, 6, 40.0)[2]
    signal[0, 3], signal[1], signal[2] = np.nan, 0.0, -signal[2]
    sigma = np.array([0.025, 0.025, 0.025, 0.025, 0.3, 1e-4])
    found = NoddiNcde().fit(NODDI, signal, protocol, sigma=sigma)
    assert found.status.tolist()[:3] == [Status.UNUSABLE] * 3
    assert found.status[4] == Status.OUT_OF_RANGE
    assert found.status[5] != Status.OUT_OF_RANGE
    assert all(
        np.all(np.isnan(values[:3])) and np.all(np.isfinite(values[3:])) for values in found.maps.values()
    )


@pytest.mark.parametrize(
    ("protocol", "model", "words"),
    [
        (two_shells(low=4), NODDI, "directions of a shell 4 to 48"),
        (two_shells(), Noddi(d_par=4e-3), "diffusivity along neurites"),
        (
            DiffusionProtocol(np.r_[0, np.full(30, 1000.0)], np.r_[np.zeros((1, 3)), spiral(30)]),
            NODDI,
            "shells 1 ",
        ),
        (replace(two_shells(), bvals=two_shells().bvals * 4), NODDI, "largest b-value 8000"),
    ],
)
def test_outside_of_its_training_every_voxel_is_marked(
    protocol: DiffusionProtocol, model: Noddi, words: str
) -> None:
    found = NoddiNcde().fit(model, scan(protocol, 10, SNR)[2], protocol, sigma=1 / SNR)
    assert any(words in note for note in found.notes)
    assert np.all(found.status == Status.OUT_OF_RANGE)


def test_what_does_not_fit_is_refused() -> None:
    protocol = two_shells()
    with pytest.raises(InputError, match="one column per measurement"):
        NoddiNcde().fit(NODDI, np.ones((3, 5)), protocol)
    with pytest.raises(InputError, match="numbers above 0"):
        NoddiNcde().fit(NODDI, np.ones((3, protocol.n_measurements)), protocol, sigma=0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_answers_that_are_not_finite_are_never_believed(
    monkeypatch: pytest.MonkeyPatch, value: float, which: int
) -> None:
    """Of ten voxels one gets an answer that is no number; the others stay what they were."""
    protocol = two_shells()
    _, _, signal = scan(protocol, 10, SNR)
    sound = NoddiNcde().fit(NODDI, signal, protocol, sigma=1 / SNR)
    run = noddi_ncde._values

    def spoiled(*arguments):
        answers = run(*arguments)
        answers[which][1, 4] = value
        return answers

    monkeypatch.setattr(noddi_ncde, "_values", spoiled)
    found = NoddiNcde().fit(NODDI, signal, protocol, sigma=1 / SNR)
    others = np.arange(10) != 4
    assert found.status[4] == Status.UNUSABLE
    assert np.isnan(found.maps["ndi"][4])
    np.testing.assert_array_equal(found.status[others], sound.status[others])
    np.testing.assert_array_equal(found.maps["ndi"][others], sound.maps["ndi"][others])
