"""``bids_qmri-train finetune``: from a study to a network that runs take, and what is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synth

pytest.importorskip("torch")
pytest.importorskip("onnx")

from bids_qmri.cli.networks import main as networks
from bids_qmri.cli.run import main as run
from bids_qmri.cli.train import main as train
from bids_qmri.training import finetune

FLIPS = (2, 5, 10, 15, 20)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Tune for moments."""
    how = replace(finetune.TUNINGS["features"], epochs=1, batches=3, measured=60, simulated=10, parts=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(finetune.TUNINGS, "features", replace(how, voxels=80, groups=6, held_out=3))
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of three participants with T1 scans, and one with a diffusion series."""
    root = synth.new_dataset(tmp_path_factory.mktemp("study") / "bids")
    rng = np.random.default_rng(3)
    shape = (12, 10, 6)
    for number in (1, 2, 3):
        t1 = 1.2 * np.exp(rng.normal(0, 0.2, shape))
        for place, flip in enumerate(FLIPS, 1):
            clean, noise = synth.spoiled_echo(t1, 1000.0, flip, 0.015), rng.normal(0, 2, (2, *shape))
            stem = synth.place(root, "anat", f"sub-0{number}_flip-{place}_VFA")
            synth.write_image(stem.with_name(f"{stem.name}.nii.gz"), np.hypot(clean + noise[0], noise[1]))
            keys = {"FlipAngle": flip, "RepetitionTimeExcitation": 0.015, "PulseSequenceType": "SPGR"}
            synth.write_json(stem.with_name(f"{stem.name}.json"), keys)
    synth.add_ivim(root, "sub-04")
    return root


@pytest.fixture(scope="module")
def tuned(study: Path, small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned")
    assert train(["finetune", "ncde-vfa", "--bids", str(study), "--output", str(out)]) == 0
    return out


def test_networks_cards_and_a_page_are_written(tuned: Path) -> None:
    names = ["ncde-vfa-tuned", *(f"ncde-vfa-tuned-fold{number}" for number in (1, 2, 3))]
    assert {p.name for p in tuned.iterdir()} == {
        "ncde-vfa-tuned.html",
        *(f"{name}{ending}" for name in names for ending in (".onnx", ".json")),
    }
    card = json.loads((tuned / "ncde-vfa-tuned.json").read_text())["finetuned"]
    assert len(card["participants"]) == len(set(card["participants"])) == 3
    assert {one for fold in card["folds"] for one in fold["held_out"]} == set(card["participants"])
    assert all(ratio <= 1.05 for ratio in card["simulated_over_start"].values())
    assert card["start"]["name"] == "ncde-vfa"
    assert "sub-0" not in json.dumps(card)
    page = (tuned / "ncde-vfa-tuned.html").read_text()
    assert "sub-02" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_runs_take_the_network_and_its_card_is_listed_and_checked(
    study: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tuned / "ncde-vfa-tuned.onnx"
    folders = [str(study), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")]
    options = ["--models", "vfa", "--estimators", "lsq", "--network", str(file), "--nprocs", "1"]
    assert run([*folders, *options, "--participant-label", "01"]) == 0
    sidecar = json.loads((tmp_path / "out/sub-01/anat/sub-01_desc-ncde_T1map.json").read_text())
    assert "ncde-vfa-tuned" in json.dumps(sidecar)
    capsys.readouterr()
    assert networks(["list", str(tuned)]) == 0
    assert "fine-tuned on measured voxels" in capsys.readouterr().out
    check = ["check", str(file), "--bids", str(study), "--participant-label", "01", "02", "03"]
    assert networks(check) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["ncde-vfa", "--participant-label", "01", "02"], "2 participants have a scan for vfa"),
        (["ncde-mese"], "0 participants have a scan for mese"),
        (["ncde-vfa", "--model", "ivim"], "is a network for vfa, not for ivim"),
        (["ncde-noddi"], "fine-tune a network of a recipe"),
        (["noddi-nngt-02c14730"], "a network for one scheme of noddi"),
        (["ncde-liver"], "there is no network 'ncde-liver'"),
        (["ncde-vfa", "--folds", "9"], "2 to 3"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    options: list[str], words: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(["finetune", *options, "--bids", str(study), "--output", str(tmp_path)]) != 0
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_scans_of_unknown_noise_are_named(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = synth.new_dataset(tmp_path / "bids")
    for number in (1, 2, 3):
        synth.add_vfa(root, f"sub-0{number}", flips=(3, 20))
    assert train(["finetune", "ncde-vfa", "--bids", str(root), "--output", str(tmp_path / "out")]) != 0
    said = capsys.readouterr().err
    assert "0 participants have a scan for vfa" in said
    assert "sub-01" in said
    assert "noise" in said
