"""``bids_qmri-evaluate`` on small studies: tables, page, and what is refused or reported by name."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.cli.evaluate import main
from bids_qmri.estimators.networks.network_file import card_of, weights_folder

FLIPS = (1, 3, 6, 10, 15, 20, 29)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return two participants with seven flip angles and one with three, without noise."""
    root = synth.new_dataset(tmp_path / "bids")
    for number, flips in enumerate((FLIPS, FLIPS, (2, 8, 20)), 1):
        synth.add_vfa(root, f"sub-0{number}", flips=flips)
    return root


def evaluate(root: Path, out: Path, *more: str, model: str = "vfa") -> int:
    return main(["--bids", str(root), "--models", model, "--output", str(out), *more])


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_without_noise_every_sub_protocol_tells_what_all_measurements_tell(
    study: Path, tmp_path: Path
) -> None:
    assert (
        evaluate(study, tmp_path / "out", "--estimators", "lsq", "mle", "--participant-label", "01", "02")
        == 0
    )
    lines = table(tmp_path / "out" / "evaluation_vfa.tsv")
    assert {line["participant_id"] for line in lines} == {"sub-01", "sub-02"}
    assert {line["reference"] for line in lines} == {"own", "lsq", "rest"}
    assert {line["subset"] for line in lines} == {"1/6/29", "1/6/15/29", "1/6/10/20/29", "random"}
    # Images are stored in single precision.
    assert max(float(line["mse"]) for line in lines) < 1e-8
    # Signals without noise determine everything.
    assert {float(line["determined"]) for line in lines if line["quantity"] == "t1"} == {1.0}
    dictionary = json.loads((tmp_path / "out" / "evaluation_vfa.json").read_text(encoding="utf-8"))
    assert set(dictionary) == set(lines[0])


def test_the_page_is_one_file_that_asks_nobody(study: Path, tmp_path: Path) -> None:
    assert evaluate(study, tmp_path, "--estimators", "ncde", "--participant-label", "01") == 0
    page = (tmp_path / "evaluation_vfa.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:|#|https://doi\.org/)[^"]*"', page)
    assert "default-src 'none'" in page
    assert "Prior: scan. Limits: as of runs. Random seed: 0." in page
    assert re.search(r'class="number"[^>]*>[\d.e-]+ s² \(100 %\)', page)
    for heading in ("Participants", "At a glance", "Errors", "Maps of a slice of sub-01", "Agreement"):
        assert heading in page


def test_who_has_too_few_measurements_is_reported_by_name(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(study, tmp_path / "out", "--estimators", "lsq") == 0
    assert "sub-03 is left out: sub-protocols: 3 different measurements" in capsys.readouterr().err
    assert "sub-03 is left out" in (tmp_path / "out" / "evaluation_vfa.html").read_text(encoding="utf-8")


def test_a_study_without_the_technique_is_no_input(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(study, tmp_path / "out", model="ivim") == 65
    assert "nobody has a scan that ivim can be evaluated on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_network_of_another_technique_is_refused_by_name(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = weights_folder() / "ncde-ivim.onnx"
    assert evaluate(study, tmp_path, "--network", str(file)) == 2
    text = capsys.readouterr().err
    assert "ncde-ivim.onnx" in text
    assert "is a network for ivim" in text


def test_impossible_words_and_sub_protocols_are_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(study, tmp_path, "--estimators", "wls") == 2
    assert "vfa has no estimator 'wls'" in capsys.readouterr().err
    assert evaluate(study, tmp_path, "--estimators", "local") == 2
    assert "local fits whole images" in capsys.readouterr().err
    assert evaluate(study, tmp_path, "--subset", "2,2,6") == 2
    assert "holds a value twice" in capsys.readouterr().err
    assert evaluate(study, tmp_path, "--subset", "2") == 2
    assert "2 are 1 measurements" in capsys.readouterr().err


def test_nothing_is_written_into_the_dataset_nor_computed_for_a_place_that_cannot_be_written(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(study.rglob("*"))
    assert evaluate(study, study / "evaluation") == 2
    assert "lies inside the dataset, which is never written to" in capsys.readouterr().err
    assert sorted(study.rglob("*")) == before
    (tmp_path / "file").touch()
    assert evaluate(study, tmp_path / "file" / "out") == 2
    assert "is no folder" in capsys.readouterr().err


def test_a_network_that_may_have_learned_from_those_who_judge_it_is_named(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tuned.onnx"
    for ending in (".onnx", ".json"):
        file.with_suffix(ending).write_bytes((weights_folder() / f"ncde-vfa{ending}").read_bytes())
    card = card_of(file) | {"finetuned": {"participants": ["a", "b", "c"]}}
    monkeypatch.setattr("bids_qmri.workflows.evaluate.card_of", lambda _: card)
    more = ["--estimators", "lsq", "--network", str(file), "--participant-label", "01"]
    assert evaluate(study, tmp_path / "out", *more) == 0
    page = (tmp_path / "out" / "evaluation_vfa.html").read_text(encoding="utf-8")
    for text in (capsys.readouterr().err, page):
        assert "tuned was fine-tuned on 3 participants: if they are among these" in text


def test_the_shipped_network_as_a_file_is_the_shipped_network(study: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.onnx"
    for ending in (".onnx", ".json"):
        content = (weights_folder() / f"ncde-vfa{ending}").read_bytes()
        file.with_suffix(ending).write_bytes(content)
    more = ["--estimators", "ncde", "--network", str(file), "--participant-label", "01"]
    assert evaluate(study, tmp_path / "out", *more) == 0
    lines = table(tmp_path / "out" / "evaluation_vfa.tsv")
    shipped, mine = ([line["mse"] for line in lines if line["estimator"] == e] for e in ("ncde", "mine"))
    assert shipped == mine != []


def test_neurites_are_compared_with_a_conventional_fit_by_tissue(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "bids")
    truth = synth.add_noddi(root)
    tissue = np.where(truth["ndi"] > np.median(truth["ndi"]), 1, 2)
    derived = synth.new_dataset(tmp_path / "seg", "derivative")
    dseg = synth.place(derived, "dwi", "sub-01_desc-tissue_dseg.nii.gz")
    synth.write_image(dseg, tissue)
    dseg.with_name("sub-01_desc-tissue_dseg.tsv").write_text("index\tname\n1\tWM\n2\tGM\n", encoding="utf-8")
    more = ["-d", f"seg={derived}", "--estimators", "lsq", "mle"]
    assert evaluate(root, tmp_path / "out", *more, model="noddi") == 0
    lines = table(tmp_path / "out" / "evaluation_noddi_agreement.tsv")
    assert {line["region"] for line in lines} == {"all regions", "WM", "GM"}
    assert not (tmp_path / "out" / "evaluation_noddi.tsv").exists()
    of_density = [line for line in lines if line["quantity"] == "ndi" and line["estimator"] == "mle"]
    for line in of_density:
        assert float(line["bias"]) == pytest.approx(0.0, abs=0.01)
        assert float(line["correlation"]) > 0.99
    white, grey = (next(x for x in of_density if x["region"] == name) for name in ("WM", "GM"))
    assert float(white["mean"]) > float(grey["mean"])


def test_a_bolus_has_agreement_alone(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "bids")
    synth.add_vfa(root)
    synth.add_dce(root)
    assert evaluate(root, tmp_path / "out", "--estimators", "lsq", "ncde", model="etofts") == 0
    lines = table(tmp_path / "out" / "evaluation_etofts_agreement.tsv")
    assert {line["quantity"] for line in lines} >= {"kep", "ve", "vp", "ktrans"}
    assert not (tmp_path / "out" / "evaluation_etofts.tsv").exists()
