"""NODDI by the command on tiny series of known truth: maps, directions, settings, refusals."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import synth

from bids_qmri.cli.config import to_toml
from bids_qmri.cli.reading import parse
from bids_qmri.cli.run import main
from bids_qmri.techniques.noddi.scheme_network import shipped_scheme_network

MAPS = {"ndi": "icvf", "odi": "odi", "fwf": "isovf", "s0": "s0"}
AFFINES = {
    "left-handed": synth.AFFINE,
    "right-handed": np.diag([2.0, 2, 3, 1]),
    "oblique": np.array([[0.0, -2, 0, 0], [1.6, 0, 1.8, 0], [1.2, 0, -2.4, 0], [0, 0, 0, 1]]),
}

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "bids")


@pytest.fixture
def run(bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs noddi by lsq, or as asked, and returns exit code and messages."""

    def call(*more: str, estimators: tuple[str, ...] = ("lsq",), out: str = "out") -> tuple[int, str]:
        folders = [str(bids), str(tmp_path / out), "participant", "-w", str(tmp_path / "work")]
        choices = [
            "--models",
            "noddi",
            "--nprocs",
            "1",
            *(("--estimators", *estimators) if estimators else ()),
        ]
        code = main([*folders, *choices, *more])
        return code, capsys.readouterr().err

    return call


def image(folder: Path, param: str, label: str = "lsq") -> np.ndarray:
    [path] = folder.rglob(f"*_model-noddi_param-{param}_desc-{label}_dwimap.nii.gz")
    return np.asanyarray(nib.load(path).dataobj)


def sidecar(folder: Path, param: str, label: str = "lsq") -> dict[str, Any]:
    [path] = folder.rglob(f"*_model-noddi_param-{param}_desc-{label}_dwimap.json")
    return json.loads(path.read_text())


def add_noise(bids: Path, sigma: float) -> None:
    path = bids / "sub-01" / "dwi" / "sub-01_dwi.nii.gz"
    data, rng = np.asarray(nib.load(path).dataobj), np.random.default_rng(7)
    noisy = np.hypot(data + rng.normal(0, sigma, data.shape), rng.normal(0, sigma, data.shape))
    synth.write_image(path, noisy)


@pytest.mark.parametrize("label", ["lsq", "mle"])
def test_neurites_are_recovered(bids: Path, tmp_path: Path, run: Run, label: str) -> None:
    truth = synth.add_noddi(bids)
    assert run(estimators=(label,))[0] == 0
    for name, param in MAPS.items():
        np.testing.assert_allclose(
            image(tmp_path, param, label), truth[name], rtol=1e-3, atol=1e-4, err_msg=name
        )


def test_the_network_is_a_default_and_near_the_truth(bids: Path, tmp_path: Path, run: Run) -> None:
    truth = synth.add_noddi(bids)
    add_noise(bids, 20)
    assert run(estimators=())[0] == 0
    labels = {path.name.split("_desc-")[1].split("_")[0] for path in tmp_path.rglob("*_dwimap.json")}
    tails = ("", "Std", "Determined", "Status")
    assert labels == {f"{label}{tail}" for label in ("lsq", "ncde") for tail in tails}
    for name in ("ndi", "odi", "fwf"):
        error = image(tmp_path, MAPS[name], "ncde") - truth[name]
        assert np.sqrt(np.mean(error**2)) < 0.06
    assert sidecar(tmp_path, "icvf", "ncde")["Network"]["Name"] == "ncde-noddi"


def test_images_between_shells_are_left_out_and_noted(bids: Path, tmp_path: Path, run: Run) -> None:
    synth.add_noddi(bids, bvals=(*synth.TWO_SHELL, 100, 150, 1400))
    run(estimators=("ncde",))
    assert "3 of 66 images left out" in " ".join(sidecar(tmp_path, "icvf", "ncde")["Notes"])


def test_weighted_maps_are_products(bids: Path, tmp_path: Path, run: Run) -> None:
    synth.add_noddi(bids)
    run()
    tissue = 1 - image(tmp_path, "isovf")
    np.testing.assert_allclose(image(tmp_path, "tf"), tissue, atol=1e-6)
    for param in ("icvf", "odi"):
        weighted = image(tmp_path, f"{param}modulated")
        np.testing.assert_allclose(weighted, image(tmp_path, param) * tissue, atol=1e-6)


@pytest.mark.parametrize("name", AFFINES)
def test_a_known_bundle_keeps_its_direction_in_the_scanner(
    bids: Path, tmp_path: Path, run: Run, name: str
) -> None:
    bundle, affine = np.array([0.48, 0.6, 0.64]), AFFINES[name]
    synth.add_noddi(bids, fibres=bundle, affine=affine)
    assert run()[0] == 0
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    along = np.abs(image(tmp_path, "direction") @ axes.T @ bundle)
    np.testing.assert_allclose(along, 1, atol=1e-4)


def test_a_direction_says_how_it_is_to_be_read(bids: Path, tmp_path: Path, run: Run) -> None:
    synth.add_noddi(bids)
    run()
    encoding = sidecar(tmp_path, "direction")["OrientationEncoding"]
    assert (encoding["Type"], encoding["Reference"], encoding["EncodingAxis"]) == ("unit3vector", "ijk", 3)
    assert "OrientationEncoding" not in sidecar(tmp_path, "icvf")
    assert image(tmp_path, "direction").shape == (*synth.SHAPE, 3)


@pytest.mark.parametrize("label", ["lsq", "ncde"])
def test_turning_image_and_gradients_together_changes_no_scalar_map(
    bids: Path, tmp_path: Path, run: Run, label: str
) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    for out, rotation in (("one", np.eye(3)), ("other", turn)):
        synth.add_noddi(bids, turn=rotation)
        assert run(out=out, estimators=(label,))[0] == 0
    for param in (*MAPS.values(), "tf", "icvfmodulated", "odimodulated"):
        one, other = (image(tmp_path / out, param, label) for out in ("one", "other"))
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5, err_msg=param)


def test_diffusivities_change_the_maps_and_are_in_every_sidecar(bids: Path, tmp_path: Path, run: Run) -> None:
    synth.add_noddi(bids)
    run()
    run("--noddi-diffusivities", "0.0006", "0.002", out="fixed")
    assert np.abs(image(tmp_path / "fixed", "icvf") - image(tmp_path / "out", "icvf")).max() > 0.05
    for path in (tmp_path / "fixed").rglob("*_dwimap.json"):
        parameters = json.loads(path.read_text())["Model"]["Parameters"]
        assert parameters == {"ParallelDiffusivity": 0.0006, "IsotropicDiffusivity": 0.002}


def test_diffusivities_survive_the_options_file(tmp_path: Path) -> None:
    folders = [str(tmp_path), str(tmp_path / "out"), "participant"]
    options = tmp_path / "options.toml"
    options.write_text(to_toml(parse([*folders, "--noddi-diffusivities", "0.0006", "0.002"])))
    assert parse([*folders, "--config-file", str(options)]).noddi_diffusivities == [0.0006, 0.002]


def test_a_network_that_cannot_be_used_is_said_of_each_scan(bids: Path, run: Run) -> None:
    for session in ("pre", "post"):
        synth.add_noddi(bids, f"sub-01_ses-{session}")
    code, messages = run(estimators=("nnmle",))
    assert code == 1
    for session in ("pre", "post"):
        assert f"ERROR: sub-01: sub-01_ses-{session} noddi nnmle: bvals: scan has" in messages


@pytest.mark.parametrize("given", [("1.7", "3"), ("0.0017", "nan"), ("0.0017",), ("0.003", "0.0017")])
def test_diffusivities_in_another_unit_or_order_are_refused(run: Run, given: tuple[str, ...]) -> None:
    code, messages = run("--noddi-diffusivities", *given)
    assert code == 2
    assert "--noddi-diffusivities" in messages


def test_a_single_shell_ends_with_the_reason(bids: Path, run: Run) -> None:
    synth.add_tensor(bids, bvals=(0, *([1000] * 30)))
    code, messages = run()
    assert code == 65
    assert "noddi: shells of 6 or more directions at b = [1000] s/mm^2" in messages


def test_an_estimator_that_is_nothing_without_a_file_asks_for_it(run: Run, tmp_path: Path) -> None:
    assert "--estimators onnx: is asked for without a network" in run(estimators=("onnx",))[1]
    assert "--onnx: is not a file" in run("--onnx", str(tmp_path / "net.onnx"))[1]


def test_a_network_is_used_for_what_its_card_says_without_being_asked_for(
    bids: Path, tmp_path: Path, run: Run, trained_scheme: dict[str, Any]
) -> None:
    synth.add_noddi(bids, **trained_scheme)
    shutil.copy(str(shipped_scheme_network("nngt")), tmp_path / "mine.onnx")
    assert run("--network", str(tmp_path / "mine.onnx"))[0] == 0
    labels = {path.name.split("_desc-")[1].split("_")[0] for path in tmp_path.rglob("*_dwimap.json")}
    assert {"lsq", "onnx"} <= labels


@pytest.fixture
def trained_scheme() -> dict[str, Any]:
    """Return the scheme of the network of the paper, its volumes in another order."""
    file = shipped_scheme_network("nngt")
    assert file is not None
    scheme = json.loads(file.with_suffix(".json").read_text())["scheme"]
    order = np.random.default_rng(1).permutation(len(scheme["bvals"]))
    return {
        "bvals": np.array(scheme["bvals"])[order].tolist(),
        "gradients": np.array(scheme["bvecs"])[order],
    }


def test_a_network_of_the_paper_estimates_its_scheme_in_any_order(
    bids: Path, tmp_path: Path, run: Run, trained_scheme: dict[str, Any]
) -> None:
    truth = synth.add_noddi(bids, **trained_scheme)
    add_noise(bids, 60)
    assert run(estimators=("nngt",))[0] == 0
    for name in ("ndi", "odi", "fwf"):
        error = image(tmp_path, MAPS[name], "nngt") - truth[name]
        assert np.sqrt(np.mean(error**2)) < 0.1
    written = {
        path.name.split("param-")[1].split("_")[0] for path in tmp_path.rglob("*_param-*nngt_*.nii.gz")
    }
    assert written == {"icvf", "odi", "isovf", "tf", "icvfmodulated", "odimodulated", "s0", "sigma"}


def test_a_given_network_gives_the_maps_of_the_same_network_that_is_shipped(
    bids: Path, tmp_path: Path, run: Run, trained_scheme: dict[str, Any]
) -> None:
    synth.add_noddi(bids, **trained_scheme)
    shutil.copy(str(shipped_scheme_network("nngt")), tmp_path / "mine.onnx")
    assert run("--onnx", str(tmp_path / "mine.onnx"), estimators=("nngt", "onnx"))[0] == 0
    np.testing.assert_array_equal(image(tmp_path, "icvf", "onnx"), image(tmp_path, "icvf", "nngt"))
    digest = hashlib.sha256((tmp_path / "mine.onnx").read_bytes()).hexdigest()
    assert sidecar(tmp_path, "icvf", "onnx")["Network"] == {"File": "mine.onnx", "SHA256": digest}


def test_a_given_network_refuses_other_diffusivities(
    bids: Path, tmp_path: Path, run: Run, trained_scheme: dict[str, Any]
) -> None:
    synth.add_noddi(bids, **trained_scheme)
    shutil.copy(str(shipped_scheme_network("nngt")), tmp_path / "mine.onnx")
    fixed = ("--noddi-diffusivities", "0.0006", "0.002")
    code, messages = run("--onnx", str(tmp_path / "mine.onnx"), *fixed, estimators=("onnx",))
    assert code == 1
    assert "0.0017 mm^2/s, which the network" in messages


def test_networks_of_the_paper_refuse_another_scheme_with_what_differs(bids: Path, run: Run) -> None:
    synth.add_noddi(bids)
    code, messages = run(estimators=("nngt", "lsq"))
    assert code == 1
    assert "bids_qmri-train noddi --set scheme" in messages
