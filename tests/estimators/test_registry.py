from __future__ import annotations

import pickle
import subprocess
import sys

import networks
import numpy as np
import pytest

from bids_qmri.estimators.networks import coverage
from bids_qmri.estimators.base import FitResult
from bids_qmri.estimators.registry import (
    ALGORITHM,
    LABELS,
    NETWORKS,
    SCHEME_NETWORKS,
    algorithm_of,
    default_methods,
    get_estimator,
    labels_for,
)
from bids_qmri.models.registry import get_model
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol

ALL = [(model, label) for model, labels in LABELS.items() for label in labels]


@pytest.mark.parametrize(
    ("model", "methods", "expected"),
    [
        ("vfa", ["lsq"], ["lsq"]),
        ("vfa", ["bayes", "lsq", "mle", "dipy"], ["lsq", "mle", "bayes"]),
        ("vfa", ["ncde", "mlp", "map"], ["map", "ncde", "mlp"]),
        ("tofts", ["ncde"], []),
        ("ivim", ["dipy"], ["dipyTrr", "dipyVarpro"]),
        ("etofts", ["mle", "dipy"], []),
        ("tofts", ["lsq", "bayes"], ["lsq", "bayes"]),
        ("tensor", ["lsq"], ["wls"]),
        ("tensor", ["lsq", "dipy"], ["wls"]),
        ("dki", ["mle", "bayes"], []),
    ],
)
def test_methods_of_the_command_line_become_labels(model, methods, expected):
    assert labels_for(model, methods) == expected


def test_tensor_fit_chooses_the_labels_of_tensors():
    assert labels_for("tensor", ["dipy"], ["restore", "ols"]) == ["ols", "restore"]
    assert labels_for("dki", ["lsq"], ["nlls"]) == ["nlls"]


@pytest.mark.parametrize("label", sorted({label for _, label in ALL}))
def test_every_label_is_a_bids_label_with_a_sentence_and_a_doi(label):
    assert label.isalnum()
    assert ALGORITHM[label].description.endswith(".")
    assert "doi:10." in ALGORITHM[label].reference


def test_no_sentence_without_a_label():
    assert set(ALGORITHM) == {label for _, label in ALL}


def test_the_network_for_any_shells_is_described_as_what_it_is():
    assert "multi-shell" in algorithm_of("noddi", "ncde").description
    assert "anchor" not in algorithm_of("noddi", "ncde").description
    assert algorithm_of("vfa", "ncde") is ALGORITHM["ncde"]


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
    g = rng.normal(size=(2, 30, 3))
    g = np.concatenate([np.zeros((2, 3)), *(g / np.linalg.norm(g, axis=2, keepdims=True))])
    b = np.r_[0, 0, np.full(30, 1000.0), np.full(30, 2000.0)]
    return 100 * np.exp(-np.outer([1e-3, 2e-3], b)) + rng.uniform(0, 1, (2, 62)), DiffusionProtocol(b, g)


OTHERS = [("noddi", label) for label in ("ncde", *SCHEME_NETWORKS)]
"""Networks of NODDI, which have cards and tests of their own."""


@pytest.mark.parametrize(
    ("model", "label"), [pair for pair in ALL if pair[1] != "dipyVarpro" and pair not in OTHERS]
)
def test_every_estimator_answers_the_one_call(model, label, tmp_path, monkeypatch):
    signal, protocol = small_problem(model)
    if label in NETWORKS:
        trained = {name: array.tolist() for name, array in coverage.values(protocol).items()}
        shipped = networks.ship(tmp_path, get_model(model), monkeypatch, protocol=trained)
    network = shipped if label == "mlp" else None
    result = get_estimator(model, label, network=network)(signal, protocol, 0.01, None)
    assert isinstance(result, FitResult)
    assert all(values.shape == (2,) for values in (*result.maps.values(), result.residual, result.status))


@pytest.mark.parametrize(("model", "label"), [("vfa", "lsq"), ("tensor", "wls"), ("ivim", "dipyTrr")])
def test_estimators_survive_the_trip_to_a_worker(model, label):
    signal, protocol = small_problem(model)
    estimator = get_estimator(model, label)
    there = pickle.loads(pickle.dumps(estimator))(signal, protocol, None, None)
    here = estimator(signal, protocol, None, None)
    for name, values in here.maps.items():
        np.testing.assert_array_equal(there.maps[name], values)


@pytest.mark.parametrize(("model", "label"), [("vfa", "wls"), ("etofts", "mle"), ("magic", "lsq")])
def test_labels_that_a_model_lacks_are_refused(model, label):
    with pytest.raises(ValueError, match="has no estimator"):
        get_estimator(model, label)


def test_networks_are_a_default_where_they_are_shipped(tmp_path, monkeypatch):
    networks.ship(tmp_path, VFA, monkeypatch)
    assert default_methods("vfa") == ("lsq", "ncde")
    assert default_methods("ivim") == default_methods("tensor") == ("lsq",)


@pytest.mark.parametrize(("label", "network"), [("mlp", None), ("ncde", "net.onnx")])
def test_a_network_file_belongs_to_mlp_alone(label, network):
    with pytest.raises(ValueError, match="mlp needs one"):
        get_estimator("vfa", label, network=network)


def test_asking_for_labels_imports_no_heavy_package():
    code = (
        "import sys; from bids_qmri.estimators import registry; registry.get_estimator('vfa', 'lsq');"
        "print([name for name in ('dipy', 'scipy', 'nibabel', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
