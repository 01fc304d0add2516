"""What a dry run ends with, and what the log says of the voxels of a fit."""

import html
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
import synth

from bids_qmri.cli.run import main


@pytest.fixture
def bids(tmp_path):
    return synth.new_dataset(tmp_path / "bids")


@pytest.fixture
def run(bids, tmp_path, capsys):
    def call(*more):
        folders = [str(bids), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")]
        code = main([*folders, "--nprocs", "1", *more])
        return code, capsys.readouterr().err

    return call


@pytest.mark.parametrize("level", ["sound", "damaged", "nothing"])
def test_a_dry_run_ends_with_the_code_of_the_run(bids, tmp_path, run, level):
    synth.add_vfa(bids, prefix="sub-01")
    if level != "sound":
        for sidecar in (bids / "sub-01/anat").glob("*.json"):
            synth.edit_json(sidecar, FlipAngle=None)
    if level == "nothing":
        shutil.rmtree(bids / "sub-01/anat")
        synth.write_image(bids / "sub-01/anat/sub-01_T1w.nii.gz", np.ones(synth.SHAPE))
    dry, _ = run("--dry-run", "--estimators", "lsq")
    real, _ = run("--estimators", "lsq")
    assert dry == real == {"sound": 0, "damaged": 1, "nothing": 65}[level]


def test_the_log_says_in_how_many_voxels_a_fit_has_no_answer(bids, run):
    synth.add_vfa(bids)
    path = bids / "sub-01/anat/sub-01_flip-2_VFA.nii.gz"
    data = np.asanyarray(nib.load(path).dataobj).copy()
    data[0, 0, 0] = np.nan
    synth.write_image(path, data)
    synth.add_mask(bids.parent / "m", "sub-01", np.ones(synth.SHAPE))
    _, log = run("--estimators", "lsq", "-d", f"masks={bids.parent / 'm'}")
    assert re.search(r"sub-01 vfa lsq: .*24 voxels, 1 unusable", log)
    _, more = run("--estimators", "lsq", "-v")
    assert "sub-01_flip-2_VFA.json" in more
    assert "sub-01_flip-2_VFA.json" not in log


def test_a_fit_without_an_answer_in_most_voxels_is_a_warning(bids, run):
    synth.add_vfa(bids)
    path = bids / "sub-01/anat/sub-01_flip-2_VFA.nii.gz"
    data = np.asanyarray(nib.load(path).dataobj).copy()
    data[:, 1:] = np.nan
    synth.write_image(path, data)
    synth.add_mask(bids.parent / "m", "sub-01", np.ones(synth.SHAPE))
    _, log = run("--estimators", "lsq", "-d", f"masks={bids.parent / 'm'}")
    assert re.search(r"WARNING: sub-01 vfa lsq: .*24 voxels, \d+ unusable", log)


def test_what_the_log_warns_of_is_what_the_page_asks_to_read(bids, tmp_path, run):
    synth.add_vfa(bids, b1=synth.ramp(0.8, 1.2))
    for sidecar in (bids / "sub-01/anat").glob("*.json"):
        synth.edit_json(sidecar, PulseSequenceType=None, MTState=None)
    _, log = run("--estimators", "lsq")
    warned = set(re.findall(r"WARNING: sub-01 vfa(?: lsq)?: (.*)", log))
    said = set(re.findall(r"(?:INFO: |^)sub-01 vfa lsq: (.*read as percent.*)", log, re.MULTILINE))
    page = html.unescape((tmp_path / "out" / "sub-01.html").read_text())
    urgent = page[page.index("<strong>Please read") : page.index("<strong>Notes, nothing to do")]
    notes = page[page.index("<strong>Notes, nothing to do") :]
    notes = notes[: notes.index("</ul>")]
    assert any("PulseSequenceType is missing" in line for line in warned)
    assert all(line in urgent and line not in notes for line in warned)
    assert said
    assert all(line in notes and line not in urgent for line in said)
