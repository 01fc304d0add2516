"""``--network FILE``: a network is used for what its card says, or it is said why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth

from bids_qmri.cli.run import main
from bids_qmri.estimators.networks.network_file import shipped_network
from bids_qmri.inline.config import Shelf


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Return a copy of the IVIM network for any protocol, as if it had been trained elsewhere."""
    file = shipped_network("ivim")
    assert file is not None
    for suffix in (".onnx", ".json"):
        shutil.copy(file.with_suffix(suffix), tmp_path / f"mine{suffix}")
    return tmp_path / "mine.onnx"


@pytest.fixture
def command(tmp_path: Path):
    bids = synth.new_dataset(tmp_path / "bids")
    synth.add_ivim(bids)
    synth.add_vfa(bids)

    def call(*options: str) -> int:
        folders = [str(bids), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")]
        return main([*folders, "--nprocs", "1", *options])

    return call


def test_a_network_of_ones_own_replaces_the_shipped_one(command, network: Path, tmp_path: Path) -> None:
    assert command("--models", "ivim", "--network", str(network)) == 0
    [sidecar] = (tmp_path / "out").rglob("*param-d_desc-ncde_dwimap.json")
    assert json.loads(sidecar.read_text())["Network"]["File"] == "mine.onnx"
    mine = np.asarray(nib.load(sidecar.with_suffix(".nii.gz")).dataobj)
    assert command("--models", "ivim", "--estimators", "ncde") == 0
    np.testing.assert_array_equal(mine, np.asarray(nib.load(sidecar.with_suffix(".nii.gz")).dataobj))


def test_a_network_for_a_model_that_is_left_out_is_told(
    command, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--models", "vfa", "--network", str(network), "--dry-run") == 0
    said = capsys.readouterr().err
    assert "mine.onnx is not used: it is a network for ivim, not among --models" in said


def test_a_network_without_its_card_is_refused_before_work_begins(
    command, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network.with_suffix(".json").unlink()
    assert command("--network", str(network), "--dry-run") == 2
    assert "mine.onnx" in (said := capsys.readouterr().err)
    assert "--network" in said


def test_two_networks_for_one_use_are_refused(
    command, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".onnx", ".json"):
        shutil.copy(network.with_suffix(suffix), tmp_path / f"other{suffix}")
    assert command("--network", str(network), str(tmp_path / "other.onnx"), "--dry-run") != 0
    assert "are both for ivim, estimator ncde" in capsys.readouterr().err


def test_the_server_takes_a_network_for_any_protocol(network: Path) -> None:
    config = Shelf(networks=network.parent).config("ivim-ncde", {"network": "mine"})
    assert config.network == network
    assert config.estimate_by().network_file(config.forward) == network
    assert (
        Shelf().config("tensor-wls", {}).model
        == Shelf().config("dti-wls", {"model": "tensor"}).model
        == "dti"
    )
