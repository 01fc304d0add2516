"""Files of networks: what fits is loaded once, what differs is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys

import networks
import numpy as np
import pytest

from bids_qmri.errors import InputError
from bids_qmri.estimators.networks.network_file import (
    load_network,
    read_card,
    require_shipped_network,
    shipped_network,
    summary,
)
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA


def test_a_network_answers_any_number_of_voxels_and_measurements(tmp_path):
    network = load_network(networks.write_network(tmp_path, IVIM), IVIM)
    card = network.card
    for voxels, count in ((1, 4), (100, 32)):
        path = np.ones((voxels, count, len(card["channels"])), dtype=np.float32)
        context = np.ones((voxels, len(card["context"])), dtype=np.float32)
        shift, spread = network.run(path, context)
        assert shift.shape == spread.shape == (voxels, 3)
        assert np.all(spread > 0)


def test_a_network_is_loaded_once(tmp_path):
    file = networks.write_network(tmp_path, VFA)
    assert load_network(file, VFA) is load_network(file, VFA)


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"model": "ivim"}, "model: is ivim; needed: vfa"),
        ({"quantities": ["t2"]}, "quantities: is t2; needed: t1"),
        ({"channels": ["signal"]}, "channels: is signal; needed: signal, "),
        ({"context": ["map_t1"]}, "context: is map_t1; needed: map_t1, "),
        ({"format": 99}, "format: is 99"),
        ({"anchor": "guess"}, "anchor: is 'guess'; needed: map or box"),
        ({"coverage": None}, "coverage: is missing"),
    ],
)
def test_a_network_of_other_features_is_refused_by_name(tmp_path, changes, fragment):
    file = networks.write_network(tmp_path, VFA, **changes)
    with pytest.raises(InputError, match=rf"random-vfa\.json: {fragment}"):
        load_network(file, VFA)


def test_a_card_of_another_network_is_refused(tmp_path):
    file = networks.write_network(tmp_path, VFA, inside=networks.card_of(VFA, seed=2))
    with pytest.raises(InputError, match=r"card inside random-vfa\.onnx differs in seed"):
        load_network(file, VFA)


def test_changed_weights_are_refused_by_their_hash(tmp_path):
    file = networks.write_network(tmp_path, VFA)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"random-vfa\.onnx: sha256: hash of the file is"):
        load_network(file, VFA)


def test_an_operator_set_of_the_future_is_refused(tmp_path):
    file = networks.write_network(tmp_path, VFA, opset=20)
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(file)
    proto.opset_import[0].version = 999
    file.write_bytes(proto.SerializeToString())
    networks.seal(file, networks.card_of(VFA))
    with pytest.raises(InputError, match=r"opset: onnxruntime .* cannot load it .* its card says opset 20"):
        load_network(file, VFA)


def test_weights_in_a_second_file_are_refused(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    file = networks.write_network(tmp_path, IVIM)
    proto = onnx.load(file)
    onnx.save(
        proto,
        file,
        save_as_external_data=True,
        location="more.data",
        size_threshold=0,
        convert_attribute=True,
    )
    networks.seal(file, networks.card_of(IVIM))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="external_data: some of its weights lie in another file"):
        load_network(file, IVIM)


def test_an_interface_of_other_sizes_is_refused(tmp_path):
    small = networks.write_network(tmp_path, VFA, channels=["signal"], inside=networks.card_of(VFA))
    networks.seal(small, networks.card_of(VFA))
    with pytest.raises(InputError, match=r"inputs and outputs are .*'path': \(3, 1\)"):
        load_network(small, VFA)


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_a_missing_or_broken_card_is_named(tmp_path, content):
    file = networks.write_network(tmp_path, VFA)
    card = file.with_suffix(".json")
    card.unlink() if content is None else card.write_text(content)
    with pytest.raises(InputError, match=r"random-vfa\.json"):
        read_card(file)


def test_a_file_that_is_no_network_is_named(tmp_path):
    file = networks.write_network(tmp_path, VFA)
    file.write_bytes(b"nothing of the kind")
    networks.seal(file, networks.card_of(VFA))
    with pytest.raises(InputError, match=r"random-vfa\.onnx: opset: onnxruntime"):
        load_network(file, VFA)


def test_a_network_that_is_not_shipped_is_said(tmp_path, monkeypatch):
    networks.ship(tmp_path, VFA, monkeypatch)
    assert shipped_network("vfa") == require_shipped_network("vfa") == tmp_path / "ncde-vfa.onnx"
    assert shipped_network("ivim") is None
    with pytest.raises(InputError, match=r"no network for ivim.* one: vfa;"):
        require_shipped_network("ivim")
    assert shipped_network("dti") is None


def test_the_summary_names_file_hash_and_coverage(tmp_path):
    file = networks.write_network(tmp_path, VFA)
    fields = summary(file)
    assert fields["File"] == file.name
    assert fields["SHA256"] == json.loads(file.with_suffix(".json").read_text())["weights"]["sha256"]
    assert fields["Coverage"]["repetition_time"] == [0.002, 0.05]


@pytest.mark.parametrize("model_name", ["vfa", "ivim", "etofts", "noddi"])
def test_every_network_that_is_shipped_loads(model_name):
    from bids_qmri.catalogue import get_model

    if shipped_network(model_name) is None:
        pytest.skip(f"no network for {model_name} is shipped")
    network = load_network(require_shipped_network(model_name), get_model(model_name))
    assert network.card["model"] == model_name


def test_looking_for_networks_imports_no_heavy_package():
    code = (
        "import sys; from bids_qmri.estimators.networks.network_file import shipped_network as s; s('vfa');"
        "print([name for name in ('onnxruntime', 'onnx', 'scipy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
