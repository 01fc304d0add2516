"""Who is found, and what of each participant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find, participants
from bids_qmri.errors import UsageError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "raw")


def test_participants_are_sorted_and_files_are_not_participants(dataset: Path) -> None:
    for name in ("sub-02", "sub-01", "sub-s1"):
        (dataset / name).mkdir()
    (dataset / "sub-03.html").touch()
    assert participants(dataset) == ["01", "02", "s1"]


def test_labels_lose_the_prefix_only_once(dataset: Path) -> None:
    # A label that begins with the letters of the prefix must survive (lstrip would eat it).
    (dataset / "sub-subus").mkdir()
    assert participants(dataset, ["sub-subus"]) == participants(dataset, ["subus"]) == ["subus"]


def test_an_unknown_label_is_answered_with_the_known_ones(dataset: Path) -> None:
    (dataset / "sub-01").mkdir()
    with pytest.raises(UsageError, match=r"no participant 99.*one of 01"):
        participants(dataset, ["99"])


@pytest.mark.parametrize(
    ("content", "seen"),
    [(None, "has no dataset_description.json"), ("{", "line 1"), ("[]", "holds a list"), ("", "is empty")],
)
def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path, content: str | None, seen: str) -> None:
    if content is not None:
        (tmp_path / "dataset_description.json").write_text(content)
    with pytest.raises(UsageError, match=seen):
        participants(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        participants(tmp_path / "nowhere")


def test_every_family_is_found_in_one_participant(dataset: Path) -> None:
    synth.add_vfa(dataset)
    synth.add_ivim(dataset, "sub-01_acq-ivim")
    synth.add_tensor(dataset, "sub-01_acq-dti")
    synth.add_dce(dataset)
    found = find(dataset, "01")
    assert all(isinstance(one, Acquisition) for one in found)
    assert [(one.kind, one.label) for one in found] == [
        ("vfa", "sub-01"),
        ("dwi", "sub-01_acq-dti"),
        ("dwi", "sub-01_acq-ivim"),
        ("dce", "sub-01"),
    ]


def test_other_participants_and_derivatives_are_not_read(dataset: Path) -> None:
    synth.add_vfa(dataset)
    synth.add_vfa(dataset, "sub-011")
    synth.add_vfa(dataset / "derivatives" / "other")
    synth.add_vfa(dataset / "sourcedata" / "raw")
    (found,) = find(dataset, "01")
    assert all(path.is_relative_to(dataset / "sub-01") for path in found.images)


def test_no_acquisition_is_no_error(dataset: Path) -> None:
    synth.write_image(dataset / "sub-01" / "anat" / "sub-01_T1w.nii.gz", np.ones(synth.SHAPE))
    assert find(dataset, "01") == []


def test_a_family_without_a_model_is_named_and_no_fault(dataset: Path) -> None:
    for index in (1, 2, 3):
        name = f"sub-01_acq-a_echo-{index}_PDT2.nii.gz"
        synth.write_image(dataset / "sub-01" / "anat" / name, np.ones(synth.SHAPE))
    (found,) = find(dataset, "01")
    assert isinstance(found, Unusable)
    assert found.label == "sub-01_acq-a_PDT2"
    assert not found.fault
    said = "3 PDT2 image(s), for which there is no model yet; needed: images with a suffix VFA, dwi, dce"
    assert said in str(found.error)


def test_sessions_are_kept_apart_and_selected(dataset: Path) -> None:
    for session in ("pre", "post"):
        synth.add_vfa(dataset, f"sub-01_ses-{session}")
    assert [one.label for one in find(dataset, "01")] == ["sub-01_ses-post", "sub-01_ses-pre"]
    only = find(dataset, "01", ReadOptions(sessions=("pre",)))
    assert [one.label for one in only] == ["sub-01_ses-pre"]


@pytest.mark.parametrize(
    ("filters", "labels"),
    [
        ({"vfa": {"acquisition": "a"}}, ["sub-01_acq-a"]),
        ({"vfa": {"acq": ["a", "b"]}}, ["sub-01_acq-a", "sub-01_acq-b"]),
        ({"vfa": {"acquisition": None}}, ["sub-01"]),
        ({"vfa": {"acquisition": "*"}}, ["sub-01_acq-a", "sub-01_acq-b"]),
        ({"t1w": {"run": 1}, "dwi": {"acquisition": "none"}}, ["sub-01", "sub-01_acq-a", "sub-01_acq-b"]),
        ({"vfa": {"datatype": "anat", "suffix": "VFA", "acquisition": "b"}}, ["sub-01_acq-b"]),
    ],
)
def test_filters_take_labels_lists_absence_and_unknown_kinds(
    dataset: Path, filters: dict[str, dict[str, object]], labels: list[str]
) -> None:
    for prefix in ("sub-01", "sub-01_acq-a", "sub-01_acq-b"):
        synth.add_vfa(dataset, prefix)
    assert sorted(one.label for one in find(dataset, "01", ReadOptions(filters=filters))) == labels


def test_run_filters_ignore_leading_zeros(dataset: Path) -> None:
    for prefix in ("sub-01_run-01", "sub-01_run-02"):
        synth.add_tensor(dataset, prefix)
    (only,) = find(dataset, "01", ReadOptions(filters={"dwi": {"run": 2}}))
    assert only.label == "sub-01_run-02"


def test_an_entity_without_a_place_in_names_of_outputs_is_refused_before_any_fit(dataset: Path) -> None:
    synth.add_dce(dataset, "sub-01_echo-1")
    (found,) = find(dataset, "01", ReadOptions(values={"t10": 1.2}))
    assert isinstance(found, Unusable)
    assert found.label == "sub-01_echo-1_dce"
    assert (found.error.field, found.error.exit_code) == ("echo", 1)
    assert found.error.file == dataset / "sub-01" / "perf" / "sub-01_echo-1_dce.nii.gz"


def test_a_label_outside_bids_is_named(dataset: Path) -> None:
    (dataset / "sub-A-B").mkdir()
    (found,) = find(dataset, "A-B")
    assert isinstance(found, Unusable)
    assert "'A-B' is not one of BIDS" in str(found.error)


def test_finding_leaves_the_dataset_as_it_was(dataset: Path) -> None:
    synth.add_vfa(dataset)
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    find(dataset, "01")
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before
