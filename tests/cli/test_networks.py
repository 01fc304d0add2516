"""``bids_qmri-networks`` says what there is, and for which scans of a study a network was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import synth

from bids_qmri.cli.networks import main
from bids_qmri.estimators.networks.network_file import weights_folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return T1 scans inside and outside of a training, one that cannot be used, and another scan."""
    root = synth.new_dataset(tmp_path / "bids")
    synth.add_vfa(root, "sub-01", flips=(3, 8, 20))
    synth.add_vfa(root, "sub-02", flips=(3, 8, 80))
    synth.add_vfa(root, "sub-03", flips=(3, 8, 20))
    synth.edit_json(root / "sub-03" / "anat" / "sub-03_flip-1_VFA.json", FlipAngle="three")
    synth.add_ivim(root, "sub-04")
    return root


def test_every_network_of_the_package_is_listed_with_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    found = {card["weights"]["file"]: card for card in json.loads(capsys.readouterr().out)}
    assert set(found) == {path.name for path in weights_folder().glob("*.onnx")}
    assert all(card["sha256"] == card["weights"]["sha256"] for card in found.values())
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert "ncde-vfa: " in text
    assert "model vfa, estimator ncde" in text
    assert "within one sd" in text


def test_scans_inside_outside_and_refused_are_told_apart(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "ncde-vfa", "--bids", str(study)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["sub-01", "inside"],
        ["sub-02", "outside"],
        ["sub-03_VFA", "refused"],
    ]
    assert "trained:" in lines[1]
    assert "FlipAngle" in lines[2]
    assert lines[3] == "3 scans: 1 inside, 1 outside, 1 refused"
    assert main(["check", "ncde-vfa", "--bids", str(study), "--participant-label", "01"]) == 0


def test_a_network_that_is_not_there_is_said_with_those_that_are(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "ncde-liver", "--bids", str(study)]) == 2
    assert "ncde-vfa" in capsys.readouterr().err
    assert main(["list", str(study / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_a_protocol_that_only_the_images_tell_is_read_from_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = synth.new_dataset(tmp_path / "bids")
    for label, spacing in (("01", 6.0), ("02", 30.0)):
        synth.add_vfa(root, f"sub-{label}")
        synth.add_dce(root, f"sub-{label}", spacing=spacing, metadata={"BaselineVolumes": 1})
    assert main(["check", "ncde-dce", "--bids", str(root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["sub-01", "inside"], ["sub-02", "outside"]]
    assert "30 s" in lines[1]


@pytest.mark.parametrize(
    ("network", "inside"),
    [
        ("ncde-vfa", {"sub-vfab1", "sub-vfadce", "sub-vfair_acq-vials"}),
        ("ncde-irt1", {"sub-irt1", "sub-vfair_acq-irse"}),
        ("ncde-ivim", {"sub-ivim1", "sub-ivim2", "sub-ivim3"}),
        ("ncde-dce", {"sub-vfadce"}),
        ("ncde-noddi", set()),
    ],
)
def test_the_shared_scans_are_judged_as_their_protocols_say(
    shared_data: Path, network: str, inside: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Table of protocols and coverages: benchmarks/results/networks_check.md. None has two shells."""
    main(["check", network, "--bids", str(shared_data / "bids-real")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[:-1]]
    assert {scan for scan, verdict, *_ in lines if verdict == "inside"} == inside
    assert {verdict for scan, verdict, *_ in lines if scan not in inside} <= {"refused"}


def test_a_study_without_the_technique_is_no_success(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "ncde-mese", "--bids", str(study)]) == 65
    assert "no scan of the kind that the network is for" in capsys.readouterr().err
