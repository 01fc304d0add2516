"""Every estimator of the catalogue answers the one call, for every model it serves."""

from __future__ import annotations

import pickle
import subprocess
import sys

import contrasts
import networks
import numpy as np
import pytest

from bids_qmri import catalogue
from bids_qmri.catalogue import get_model, labels_for
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, estimator_class, get_estimator
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.workflows.estimators import default_words

ALL = [(entry.name, label) for _, entry in catalogue.entries() for label in entry.estimators]


@pytest.mark.parametrize(
    ("model", "words", "expected"),
    [
        ("vfa", ["lsq"], ["lsq"]),
        ("vfa", ["bayes", "lsq", "mle", "dipy"], ["lsq", "mle", "bayes"]),
        ("vfa", ["ncde", "mlp", "map"], ["map", "ncde", "mlp"]),
        ("tofts", ["ncde"], []),
        ("ivim", ["dipy"], ["dipyTrr", "dipyVarpro"]),
        ("etofts", ["mle", "dipy"], []),
        ("tofts", ["lsq", "bayes"], ["lsq", "bayes"]),
        ("dti", ["lsq"], ["wls"]),
        ("dti", ["lsq", "dipy"], ["wls"]),
        ("dti", ["ols"], ["ols"]),
        ("dki", ["mle", "bayes"], []),
    ],
)
def test_words_of_the_command_line_become_labels(model, words, expected):
    assert labels_for(model, words) == expected


def test_preferred_labels_are_what_words_for_several_mean():
    assert labels_for("dti", ["dipy"], ["restore", "ols"]) == ["ols", "restore"]
    assert labels_for("dki", ["lsq"], ["nlls"]) == ["nlls"]
    assert labels_for("ivim", ["dipy"], ["nlls"]) == ["dipyTrr", "dipyVarpro"]


def test_the_former_name_of_a_model_still_means_it():
    assert get_model("tensor") is get_model("dti")


@pytest.mark.parametrize(("model", "label"), ALL)
def test_every_label_is_a_bids_label_with_a_sentence_and_a_doi(model, label):
    kind = estimator_class(model, label)
    assert kind.label == label
    assert label.isalnum()
    assert kind.description.endswith(".")
    assert "doi:10." in kind.reference


def test_the_network_for_any_shells_is_described_as_what_it_is():
    assert "multi-shell" in estimator_class("noddi", "ncde").description
    assert "anchor" not in estimator_class("noddi", "ncde").description


def small_problem(model: str) -> tuple[np.ndarray, object]:
    """Return two voxels of positive signals with a protocol that the model can be fitted to."""
    if model == "vfa":
        return np.array([[0.05, 0.1, 0.06], [0.05, 0.08, 0.05]]), VfaProtocol(
            np.array([0.05, 0.15, 0.4]), 0.01
        )
    if model == "ivim":
        b = np.array([0, 10, 50, 200, 400, 800.0])
        noise = np.random.default_rng(0).normal(0, 0.02, (2, 6))
        return np.exp(-np.outer([1e-3, 2e-3], b)) + noise, DiffusionProtocol(b)
    if model in ("tofts", "etofts"):
        t = np.arange(0, 120, 10.0)
        return 0.1 * np.outer([1, 2], t / 120), DceProtocol(t, t, np.minimum(t, 20) / 4)
    rng = np.random.default_rng(0)
    if model in contrasts.PROTOCOLS:
        forward, protocol = get_model(model), contrasts.PROTOCOLS[model]
        clean = forward.predict(forward.draw(2, rng), protocol)
        return np.abs(clean + rng.normal(0, 0.005, clean.shape)), protocol
    g = rng.normal(size=(2, 30, 3))
    g = np.concatenate([np.zeros((2, 3)), *(g / np.linalg.norm(g, axis=2, keepdims=True))])
    b = np.r_[0, 0, np.full(30, 1000.0), np.full(30, 2000.0)]
    return 100 * np.exp(-np.outer([1e-3, 2e-3], b)) + rng.uniform(0, 1, (2, 62)), DiffusionProtocol(b, g)


OF_A_SCHEME = ("nnmle", "nngt", "onnx")
"""Networks that have cards and tests of their own."""


@pytest.mark.parametrize(
    ("model", "label"),
    [
        pair
        for pair in ALL
        if pair[1] not in ("dipyVarpro", "local", *OF_A_SCHEME) and pair != ("noddi", "ncde")
    ],
)
def test_every_estimator_answers_the_one_call(model, label, tmp_path, monkeypatch):
    signal, protocol = small_problem(model)
    options = {}
    if label in ("ncde", "mlp"):
        trained = {name: array.tolist() for name, array in protocol.values().items()}
        more = {"protocol": trained} if label == "mlp" else {}
        options["network"] = networks.ship(tmp_path, get_model(model), monkeypatch, **more)
    result = get_estimator(model, label, **options).fit(get_model(model), signal, protocol, sigma=0.01)
    assert isinstance(result, FitResult)
    assert all(values.shape == (2,) for values in (*result.maps.values(), result.residual, result.status))


@pytest.mark.parametrize("model", [model for model, label in ALL if label == "local"])
def test_an_array_has_no_neighbours(model):
    signal, protocol = small_problem(model)
    with pytest.raises(InputError, match="neighbours"):
        get_estimator(model, "local").fit(get_model(model), signal, protocol, sigma=0.01)


@pytest.mark.parametrize(("model", "label"), [("vfa", "lsq"), ("dti", "wls"), ("ivim", "dipyTrr")])
def test_estimators_survive_the_trip_to_a_worker(model, label):
    signal, protocol = small_problem(model)
    estimator, forward = get_estimator(model, label), get_model(model)
    there = pickle.loads(pickle.dumps(estimator)).fit(forward, signal, protocol)
    here = estimator.fit(forward, signal, protocol)
    for name, values in here.maps.items():
        np.testing.assert_array_equal(there.maps[name], values)


def test_a_technique_of_its_own_serves_where_the_common_estimator_is_asked():
    signal, protocol = small_problem("noddi")
    common = Lsq().fit(get_model("noddi"), signal, protocol)
    own = get_estimator("noddi", "lsq").fit(get_model("noddi"), signal, protocol)
    np.testing.assert_array_equal(common.maps["ndi"], own.maps["ndi"])


@pytest.mark.parametrize(("model", "label"), [("vfa", "wls"), ("etofts", "mle")])
def test_labels_that_a_model_lacks_are_refused(model, label):
    with pytest.raises(InputError, match="has no estimator"):
        get_estimator(model, label)


def test_models_that_are_not_there_are_named():
    with pytest.raises(InputError, match=r"model: is 'magic'; needed: one of vfa, ivim"):
        get_estimator("magic", "lsq")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signal": np.ones((2, 4))}, r"signal: signals have shape \(2, 4\); needed: \(voxels, 3\)"),
        (
            {"protocol": DiffusionProtocol([0, 1, 2])},
            "protocol is a DiffusionProtocol; needed: a VfaProtocol",
        ),
        ({"sigma": np.ones(3)}, r"sigma: noise levels have shape \(3,\); needed: one number"),
        ({"bounds": {"t2": (0, 1)}}, r"bounds: vfa has no parameter \['t2'\]"),
        ({"bounds": {"t1": (2, 1)}}, "bounds: a lower bound of vfa is above its upper bound"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(arguments, message):
    signal, protocol = small_problem("vfa")
    given = {"signal": signal, "protocol": protocol} | arguments
    with pytest.raises(InputError, match=message):
        Lsq().fit(VFA, **given)


def test_networks_are_a_default_where_they_are_shipped(tmp_path, monkeypatch):
    networks.ship(tmp_path, VFA, monkeypatch)
    assert default_words("vfa") == ("lsq", "ncde")
    assert default_words("ivim") == default_words("dti") == ("lsq",)


def test_a_network_for_one_protocol_needs_its_file():
    signal, protocol = small_problem("vfa")
    with pytest.raises(InputError, match=r"network: no network is given.*bids_qmri-train"):
        get_estimator("vfa", "mlp").fit(VFA, signal, protocol)


def test_asking_for_an_estimator_imports_no_heavy_package():
    code = (
        "import sys; from bids_qmri.estimators.base import get_estimator; get_estimator('vfa', 'lsq');"
        "print([name for name in ('dipy', 'scipy', 'nibabel', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
