"""``bids_qmri.fit`` answers as the command line does, for every technique, and refuses in its words."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import contrasts
import numpy as np
import pytest
import synth

import bids_qmri
from bids_qmri import DiffusionProtocol, InputError, Status
from bids_qmri.estimators.networks.network_file import shipped_network
from bids_qmri.physics.protocol import Protocol
from bids_qmri.testing import simulate

IVIM_BVALS = np.array([0.0, 10, 20, 30, 50, 75, 100, 150, 250, 400, 600, 800])
SHELLS = np.array([0.0] * 4 + [700.0] * 20 + [2000.0] * 40)
SHELLED = DiffusionProtocol(SHELLS, synth.gradient_table(list(SHELLS)))
SINGLE = DiffusionProtocol(SHELLS[:24], synth.gradient_table(list(SHELLS[:24])))
TIME = 5.0 * np.arange(50)

PROTOCOLS: dict[str, Callable[[], Protocol]] = {
    "vfa": lambda: bids_qmri.VfaProtocol(np.deg2rad([2.0, 5, 10, 15, 25]), 0.012),
    "ivim": lambda: DiffusionProtocol(IVIM_BVALS),
    "dti": lambda: SINGLE,
    "dki": lambda: SHELLED,
    "noddi": lambda: SHELLED,
    "noddiexvivo": lambda: SHELLED,
    "etofts": lambda: bids_qmri.DceProtocol(TIME, TIME, synth.arterial_input(TIME, 20.0)),
    "tofts": lambda: bids_qmri.DceProtocol(TIME, TIME, synth.arterial_input(TIME, 20.0)),
    **{name: lambda protocol=protocol: protocol for name, protocol in contrasts.PROTOCOLS.items()},
}
ANSWERS = {"vfa": "t1", "ivim": "d", "dti": "md", "dki": "md", "noddi": "ndi", "etofts": "ktrans"} | {
    **{"irt1": "t1", "mese": "t2", "epg": "t2", "megre": "t2star"},
    **{"mpm": "mtsat", "mts": "t1", "mp2rage": "t1", "mtr": "mtr", "tb1": "b1", "adc": "adc"},
    "fieldmap": "b0",
}
"""A parameter that these protocols determine well."""


def test_every_model_is_here() -> None:
    assert set(PROTOCOLS) == set(bids_qmri.catalogue.model_names())


@pytest.mark.parametrize("model", PROTOCOLS)
def test_simulated_voxels_without_noise_are_explained(model: str) -> None:
    protocol = PROTOCOLS[model]()
    signal, truth, _ = simulate(model, protocol, voxels=40, snr=math.inf)
    estimator = "wls" if model in ("dti", "dki") else "lsq"
    found = bids_qmri.fit(model, signal, protocol, estimator=estimator)
    level = np.sqrt(np.mean(signal**2, axis=1))
    assert np.quantile(found.residual / level, 0.9) < 1e-3
    if model in ANSWERS:
        name = ANSWERS[model]
        np.testing.assert_allclose(np.median(found.maps[name] / truth[name]), 1.0, atol=1e-3)


@pytest.mark.parametrize(("model", "name"), ANSWERS.items())
def test_error_bars_hold_the_truth(model: str, name: str) -> None:
    protocol = PROTOCOLS[model]()
    signal, truth, sigma = simulate(model, protocol, voxels=2000, snr=80, seed=1)
    estimator = "wls" if model in ("dti", "dki") else "lsq"
    found = bids_qmri.fit(model, signal, protocol, estimator=estimator, sigma=sigma)
    ok = (found.status == Status.OK) & (found.sd[name] > 0)
    inside = np.abs(found.maps[name] - truth[name])[ok] < found.sd[name][ok]
    assert 0.6 < inside.mean() < 0.76


@pytest.mark.parametrize("model", ["vfa", "ivim", "noddi", "etofts", "irt1", "megre"])
def test_ordinary_voxels_are_within_what_a_network_was_trained_for(model: str) -> None:
    protocol = PROTOCOLS[model]()
    signal, _, sigma = simulate(model, protocol, voxels=300, snr=60)
    found = bids_qmri.fit(model, signal, protocol, estimator="ncde", sigma=sigma)
    assert np.mean(found.status == Status.OK) > 0.8
    file = shipped_network(model)
    assert file is not None
    again = bids_qmri.fit(model, signal, protocol, estimator=bids_qmri.load_network(file), sigma=sigma)
    for name, values in found.maps.items():
        np.testing.assert_array_equal(again.maps[name], values, err_msg=name)


def test_fields_of_the_protocol_make_one() -> None:
    protocol = PROTOCOLS["ivim"]()
    signal, _, _ = simulate("ivim", protocol, voxels=20, snr=50)
    one = bids_qmri.fit("ivim", signal, protocol)
    other = bids_qmri.fit("ivim", signal, bvals=IVIM_BVALS)
    np.testing.assert_array_equal(one.maps["d"], other.maps["d"])


def test_results_have_the_shape_of_the_voxels() -> None:
    protocol = PROTOCOLS["noddi"]()
    signal, _, sigma = simulate("noddi", protocol, voxels=12, snr=50)
    image = signal.reshape(2, 3, 2, -1)
    found = bids_qmri.fit("noddi", image, protocol, sigma=np.full((2, 3, 2), sigma))
    flat = bids_qmri.fit("noddi", signal, protocol, sigma=sigma)
    assert found.status.shape == found.residual.shape == (2, 3, 2)
    for name, values in flat.maps.items():
        np.testing.assert_array_equal(found.maps[name], values.reshape(2, 3, 2), err_msg=name)


def test_directions_are_averaged_for_a_model_of_b_alone() -> None:
    b = np.repeat(IVIM_BVALS, 3)
    signal, _, _ = simulate("ivim", DiffusionProtocol(IVIM_BVALS), voxels=20, snr=math.inf)
    factors = np.where(b[:, None] > 0, np.tile([[0.9], [1.0], [1 / 0.9]], (IVIM_BVALS.size, 1)), 1.0)
    spread = np.repeat(signal, 3, axis=1) * factors.T
    found = bids_qmri.fit("ivim", spread, bvals=b).maps["d"]
    np.testing.assert_allclose(found, bids_qmri.fit("ivim", signal, bvals=IVIM_BVALS).maps["d"], rtol=1e-6)


def test_settings_belong_to_the_model() -> None:
    protocol = PROTOCOLS["noddi"]()
    slow = bids_qmri.get_model("noddi", d_par=1.2e-3)
    signal, truth, _ = simulate(slow, protocol, voxels=40, snr=math.inf)
    told = bids_qmri.fit(slow, signal, protocol).maps["ndi"]
    untold = bids_qmri.fit("noddi", signal, protocol).maps["ndi"]
    assert np.median(np.abs(told - truth["ndi"])) < 1e-3 < np.median(np.abs(untold - truth["ndi"]))


VFA: dict[str, Any] = {"model": "vfa", "signal": np.ones((3, 2)), "bvals": None} | {
    "flip_angle": np.deg2rad([3.0, 20.0]),
    "repetition_time": 0.015,
}
GOOD: dict[str, Any] = {"model": "ivim", "signal": np.ones((2, 12)), "bvals": IVIM_BVALS}


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"model": "ivmi"}, r"model: is 'ivmi'; needed: one of vfa, ivim"),
        ({"signal": np.ones((2, 5))}, r"signal: has shape \(2, 5\); needed: .* 12 measurements last"),
        ({"signal": "image.nii"}, r"signal: cannot be read as numbers"),
        ({"bvals": None, "bval": IVIM_BVALS}, r"protocol: bval given; needed: .*bvals"),
        ({"bvals": None}, r"protocol: nothing is given; needed: .*; fix: "),
        ({"protocol": SHELLED}, r"protocol: both are given"),
        ({"bvals": -IVIM_BVALS}, r"b-value"),
        ({"estimator": "lsqq"}, r"estimator: is 'lsqq'; needed: one of lsq, mle"),
        ({"estimator": "dipy"}, r"estimator: is 'dipy'; needed: one of"),
        ({"sigma": np.ones(5)}, r"sigma: has shape \(5,\); needed: one number, or shape \(2,\)"),
        ({"sigma": -1.0}, r"sigma"),
        ({"bounds": {"dd": (0, 1)}}, r"bounds: there is no parameter 'dd'; needed: some of d, dstar, f"),
        ({"bounds": {"d": (2e-3, 1e-3)}}, r"bounds: d from 0.002 to 0.001; needed: two numbers within"),
        ({"bounds": {"d": 1}}, r"bounds: d is 1; needed: two numbers within"),
        ({"estimator": "dipyTrr", "bounds": {"d": (0, 1e-3)}}, r"dipyTrr keeps limits of its own; .*fix: "),
        ({"model": "dti", "bvals": IVIM_BVALS}, r"dti cannot be fitted: no gradient directions"),
        (
            {"model": "vfa", "bvals": None, "protocol": SHELLED},
            r"is a DiffusionProtocol; needed: a VfaProtocol",
        ),
        ({"estimator": bids_qmri.get_estimator("noddi", "nngt")}, r"nngt"),
        ({"signal": np.ones((2, 12)) * 1j}, r"signal: is complex; needed: magnitudes; fix: "),
        (
            VFA | {"flip_angle": [1.0, 3.0]},
            r"flip angle is 172 degrees; up to 90 can be meant, in rad",
        ),
        (VFA | {"repetition_time": 12.0}, r"a repetition time is 12 s; up to 1 can be meant: divide"),
        (
            VFA | {"estimator": "ncde"},
            r"sigma: the noise level is estimated from 3 measurements or more, not 2",
        ),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], seen: str) -> None:
    given = {name: value for name, value in (GOOD | change).items() if value is not None}
    with pytest.raises(InputError, match=seen):
        bids_qmri.fit(**given)


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = "import sys, bids_qmri; bids_qmri.get_model; print([m for m in HEAVY if m in sys.modules])"
    heavy = ["numpy", "scipy", "nipype", "nibabel", "dipy", "onnxruntime", "matplotlib", "torch", "bids"]
    done = subprocess.run(
        [sys.executable, "-c", code.replace("HEAVY", repr(heavy))], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["VfaProtocol", "DceProtocol", "DiffusionProtocol", *bids_qmri.__all__])
def test_public_names_are_found(name: str) -> None:
    assert getattr(bids_qmri, name) is not None


def test_the_models_of_dipy_users_give_the_same() -> None:
    protocol = PROTOCOLS["ivim"]()
    signal, _, sigma = simulate("ivim", protocol, voxels=24, snr=60)
    data = signal.reshape(4, 3, 2, -1)
    model = bids_qmri.QmriModel("ivim", protocol, estimator="ncde", sigma=sigma)
    found = model.fit(data, np.ones((4, 3, 2), dtype=bool))
    other = bids_qmri.fit("ivim", data, protocol, estimator="ncde", sigma=sigma)
    np.testing.assert_allclose(found.params["d"], other.maps["d"], rtol=1e-6)
    tensor = bids_qmri.QmriModel("dti", SINGLE, estimator="wls").fit(
        simulate("dti", SINGLE, voxels=6, snr=50)[0]
    )
    assert tensor.params["fa"].shape == (6,)


def test_an_odd_voxel_does_not_tell_the_noise_of_all_others() -> None:
    """With as many measurements as parameters the noise level must be given."""
    protocol = bids_qmri.VfaProtocol(np.deg2rad([3.0, 20.0]), 0.015)
    signal, truth, sigma = simulate("vfa", protocol, voxels=300, snr=80)
    odd = np.concatenate([signal, [[0.6, 0.01]]])
    with pytest.raises(InputError, match="noise level"):
        bids_qmri.fit("vfa", odd, protocol, estimator="map")
    found = bids_qmri.fit("vfa", odd, protocol, estimator="map", sigma=sigma)
    assert np.median(np.abs(found.maps["t1"][:300] / truth["t1"] - 1)) < 0.1


def test_options_of_estimators_are_those_that_exist() -> None:
    with pytest.raises(InputError, match="there is no option thread; needed: network, seed, threads"):
        bids_qmri.get_estimator("vfa", "ncde", thread=2)
    with pytest.raises(InputError, match="threads: is 0; needed: 1 or more"):
        bids_qmri.get_estimator("vfa", "ncde", threads=0)


@pytest.mark.parametrize("model", ["vfa", "ivim", "dti", "noddi"])
def test_fits_of_dipy_users_predict_what_was_measured(model: str) -> None:
    protocol = PROTOCOLS[model]()
    signal, _, _ = simulate(model, protocol, voxels=12, snr=math.inf)
    estimator = "wls" if model == "dti" else "lsq"
    fit = bids_qmri.QmriModel(model, protocol, estimator=estimator).fit(signal.reshape(3, 4, -1))
    again = fit.predict().reshape(12, -1)
    level = np.sqrt(np.mean(signal**2, axis=1, keepdims=True))
    assert np.median(np.abs(again - signal) / level) < 1e-3


def test_limits_that_a_network_would_not_keep_are_refused() -> None:
    for label in ("nnmle", "nngt"):
        with pytest.raises(InputError, match=rf"{label} keeps limits of its own"):
            bids_qmri.fit("noddi", np.ones((2, 64)), SHELLED, estimator=label, bounds={"ndi": (0.1, 0.9)})
