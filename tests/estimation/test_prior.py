"""Which prior a fit is told: one the scan can teach, an even one that says why, or one of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bids_qmri
from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimation.blocks import fit_array
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimation.prior import PriorSample, choose_prior, read_priors, sample_voxels
from bids_qmri.estimators.base import get_estimator
from bids_qmri.estimators.posterior.learned import LEAST_VOXELS, MOST_VOXELS
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import EVEN, Bell, Prior
from bids_qmri.testing import simulate

IVIM = get_model("ivim")
PROTOCOL = DiffusionProtocol(np.array([0, 10, 20, 50, 100, 300, 600.0]))
MODELS = [get_model(name) for name in ("vfa", "ivim", "etofts", "noddi")]
TOLD = {"ivim": Prior((("d", Bell(1e-3, 2e-4)),), "told")}


def sample(voxels: int) -> PriorSample:
    signal, _, sigma = simulate("ivim", PROTOCOL, voxels=voxels, snr=50)
    return PriorSample(signal, PROTOCOL, Noise(sigma, sigma))


def test_a_sample_is_drawn_by_its_seed_from_the_mask_and_is_not_larger_than_it_need_be() -> None:
    mask = np.random.default_rng(0).random(20_000) < 0.5
    first, again, other = (sample_voxels(mask, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.size == np.unique(first).size == MOST_VOXELS
    assert mask[first].all()
    assert np.all(np.diff(first) > 0)


def test_a_small_mask_is_its_own_sample() -> None:
    mask = np.zeros(5000, dtype=bool)
    mask[7:1007] = True
    np.testing.assert_array_equal(sample_voxels(mask, 1), np.arange(7, 1007))


def test_a_scan_of_enough_voxels_teaches_a_prior() -> None:
    prior = choose_prior(IVIM, "scan", None, sample(LEAST_VOXELS))
    assert {name for name, _ in prior.bells} == {"d", "dstar", "f"}
    assert prior.origin.startswith("scan")


@pytest.mark.parametrize("bounds", [{"d": (2e-3, 4e-3)}, {"d": (1e-4, 5e-4)}])
def test_a_prior_centred_outside_the_limits_is_refused(bounds: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(InputError, match=r"ivim\.d: is centred at 0\.001 .*the limits of the fit"):
        choose_prior(IVIM, TOLD, bounds, None)


@pytest.mark.parametrize("bounds", [None, {"d": (1e-3, 4e-3)}, {"d": (2e-3, 2e-3)}])
def test_a_prior_within_the_limits_or_of_a_fixed_parameter_is_as_told(bounds: Any) -> None:
    assert choose_prior(IVIM, TOLD, bounds, None) is TOLD["ivim"]


def test_a_handful_of_voxels_teaches_none_and_the_origin_says_so() -> None:
    prior = choose_prior(IVIM, "scan", None, sample(LEAST_VOXELS - 1))
    assert prior.bells == ()
    assert f"{LEAST_VOXELS - 1} voxels" in prior.origin


def test_voxels_that_cannot_be_fitted_do_not_count() -> None:
    few = sample(LEAST_VOXELS)
    few.signal[0] = np.nan
    few.signal[1, 2] = -1.0
    assert f"{LEAST_VOXELS - 2} voxels" in choose_prior(IVIM, "scan", None, few).origin


def test_unknown_noise_teaches_no_prior() -> None:
    prior = choose_prior(IVIM, "scan", None, None)
    assert prior.bells == ()
    assert "noise" in prior.origin


def test_choices_that_need_no_scan() -> None:
    assert choose_prior(IVIM, "box", None, sample(600)) is EVEN
    assert choose_prior(IVIM, TOLD, None, None) == TOLD["ivim"]
    other = choose_prior(get_model("vfa"), TOLD, None, None)
    assert other.bells == ()
    assert "vfa" in other.origin


@pytest.mark.parametrize("label", ["bayes", "map"])
def test_fits_learn_from_what_they_are_given(label: str) -> None:
    signal, truth, sigma = simulate("ivim", PROTOCOL, voxels=800, snr=15)
    fits = {
        choice: bids_qmri.fit("ivim", signal, PROTOCOL, estimator=label, sigma=sigma, prior=choice)
        for choice in ("scan", "box")
    }
    error = {choice: np.mean((found.maps["d"] - truth["d"]) ** 2) for choice, found in fits.items()}
    assert error["scan"] < error["box"]
    usual = bids_qmri.fit("ivim", signal, PROTOCOL, estimator=label, sigma=sigma)
    np.testing.assert_array_equal(usual.maps["d"], fits["scan"].maps["d"])


def test_a_prior_is_the_same_as_an_object_and_in_a_file(tmp_path: Path) -> None:
    signal, _, sigma = simulate("ivim", PROTOCOL, voxels=20, snr=15)
    file = tmp_path / "study.toml"
    file.write_text("[ivim.d]\ncentre = 1e-3\nwidth = 2e-4\n")
    given, read, even = (
        bids_qmri.fit("ivim", signal, PROTOCOL, estimator="bayes", sigma=sigma, prior=prior)
        for prior in (TOLD["ivim"], file, "box")
    )
    np.testing.assert_array_equal(given.maps["d"], read.maps["d"])
    assert not np.array_equal(given.maps["d"], even.maps["d"])
    with pytest.raises(InputError, match="prior: is 'tissue'; needed: box, scan"):
        bids_qmri.fit("ivim", signal, PROTOCOL, estimator="bayes", sigma=sigma, prior="tissue")


def test_estimators_without_a_prior_do_not_ask() -> None:
    signal, _, _ = simulate("ivim", PROTOCOL, voxels=600, snr=15)
    how = prepare(IVIM, get_estimator("ivim", "lsq"), Scan(PROTOCOL))
    one, other = (
        fit_array(IVIM, get_estimator("ivim", "lsq"), how, signal, None, c) for c in ("box", "scan")
    )
    np.testing.assert_array_equal(one.maps["d"], other.maps["d"])


GOOD: dict[str, Any] = {
    "ivim": {
        "d": {"centre": 1.1e-3, "width": 2e-4, "unit": "mm^2/s"},
        "dstar": {"centre": 0.03, "width": 0.5},
    },
    "noddi": {"ndi": {"centre": 0.55, "width": 0.1}},
}

TOML = """
[ivim.d]
centre = 1.1e-3
width = 2e-4
unit = "mm^2/s"

[ivim.dstar]
centre = 0.03
width = 0.5

[noddi.ndi]
centre = 0.55
width = 0.1
"""


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    one, other = tmp_path / "study.toml", tmp_path / "study.json"
    one.write_text(TOML)
    other.write_text(json.dumps(GOOD))
    first, second = (read_priors(file, MODELS) for file in (one, other))
    assert (
        first["ivim"].bells
        == second["ivim"].bells
        == (
            ("d", Bell(1.1e-3, 2e-4)),
            ("dstar", Bell(0.03, 0.5)),
        )
    )
    assert first["noddi"].of("ndi") == Bell(0.55, 0.1)
    assert first["ivim"].origin == "file study.toml"


def test_what_a_sidecar_says_of_a_prior_can_be_told(tmp_path: Path) -> None:
    """Its fields are spelled as those of sidecars are."""
    file = tmp_path / "study.json"
    file.write_text(json.dumps({"ivim": TOLD["ivim"].sidecar()}))
    assert read_priors(file, MODELS)["ivim"].bells == TOLD["ivim"].bells


@pytest.mark.parametrize(
    ("content", "field", "needed"),
    [
        ({"mese": {"t2": {"centre": 0.1, "width": 0.1}}}, "model", "vfa"),
        ({"ivim": {"t1": {"centre": 1.0, "width": 0.1}}}, "ivim.t1", "one of d, dstar, f"),
        ({"ivim": {"s0": {"centre": 1.0, "width": 0.1}}}, "ivim.s0", "one of d, dstar, f"),
        ({"ivim": {"d": {"centre": 1.1, "width": 2e-4}}}, "ivim.d", "mm^2/s"),
        ({"ivim": {"d": {"centre": 1e-3, "width": 0.0}}}, "ivim.d", "mm^2/s"),
        ({"ivim": {"d": {"centre": 1e-3, "width": -1e-4}}}, "ivim.d", "mm^2/s"),
        ({"ivim": {"d": {"centre": 1e-3, "width": 0.2}}}, "ivim.d", "mm^2/s"),
        ({"ivim": {"d": {"centre": 1e-3, "width": float("nan")}}}, "ivim.d", "mm^2/s"),
        ({"ivim": {"d": {"centre": True, "width": 1e-4}}}, "ivim.d", "0 to"),
        ({"ivim": {"d": {"centre": "1e-3", "width": 1e-4}}}, "ivim.d", "0 to"),
        ({"ivim": {"dstar": {"centre": 0.03, "width": 30.0}}}, "ivim.dstar", "natural logarithm"),
        ({"ivim": {"dstar": {"centre": 0.03, "width": 1e-3}}}, "ivim.dstar", "natural logarithm"),
        ({"ivim": {"d": {"centre": 1.1, "width": 0.2, "unit": "um^2/ms"}}}, "ivim.d", "mm^2/s"),
        ({"ivim": {"d": {"centre": 1e-3}}}, "ivim.d", "centre, width"),
        ({"ivim": {"d": {"centre": 1e-3, "width": 1e-4, "sd": 1e-4}}}, "ivim.d", "centre, width"),
        ({"ivim": {"d": 1e-3}}, "ivim.d", "centre, width"),
        ({"ivim": 1e-3}, "model", "vfa"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, content: dict[str, Any], field: str, needed: str
) -> None:
    file = tmp_path / "study.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        read_priors(file, MODELS)
    assert caught.value.file == file
    assert caught.value.field == field
    assert needed in str(caught.value.needed)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.toml", "[ivim.d"), ("a.json", "{"), ("a.toml", ""), ("a.json", "[1, 2]"), ("a.json", "{}")],
)
def test_files_that_hold_no_prior_are_refused(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InputError, match=name) as caught:
        read_priors(file, MODELS)
    assert caught.value.needed
