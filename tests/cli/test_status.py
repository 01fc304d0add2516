"""``bids_qmri-status`` says who is complete, who is not and why, to people and to machines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import synth

from bids_qmri.cli.run import main as run
from bids_qmri.cli.status import main
from bids_qmri.completion.lease import take


@pytest.fixture
def study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return an output folder: complete, failed, in work, damaged, never run."""
    root = synth.new_dataset(tmp_path / "bids")
    for label in ("01", "02", "04"):
        synth.add_vfa(root, prefix=f"sub-{label}")
    for label in ("03", "05"):
        (root / f"sub-{label}").mkdir()
    synth.edit_json(root / "sub-02" / "anat" / "sub-02_flip-1_VFA.json", FlipAngle="three")
    out, work = str(tmp_path / "out"), str(tmp_path / "work")
    labels = ["--participant-label", "01", "02", "04", "--estimators", "lsq"]
    assert run([str(root), out, "participant", "-w", work, "--nprocs", "1", *labels]) == 1
    (tmp_path / "out" / "sub-04" / "log" / "completion.json").write_text("{")
    take(tmp_path / "out", "03", "other")
    capsys.readouterr()
    return tmp_path / "out"


def test_everybody_has_a_line(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["sub-01", "complete"],
        ["sub-02", "failed"],
        ["sub-03", "running"],
        ["sub-04", "damaged"],
        ["sub-05", "missing"],
    ]
    assert "FlipAngle" in lines[1]
    assert lines[-1] == "5 participants: 1 complete, 1 running, 1 failed, 1 damaged, 1 missing"


def test_machines_get_json_and_the_labels_to_run_again(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(study), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["participants"]["sub-01"] == {
        "state": "complete",
        "why": "1 fit",
        "fits": ["sub-01 vfa lsq"],
    }
    assert content["counts"] == {"complete": 1, "failed": 1, "running": 1, "damaged": 1, "missing": 1}
    assert main([str(study), "--incomplete"]) == 1
    assert capsys.readouterr().out.split() == ["02", "04", "05"]


def test_a_truncated_map_is_found_by_its_size_a_changed_one_by_its_hash(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = study / "sub-01" / "anat" / "sub-01_desc-lsq_T1map.nii.gz"
    whole = image.read_bytes()
    only = [str(study), "--participant-label", "01"]
    assert main(only) == 0
    image.write_bytes(whole[:-1])
    assert main(only) == 1
    image.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert main(only) == 0
    assert main([*only, "--verify"]) == 1
    assert "sub-01_desc-lsq_T1map.nii.gz" in capsys.readouterr().out


def test_inputs_that_came_or_changed_are_to_be_run_again(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anat = study.parent / "bids" / "sub-01" / "anat"
    only = [str(study), "--participant-label", "01"]
    synth.edit_json(anat / "sub-01_flip-1_VFA.json", ProtocolName="another")
    assert main(only) == 0
    assert main([*only, "--verify"]) == 1
    (anat / "sub-01_acq-new_T1w.json").write_text("{}")
    assert main([*only, "--incomplete"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "01"


def test_a_dataset_that_is_not_there_is_no_empty_one(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study), "--bids-dir", str(study / "nowhere")]) == 2
    (study / "empty").mkdir()
    assert main([str(study / "empty")]) == 1


def test_it_is_light_and_refuses_what_is_no_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from bids_qmri.cli.status import main; code = main(sys.argv[1:]); "
        "print(sorted({'numpy', 'nibabel', 'nipype'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "no")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "[]\n")
    assert "is not a folder" in done.stderr
