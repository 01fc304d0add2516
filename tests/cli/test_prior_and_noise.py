"""``--prior`` and ``--noise``: words, numbers and files, and what of them cannot be meant."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth

from bids_qmri.cli.config import make_config, to_toml
from bids_qmri.cli.reading import parse
from bids_qmri.cli.run import main
from bids_qmri.errors import UsageError
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.physics.prior import Bell
from bids_qmri.workflows.config import RunConfig

STUDY = "[ivim.d]\ncentre = 1.1e-3\nwidth = 2e-4\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "wrong.toml").write_text(STUDY.replace("1.1e-3", "1.1"))
    (tmp_path / "sd.nii.gz").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(*more: str) -> RunConfig:
    return make_config(parse(["data", "out", "participant", "-w", "w", *more]))


def told(*more: str) -> tuple[object, object]:
    noise = config(*more).noise
    assert isinstance(noise, ScanNoise)
    return noise.floor, noise.scatter


def test_the_scan_tells_prior_and_noise_unless_told_otherwise(here: Path) -> None:
    assert config().prior == "scan"
    assert config().noise is None
    assert config("--prior", "box").prior == "box"


def test_one_number_is_both_levels_and_two_are_floor_and_scatter(here: Path) -> None:
    assert told("--noise", "12") == (12.0, 12.0)
    assert told("--noise", "3:7") == (3.0, 7.0)
    assert told("--noise", "3:3") == (3.0, 3.0)


def test_an_image_of_noise_is_that_file(here: Path) -> None:
    assert config("--noise", "sd.nii.gz").noise == here / "sd.nii.gz"


@pytest.mark.parametrize("text", ["7:3", "0", "-1", "nan", "inf", "1:2:3", "3:", "much", "no.nii.gz"])
def test_noise_that_cannot_be_meant_is_refused(here: Path, text: str) -> None:
    with pytest.raises(UsageError, match="--noise") as caught:
        config(f"--noise={text}")
    assert text in str(caught.value)
    assert "FLOOR:SCATTER with the smaller first" in str(caught.value.needed)


def test_a_file_of_priors_is_read(here: Path) -> None:
    prior = config("--prior", "study.toml").prior
    assert not isinstance(prior, str)
    assert prior["ivim"].of("d") == Bell(1.1e-3, 2e-4)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("tissue", "--prior: is 'tissue'.*needed: box, scan"),
        ("wrong.toml", "wrong.toml.*--prior ivim.d: centre is 1.1; needed: 0 to"),
    ],
)
def test_a_prior_that_cannot_be_meant_is_refused(here: Path, choice: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        config("--prior", choice)


def test_resolved_options_repeat_the_run_from_another_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = to_toml(parse(["data", "out", "participant", "--prior", "study.toml", "--noise", "sd.nii.gz"]))
    (here / "run.toml").write_text(text)
    first = config("--prior", "study.toml")
    monkeypatch.chdir(here / "data")
    again = make_config(
        parse([str(here / "data"), str(here / "out"), "participant", "--config-file", str(here / "run.toml")])
    )
    assert again.prior == first.prior
    assert again.noise == here / "sd.nii.gz"


@pytest.fixture
def run(tmp_path: Path):
    """Return a call that fits the mean of the posterior of IVIM and returns the sidecar of D."""
    bids = synth.new_dataset(tmp_path / "bids")
    synth.add_ivim(bids)

    def call(*more: str) -> tuple[int, dict]:
        folders = [str(bids), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")]
        code = main([*folders, "--models", "ivim", "--estimators", "bayes", "--nprocs", "1", *more])
        found = list((tmp_path / "out").rglob("*param-d_desc-bayes_dwimap.json"))
        return code, json.loads(found[0].read_text()) if found else {}

    return call


def test_sidecars_say_what_was_told(run, tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(STUDY)
    code, sidecar = run("--prior", str(study), "--noise", "10:20")
    assert code == 0
    assert sidecar["PriorFrom"] == "file study.toml"
    assert sidecar["Prior"] == {"d": {"Centre": 1.1e-3, "Width": 2e-4}}
    assert (sidecar["NoiseFloor"], sidecar["NoiseLevel"]) == (10.0, 20.0)
    assert sidecar["NoiseFloorFrom"] == sidecar["NoiseScatterFrom"] == "stated"


def test_two_dozen_voxels_teach_no_prior_and_the_sidecar_says_so(run) -> None:
    code, sidecar = run()
    assert code == 0
    assert sidecar["PriorFrom"] == "box: 24 voxels, fewer than 500, teach no prior"


def test_an_image_of_noise_is_used_and_named(run, tmp_path: Path) -> None:
    [image] = (tmp_path / "bids").rglob("*_dwi.nii.gz")
    series = nib.load(image)
    synth.write_image(tmp_path / "sd.nii.gz", np.full(series.shape[:3], 15.0), series.affine)
    code, sidecar = run("--noise", str(tmp_path / "sd.nii.gz"))
    assert code == 0
    assert sidecar["NoiseLevel"] == pytest.approx(15.0)
    assert "sd.nii.gz" in sidecar["NoiseFloorFrom"]


def test_an_image_of_noise_in_another_unit_ends_the_fit_with_its_name(run, tmp_path: Path, capfd) -> None:
    [image] = (tmp_path / "bids").rglob("*_dwi.nii.gz")
    series = nib.load(image)
    synth.write_image(tmp_path / "sd.nii.gz", np.full(series.shape[:3], 1e9), series.affine)
    assert run("--noise", str(tmp_path / "sd.nii.gz"))[0] == 1
    said = capfd.readouterr()
    assert "sd.nii.gz" in said.err + said.out


@pytest.mark.parametrize(
    "name", ["sub-01_noisemap", "sub-01_desc-noise_dwimap", "sub-01_param-sigma_dwimap", "sub-01_sigma"]
)
def test_a_noise_map_of_a_derivative_dataset_is_used_and_named(run, tmp_path: Path, name: str) -> None:
    maps = synth.new_dataset(tmp_path / "denoised", "derivative")
    synth.write_image(maps / f"sub-01/dwi/{name}.nii.gz", np.full(synth.SHAPE, 15.0))
    code, sidecar = run("-d", f"denoised={maps}")
    assert code == 0
    assert sidecar["NoiseLevel"] == pytest.approx(15.0)
    assert sidecar["NoiseFloorFrom"] == f"bids:denoised:sub-01/dwi/{name}.nii.gz"
    assert f"bids:denoised:sub-01/dwi/{name}.nii.gz" in sidecar["Sources"]
    assert run("-d", f"denoised={maps}", "--noise", "10")[1]["NoiseLevel"] == 10.0


def test_a_noise_map_elsewhere_or_of_a_fit_is_not_used_and_the_former_is_named(run, tmp_path: Path) -> None:
    maps = synth.new_dataset(tmp_path / "denoised", "derivative")
    fit = "sub-01_model-noddi_param-sigma_desc-lsq_dwimap"
    synth.write_image(maps / f"sub-01/dwi/{fit}.nii.gz", np.full(synth.SHAPE, 15.0))
    synth.write_image(maps / "sub-01/dwi/sub-01_noisemap.nii.gz", np.full((5, 5, 5), 15.0))
    _, sidecar = run("-d", f"denoised={maps}")
    assert "NoiseFloorFrom" not in sidecar or "denoised" not in str(sidecar["NoiseFloorFrom"])
    assert any("sub-01_noisemap.nii.gz" in note and "not used" in note for note in sidecar["Notes"])
