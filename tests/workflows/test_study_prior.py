"""A study teaches one prior, whatever the protocols of its participants, and runs take the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.catalogue import get_model
from bids_qmri.cli.run import main
from bids_qmri.cli.train import main as train
from bids_qmri.errors import InputError
from bids_qmri.estimation.prior import read_priors
from bids_qmri.workflows.study_prior import learn_study_prior

SHAPE = (14, 12, 6)
CENTRE, WIDTH, NOISE = 1.2, 0.2, 2.0
FLIPS = ((3, 8, 20), (2, 5, 10, 15), (4, 12, 25))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a study of three protocols, T1 log-normal about 1.2 s in all of them, in a frame of air."""
    root = synth.new_dataset(tmp_path / "bids")
    draw = np.random.default_rng(20265)
    inside = np.zeros((18, 16, 6), bool)
    inside[2:16, 2:14] = True
    for number, flips in enumerate(FLIPS, 1):
        t1 = np.full(inside.shape, CENTRE)
        t1[inside] = CENTRE * np.exp(draw.normal(0, WIDTH, inside.sum()))
        for place, flip in enumerate(flips, 1):
            clean = np.where(inside, synth.spoiled_echo(t1, 1000.0, flip, 0.015), 0.0)
            noise = draw.normal(0, NOISE, (2, *inside.shape))
            stem = synth.place(root, "anat", f"sub-0{number}_flip-{place}_VFA")
            synth.write_image(stem.with_name(f"{stem.name}.nii.gz"), np.hypot(clean + noise[0], noise[1]))
            keys = {"FlipAngle": flip, "RepetitionTimeExcitation": 0.015, "PulseSequenceType": "SPGR"}
            synth.write_json(stem.with_name(f"{stem.name}.json"), keys)
    return root


def test_the_prior_of_the_tissue_is_learned_from_all_protocols_together(study: Path) -> None:
    found = learn_study_prior(study, "vfa")
    bell = dict(found.prior.bells)["t1"]
    assert found.scans == ("sub-01", "sub-02", "sub-03")
    assert bell.centre == pytest.approx(CENTRE, rel=0.03)
    assert bell.width == pytest.approx(WIDTH, rel=0.3)
    assert "3 scans" in found.prior.origin


def test_the_file_is_what_a_run_takes(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prior.toml"
    assert train(["prior", "--bids", str(study), "--model", "vfa", "--output", str(file)]) == 0
    prior = read_priors(file, [get_model("vfa")])["vfa"]
    assert dict(prior.bells)["t1"].centre == pytest.approx(CENTRE, rel=0.03)
    folders = [
        str(study),
        str(tmp_path / "out"),
        "participant",
        "-w",
        str(tmp_path / "work"),
        "--nprocs",
        "1",
    ]
    options = ["--estimators", "map", "--prior", str(file), "--participant-label", "01", "--nprocs", "1"]
    assert main([*folders, *options]) == 0
    sidecar = (tmp_path / "out/sub-01/anat/sub-01_desc-map_T1map.json").read_text()
    assert "file prior.toml" in sidecar


def test_a_study_that_cannot_teach_is_refused_by_name(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="0 voxels of 0 scans"):
        learn_study_prior(study, "ivim")
    with pytest.raises(InputError, match="no estimator with a prior"):
        learn_study_prior(study, "dti")
    assert train(["prior", "--bids", str(tmp_path / "no"), "--model", "vfa"]) == 2
    assert "is not a folder" in capsys.readouterr().err
