"""One folder and one line: a technique that the package does not know, from its files to its pages.

The folder is ``tests/toy``; the line is ``toys.TOY``. Everything runs in this process, which has it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import mrd
import nibabel as nib
import numpy as np
import pytest
import synth
import test_packaging
from servers import running
from toys import (
    LABELS,
    SHAPE,
    SIGMA,
    TIMES,
    TRUTH,
    assert_close,
    command,
    decay,
    image,
    known,
    sidecar,
    write_echoes,
)

import bids_qmri
from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status
from bids_qmri.inline.server import Settings
from bids_qmri.outputs.tables import output_table


@pytest.fixture(scope="module", autouse=True)
def _known() -> Iterator[None]:
    with known():
        yield


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "bids")
    write_echoes(root)
    return root


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both levels write of two participants."""
    root = synth.new_dataset(tmp_path_factory.mktemp("toy") / "bids")
    for participant in ("sub-01", "sub-02"):
        write_echoes(root, participant)
    levels = ("participant", "group")
    assert command(root, "--models", "toy", "--estimators", *LABELS, levels=levels) == 0
    return root.parent / "out"


def test_its_folder_is_small() -> None:
    files = [path.name for path in (Path(__file__).parent / "toy").iterdir() if path.is_file()]
    assert len(set(files) - {"__init__.py"}) <= 7


def test_its_series_is_planned(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(bids, "--dry-run", "--estimators", *LABELS) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [
        "sub-01",
        "  toy  sub-01  (sub-01_echo-1_TOYSE.nii.gz)",
        "    toy: lsq, mle, map, bayes",
    ]
    assert not (bids.parent / "out").exists()


@pytest.mark.parametrize("label", LABELS)
def test_every_estimator_finds_the_truth_within_its_error_bars(results: Path, label: str) -> None:
    for name, parts in {"r2": ("", "_R2map"), "amp": ("_model-decay_param-amp", "_decaymap")}.items():
        found, sd = (image(results, f"sub-01{parts[0]}_desc-{label}{tail}{parts[1]}") for tail in ("", "Std"))
        assert_close(found, sd, name)
    assert np.all(image(results, f"sub-01_model-decay_desc-{label}Status_decaymap") == Status.OK)
    rmse = image(results, f"sub-01_model-decay_param-rmse_desc-{label}_decaymap")
    assert 0.5 * SIGMA < np.median(rmse) < SIGMA


@pytest.mark.parametrize("label", LABELS)
def test_sidecars_say_what_was_played_out_and_how_it_was_fitted(results: Path, label: str) -> None:
    fields = sidecar(results, f"sub-02_desc-{label}_R2map")
    assert fields["EchoTime"] == list(TIMES)
    assert (fields["Units"], fields["MagneticFieldStrength"]) == ("1/s", 3)
    assert fields["Model"]["Description"] == "R2 from spin echoes"
    assert fields["EstimationAlgorithm"] == catalogue.load(catalogue.ESTIMATORS[label]).description
    assert fields["NoiseLevel"] == pytest.approx(SIGMA, rel=0.1)
    assert "bids:raw:sub-02/anat/sub-02_echo-6_TOYSE.nii.gz" in fields["Sources"]
    assert sidecar(results, f"sub-02_model-decay_param-amp_desc-{label}_decaymap")["Units"] == "arbitrary"


@pytest.mark.parametrize("label", LABELS)
def test_quality_has_numbers_of_its_maps(results: Path, label: str) -> None:
    [path] = results.rglob(f"sub-01_model-decay_desc-{label}_qc.tsv")
    [row] = csv.DictReader(path.read_text().splitlines(), delimiter="\t")
    assert float(row["r2_median"]) == pytest.approx(25.0, rel=0.02)
    assert float(row["nrmse"]) == pytest.approx(SIGMA / 1000, rel=0.5)
    assert ("r2_bias_lsq" in row) == (label in ("map", "bayes"))


def test_the_page_of_a_participant_shows_it(results: Path) -> None:
    page = (results / "sub-01.html").read_text()
    assert page.count("R2 from spin echoes") == 1, "its fits lie under one heading"
    assert "10, 20, 30, 50, 80, 120 ms" in page
    assert ">echo time (ms)<" in page, "the protocol is drawn"
    assert ">echo time (s)<" in page, "signals are drawn over it"
    assert "with a mono-exponential decay" in page
    for label in LABELS:
        assert f"anat-sub-01-decay-{label}" in page
        assert (results / f"sub-01/figures/sub-01_desc-{label}_R2map.svg").is_file()


def test_it_has_a_table_and_a_page_over_participants(results: Path) -> None:
    rows = list(csv.DictReader((results / "group_toy.tsv").read_text().splitlines(), delimiter="\t"))
    expected = {(f"sub-0{i}", label) for i in (1, 2) for label in LABELS}
    assert {(row["participant_id"], row["estimator"]) for row in rows} == expected
    assert json.loads((results / "group_toy.json").read_text())["r2_median"]["Units"] == "1/s"
    assert "R2 from spin echoes" in (results / "group_toy.html").read_text()
    assert "karakuzu2022" in (results / "logs/CITATION.bib").read_text()


def test_the_documentation_has_to_name_its_maps_and_its_publication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [output_table(name) for name in catalogue.model_names()]
    maps = [f"| {t.model} | {', '.join(row.param or row.suffix for row in t.maps)} |" for t in tables]
    works = [f"[{t.model}](https://doi.org/{t.reference.doi})" for t in tables]
    monkeypatch.setattr(test_packaging, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    for page, lines, test in (
        ("outputs", maps, test_packaging.test_documentation_of_outputs_names_every_map),
        ("models", works, test_packaging.test_documentation_cites_the_publication_of_every_model),
    ):
        (tmp_path / f"docs/{page}.md").write_text("\n".join(lines[:-1]))
        with pytest.raises((AssertionError, ValueError)):
            test()
        (tmp_path / f"docs/{page}.md").write_text("\n".join(lines))
        test()


def test_limits_are_set_by_the_name_of_its_parameter(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(bids, "--bounds", "r2=8,20") == 0
    found = image(bids.parent / "out", "_desc-lsq_R2map")
    assert (found.min(), found.max()) == (8, 20)
    assert sidecar(bids.parent / "out", "_desc-lsq_R2map")["Bounds"] == {"r2": [8, 20]}
    capsys.readouterr()
    for option, seen in {
        "--bounds r3=8,20": r"--bounds: there is no parameter 'r3'; needed: .* t1, .*, r2\.",
        "--bounds r2=8,500": r"--bounds: r2 .*8.*500.*; needed: .* within 0\.1 and 200",
        "--set toy.r2=8": r"--set toy\.r2: toy has no setting 'r2'",
        "--models toys": r"argument --models: invalid choice: 'toys' \(choose from .*toy",
    }.items():
        assert command(bids, *option.split()) == 2
        assert re.search(seen, capsys.readouterr().err), option


def test_what_is_wrong_with_its_files_is_named(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synth.add_vfa(bids)
    synth.edit_json(bids / "sub-01/anat/sub-01_echo-2_TOYSE.json", EchoTime=20)
    assert command(bids) == 1
    said = capsys.readouterr().err
    assert "sub-01_echo-2_TOYSE.json: EchoTime: is 20; needed: the echo time in s" in said
    assert "no model yet" not in said
    assert list((bids.parent / "out").rglob("*T1map.nii.gz"))
    assert not list((bids.parent / "out").rglob("*R2map.nii.gz"))


def test_filters_know_its_kind(bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synth.add_vfa(bids)
    filters = synth.write_json(tmp_path / "filters.json", {"toy": {"acquisition": "other"}})
    assert command(bids, "--dry-run", "--bids-filter-file", str(filters)) == 0
    plan = capsys.readouterr()
    assert "TOYSE" not in plan.out
    assert "is not used" not in plan.err


def test_numbers_of_dicom_series_are_those_of_before_and_its_own(
    bids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs the extra dicom")
    from bids_qmri.interfaces.dicom import _first_number

    def numbers() -> dict[tuple[str, str], int]:
        pairs = [(entry.name, label) for _, entry in catalogue.entries() for label in entry.estimators]
        jobs = {(m, e): SimpleNamespace(model=SimpleNamespace(name=m), label=e) for m, e in pairs}
        return {pair: _first_number(job) for pair, job in jobs.items()}

    known = numbers()
    monkeypatch.setattr(catalogue, "TECHNIQUES", catalogue.TECHNIQUES[:-1])
    before = numbers()
    assert before == {pair: number for pair, number in known.items() if pair[0] != "toy"}
    assert len(set(known.values())) == len(known)
    monkeypatch.undo()
    assert command(bids, "--estimators", "map", "--dicom", str(bids.parent / "dicom")) == 0
    [folder] = (bids.parent / "dicom/sub-01/anat").iterdir()
    images = {path.parent.name: pydicom.dcmread(path) for path in folder.glob("*/0001.dcm")}
    assert min(image.SeriesNumber for image in images.values()) == known["toy", "map"] == 99101
    mapping = images["r2"].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "/s"


def test_files_that_lie_in_no_dataset_are_fitted(bids: Path, tmp_path: Path) -> None:
    from bids_qmri.interfaces.ports import FitToy

    files = [str(path) for path in sorted((bids / "sub-01/anat").glob("*.nii.gz"))]
    done = FitToy(in_files=files, echo_times=list(TIMES), estimator="map").run(cwd=str(tmp_path)).outputs
    assert_close(*(nib.load(path).get_fdata() for path in (done.r2, done.r2_sd)), "r2")
    assert json.loads(Path(done.metadata).read_text())["r2"]["Units"] == "1/s"
    with pytest.raises(InputError, match="5 echo times beside 6 images; needed: one per image, in s"):
        FitToy(in_files=files, echo_times=list(TIMES[1:])).run(cwd=str(tmp_path))


def test_other_pipelines_get_a_workflow(bids: Path, tmp_path: Path) -> None:
    from bids_qmri.workflows import init_toy_wf

    files = [str(path) for path in sorted((bids / "sub-01/anat").glob("*.nii.gz"))]
    workflow = init_toy_wf(in_files=files, echo_times=list(TIMES))
    workflow.base_dir = str(tmp_path)
    [fit] = workflow.run().nodes()
    np.testing.assert_allclose(nib.load(fit.result.outputs.r2).get_fdata(), TRUTH["r2"], rtol=0.1)


@pytest.mark.parametrize("spelled", ["attribute", "header"])
def test_a_stream_is_turned_into_maps(spelled: str) -> None:
    volumes = np.rint(decay()).astype(np.int16).transpose(3, 2, 1, 0)  # echo, slice, row, column
    milliseconds = [1000 * time for time in TIMES]
    named = spelled == "attribute"
    images = [
        mrd.image(plane, mrd.meta(EchoTime=milliseconds[i]) if named else b"", contrast=i, slice=k)
        for i, volume in enumerate(volumes)
        for k, plane in enumerate(volume)
    ]
    listed = "".join(f"<TE>{time}</TE>" for time in ([] if named else milliseconds))
    xml = f"<ismrmrdHeader><sequenceParameters>{listed}</sequenceParameters></ismrmrdHeader>"
    messages = (mrd.config("toy-lsq"), mrd.header(xml), mrd.text('{"maps": "r2 r2Std"}'), *images)
    with running(Settings(threads=2)) as port:
        answer = mrd.exchange(port, *messages, mrd.CLOSE)
    assert not answer.texts
    assert len(answer.images) == 2
    np.testing.assert_allclose(answer.map("r2")[:, 0].transpose(2, 1, 0), TRUTH["r2"], rtol=0.02)
    [unit] = next(iter(answer.images.values()))[0].meta["QuantityUnit"]
    assert unit == "1/s"


def test_arrays_are_fitted_at_the_front_door() -> None:
    found = bids_qmri.fit("toy", decay(), echo_time=TIMES, estimator="lsq")
    np.testing.assert_allclose(found.maps["r2"], TRUTH["r2"], rtol=1e-4)
    assert found.status.shape == SHAPE
    protocol = bids_qmri.ToyProtocol(np.array(TIMES))
    again = bids_qmri.fit("toy", decay(), protocol, estimator="bayes", sigma=SIGMA)
    np.testing.assert_allclose(again.maps["r2"], TRUTH["r2"], rtol=0.02)
    with pytest.raises(InputError, match="one echo time; 2 are needed"):
        bids_qmri.fit("toy", decay()[..., :1], echo_time=TIMES[:1])
