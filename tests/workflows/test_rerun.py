"""What is complete and unchanged is left; what changed, is damaged or asked for anew is fitted again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import synth
from runs import run_config

from bids_qmri.completion.hashes import hash_inputs
from bids_qmri.completion.record import completion_path, read_completion
from bids_qmri.completion.standing import standing_of
from bids_qmri.errors import InputError
from bids_qmri.interfaces import fit
from bids_qmri.interfaces.job import DicomOutput
from bids_qmri.reports.group import write_group
from bids_qmri.workflows import finish, schedule
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.participant import run_participants

T1 = "sub-01/anat/sub-01_desc-lsq_T1map.nii.gz"


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    root = synth.new_dataset(tmp_path / "bids")
    synth.add_vfa(root)
    return run_config(root, tmp_path / "out", tmp_path / "work", estimators=("lsq",))


def files(config: RunConfig) -> dict[str, int]:
    """Return when each file of participants was written."""
    paths = [path for path in config.output_dir.glob("sub-*/**/*") if path.is_file()]
    return {path.relative_to(config.output_dir).as_posix(): path.stat().st_mtime_ns for path in paths}


def again(config: RunConfig, **changes: Any) -> RunConfig:
    return replace(config, run_id="again", **changes)


def test_a_complete_participant_is_left_as_it_is(config: RunConfig) -> None:
    (first,) = run_participants(config)
    before = files(config)
    (second,) = run_participants(again(config))
    assert not first.unchanged
    assert second == replace(first, unchanged=True)
    assert files(config) == before
    assert standing_of(config.output_dir, "01", verify=True).state == "complete"


def test_force_fits_again(config: RunConfig) -> None:
    run_participants(config)
    before = files(config)
    (end,) = run_participants(again(config, force=True))
    assert not end.unchanged
    assert files(config)[T1] != before[T1]


@pytest.mark.parametrize("name", ["sub-01_flip-2_VFA.json", "sub-01_flip-2_VFA.nii.gz"])
def test_a_changed_input_is_fitted_again(config: RunConfig, name: str) -> None:
    run_participants(config)
    before = files(config)
    path = config.bids_dir / "sub-01" / "anat" / name
    was = path.stat()
    if path.suffix == ".json":
        synth.edit_json(path, ProtocolName="another")
    else:
        # The same image, packed otherwise: of another content, if not of other values.
        path.write_bytes(path.read_bytes()[:4] + b"\1\2\3\4" + path.read_bytes()[8:])
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    (end,) = run_participants(again(config))
    assert (end.status, end.unchanged) == ("ok", False)
    assert files(config)[T1] != before[T1]


def damage_map(out: Path) -> None:
    (out / T1).write_bytes((out / T1).read_bytes()[:-20])


def remove_map(out: Path) -> None:
    (out / T1).unlink()


def spoil_record(out: Path) -> None:
    completion_path(out, "01").write_text("[1, 2")


def remove_page(out: Path) -> None:
    (out / "sub-01.html").unlink()


@pytest.mark.parametrize("damage", [damage_map, remove_map, spoil_record, remove_page])
def test_what_is_damaged_or_gone_is_made_again(config: RunConfig, damage: Any) -> None:
    run_participants(config)
    whole = (config.output_dir / T1).read_bytes()
    damage(config.output_dir)
    (end,) = run_participants(again(config))
    assert (end.status, end.unchanged) == ("ok", False)
    assert (config.output_dir / T1).read_bytes() == whole
    assert standing_of(config.output_dir, "01", verify=True).state == "complete"


def test_another_method_leaves_earlier_maps_and_their_record(config: RunConfig) -> None:
    run_participants(config)
    before = files(config)
    run_participants(again(config, estimators=("mle",)))
    assert files(config)[T1] == before[T1]
    record = read_completion(config.output_dir, "01")
    assert record is not None
    assert set(record.fits) == {"sub-01 vfa lsq", "sub-01 vfa mle"}
    (end,) = run_participants(again(config, estimators=("lsq", "mle")))
    assert not end.unchanged  # this was never asked for in one run
    assert files(config)[T1] == before[T1]
    (first,) = run_participants(again(config))
    assert first.unchanged


def test_maps_of_another_method_are_outdated_once_an_input_has_changed(config: RunConfig) -> None:
    run_participants(replace(config, estimators=("lsq", "mle")))
    assert standing_of(config.output_dir, "01").state == "complete"
    path = config.bids_dir / "sub-01" / "anat" / "sub-01_flip-2_VFA.json"
    synth.edit_json(path, ProtocolName="another")
    run_participants(again(config))
    standing = standing_of(config.output_dir, "01")
    assert standing.state == "outdated"
    assert "sub-01 vfa mle" in standing.why
    write_group(config.output_dir)
    rows = (config.output_dir / "group_vfa.tsv").read_text().splitlines()[1:]
    assert len(rows) == 1
    assert "outdated" in (config.output_dir / "group_vfa.html").read_text()


def test_other_options_fit_again_and_the_first_ones_too_after_them(config: RunConfig) -> None:
    run_participants(config)
    for bounds in ({"t1": (0.3, 4.0)}, {}):
        (end,) = run_participants(again(config, bounds=bounds))
        assert not end.unchanged


def test_a_failure_of_the_disk_leaves_what_an_earlier_run_wrote(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_participants(config)
    before = files(config)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "map.nii.gz")

    monkeypatch.setattr(fit, "write_outputs", fail)
    (end,) = run_participants(again(config, force=True))
    assert end.status == "failed"
    assert re_one_line(end.messages, "map.nii.gz: No space left on device; needed: .*; fix: free space")
    assert files(config)[T1] == before[T1]


def test_if_nothing_can_be_put_in_place_everything_stays(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_participants(config)
    before = files(config)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(finish, "assemble", fail)
    (end,) = run_participants(again(config, force=True))
    assert end.status == "failed"
    assert re_one_line(end.messages, "nothing was put in place.* stays: No space left")
    assert files(config) == before
    assert not list(config.output_dir.glob(".bids_qmri"))


def test_a_disk_that_is_full_at_any_write_leaves_what_was_there(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_participants(config)
    before = files(config)
    real, count = os.fsync, {"done": 0, "fails at": -1}

    def fsync(number: int) -> None:
        count["done"] += not stat.S_ISDIR(os.fstat(number).st_mode)
        if count["done"] == count["fails at"]:
            raise OSError(28, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    run_participants(again(config, force=True))
    writes = count["done"]
    assert writes > 15
    for place in range(1, writes + 1):
        count |= {"done": 0, "fails at": place}
        (end,) = run_participants(again(config, force=True))
        assert end.status == "failed"
        assert all("No space left" in message for message in end.messages)
        assert standing_of(config.output_dir, "01", verify=True).state in ("complete", "failed")
        assert set(before) - set(files(config)) <= {"sub-01/log/problems.json"}
        assert not list(config.output_dir.rglob("*.part"))
    (end,) = run_participants(again(config))
    assert end.status == "ok"


def test_a_fit_that_its_input_makes_fail_leaves_no_map_of_an_earlier_input(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_participants(config)

    def fail(*_: object, **__: object) -> None:
        raise InputError("is odd", file="flip-1", needed="another one", fix="mend it")

    monkeypatch.setattr(fit, "_fit", fail)
    (end,) = run_participants(again(config, force=True))
    assert end.status == "failed"
    assert not (config.output_dir / T1).exists()
    assert standing_of(config.output_dir, "01").state == "failed"


def test_a_failure_stays_until_the_same_is_asked_for_again(config: RunConfig) -> None:
    """Another choice of models neither mends it nor hides it."""
    synth.add_tensor(config.bids_dir)
    sidecar = config.bids_dir / "sub-01" / "anat" / "sub-01_flip-1_VFA.json"
    whole = sidecar.read_text()
    sidecar.write_text("{")
    vfa = replace(config, models=("vfa",))
    dti = replace(config, models=("dti",), estimators=("wls",))
    assert [run_participants(one)[0].status for one in (vfa, again(dti), again(vfa))] == [
        "failed",
        "ok",
        "failed",
    ]
    assert standing_of(config.output_dir, "01").state == "failed"
    sidecar.write_text(whole)
    assert run_participants(again(vfa))[0].status == "ok"
    assert run_participants(again(dti))[0].status == "ok"
    assert standing_of(config.output_dir, "01").state == "complete"


def test_nothing_to_fit_for_one_choice_does_not_hide_what_another_gave(config: RunConfig) -> None:
    run_participants(config)
    (end,) = run_participants(again(config, estimators=("wls",)))
    assert end.status == "nothing"
    assert standing_of(config.output_dir, "01").state == "complete"
    (end,) = run_participants(again(config))
    assert (end.status, end.unchanged) == ("ok", True)


def test_other_kinds_of_data_and_other_sessions_are_no_inputs(config: RunConfig) -> None:
    synth.add_vfa(config.bids_dir, prefix="sub-01_ses-1")
    run_participants(config)
    before = files(config)
    folder = config.bids_dir / "sub-01"
    for name in ("sub-01_scans.tsv", "func/sub-01_task-rest_bold.json", "../task-rest_bold.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
        (end,) = run_participants(again(config))
        assert end.unchanged, name
    synth.add_vfa(config.bids_dir, prefix="sub-01_ses-2")
    (end,) = run_participants(again(config))
    assert not end.unchanged
    assert files(config)[T1] != 0
    old = "sub-01/ses-1/anat/sub-01_ses-1_desc-lsq_T1map.nii.gz"
    assert files(config)[old] == before[old]
    assert "sub-01/ses-2/anat/sub-01_ses-2_desc-lsq_T1map.nii.gz" in files(config)


@pytest.mark.parametrize("folder", ["anat", "dwi", "perf", "fmap", "masks", "dce", "."])
def test_an_image_of_any_folder_that_may_be_read_is_an_input(config: RunConfig, folder: str) -> None:
    path = config.bids_dir / "sub-01" / folder / "sub-01_desc-brain_mask.nii.gz"
    path.parent.mkdir(exist_ok=True)
    inputs = []
    for content in (b"one", b"two"):
        path.write_bytes(content)
        inputs.append(hash_inputs({"raw": config.bids_dir}, "01"))
    assert inputs[0] != inputs[1]


def test_dicom_files_that_are_gone_are_written_again(config: RunConfig, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    dicom = DicomOutput(tmp_path / "dicom", None, False, "run")
    own = replace(config, dicom=dicom)
    run_participants(own)
    assert run_participants(again(own))[0].unchanged
    shutil.rmtree(tmp_path / "dicom")
    assert not run_participants(again(own))[0].unchanged
    assert list((tmp_path / "dicom" / "sub-01").rglob("*.dcm"))


def test_a_damaged_fit_that_is_not_asked_for_now_goes_with_a_word(
    config: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    run_participants(replace(config, estimators=("lsq", "mle")))
    (config.output_dir / T1.replace("lsq", "mle")).unlink()
    run_participants(again(config))
    assert "sub-01 vfa mle: damaged, and not asked for now: removed" in caplog.text
    assert not list(config.output_dir.glob("sub-01/anat/*mle*"))
    assert standing_of(config.output_dir, "01", verify=True).state == "complete"


def test_who_is_in_work_is_left_to_the_other_run(config: RunConfig) -> None:
    from bids_qmri.completion.lease import take

    lease = take(config.output_dir, "01", "other")
    (end,) = run_participants(config)
    lease.release()
    assert end.status == "busy"
    assert re_one_line(end.messages, "in work by another run")
    assert not (config.output_dir / "sub-01").exists()


def re_one_line(messages: tuple[str, ...], pattern: str) -> bool:
    import re

    (line,) = messages
    return bool(re.search(pattern, line)) and "\n" not in line


def dies_at_mle(job: Any) -> None:
    """Run fits, but be killed at that of one estimator, as for lack of memory."""
    from bids_qmri.interfaces.job import AcquisitionJob
    from bids_qmri.interfaces.outcomes import run_and_record

    for one in job.fits:
        if one.label == "mle":
            os.kill(os.getpid(), signal.SIGKILL)
        run_and_record(AcquisitionJob((one,)))


def test_a_killed_process_costs_the_fit_it_was_at(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two acquisitions, so that processes are started.
    synth.add_vfa(config.bids_dir, prefix="sub-01_acq-b")
    monkeypatch.setattr(schedule, "run_and_record", dies_at_mle)
    (end,) = run_participants(replace(config, nprocs=2, estimators=("lsq", "mle", "map")))
    assert end.status == "failed"
    assert len(end.messages) == 2
    for message in end.messages:
        assert "vfa mle: its process was killed (signal 9)" in message
        assert "GB were planned" in message
        assert "fix: " in message
    record = read_completion(config.output_dir, "01")
    assert record is not None
    assert {name.split()[-1] for name in record.fits} == {"lsq", "map"}
    assert len(record.fits) == 4


def test_the_record_says_the_same_of_the_same_run(config: RunConfig, tmp_path: Path) -> None:
    other = replace(config, output_dir=tmp_path / "out2")
    contents = []
    for one in (config, other):
        run_participants(one)
        content = json.loads(completion_path(one.output_dir, "01").read_text())
        del content["Outputs"]  # pages say how long fits took
        contents.append(content)
    assert contents[0] == contents[1]


def test_a_sidecar_above_and_a_mask_beside_are_inputs_too(config: RunConfig, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    synth.new_dataset(masks, "derivative")
    config = replace(config, read=replace(config.read, derivatives={"masks": masks}))
    above = config.bids_dir / "flip-2_VFA.json"
    above.write_text("{}")
    run_participants(config)
    for path, content in ((above, '{"ProtocolName": "a"}'), (masks / "desc-brain_mask.json", "{}")):
        (end,) = run_participants(again(config))
        assert end.unchanged
        path.write_text(content)
        (end,) = run_participants(again(config))
        assert not end.unchanged
