"""Names of derivatives: complete, canonical, safe, and readable back."""

from __future__ import annotations

import string
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_qmri.bids.names import DATATYPES, EXTENSIONS, ORDER, build_name, derivative_path, parse_name
from bids_qmri.errors import InputError

LABELS = st.text(string.ascii_letters + string.digits + "+", min_size=1, max_size=8)
OPTIONAL = [key for key in ORDER if key not in ("sub", "desc")]
ENTITIES = st.fixed_dictionaries({"sub": LABELS, "desc": LABELS}, optional=dict.fromkeys(OPTIONAL, LABELS))
SUFFIXES = st.sampled_from(["T1map", "dwimap", "vfamap", "qc"])


def path_of(entities: dict[str, str], **changes: str) -> PurePosixPath:
    parts = {"datatype": "anat", "suffix": "T1map", "extension": ".nii.gz", "desc": "lsq"} | changes
    return derivative_path(entities, **parts)


@given(ENTITIES, SUFFIXES, st.sampled_from(EXTENSIONS))
def test_what_is_written_is_read_back(entities: dict[str, str], suffix: str, extension: str) -> None:
    assert parse_name(build_name(entities, suffix, extension)) == (entities, suffix, extension)


@given(ENTITIES, ENTITIES, SUFFIXES)
def test_different_entities_never_share_a_name(one: dict[str, str], two: dict[str, str], suffix: str) -> None:
    assert (build_name(one, suffix, ".json") == build_name(two, suffix, ".json")) == (one == two)


@given(ENTITIES, SUFFIXES)
def test_entities_appear_in_canonical_order_with_desc_last(entities: dict[str, str], suffix: str) -> None:
    keys = [pair.split("-")[0] for pair in build_name(entities, suffix, ".json").split("_")[:-1]]
    assert keys == sorted(keys, key=ORDER.index)
    assert keys[-1] == "desc"


@given(st.text(max_size=12), st.sampled_from(["sub", "ses", "acq", "run"]))
def test_a_label_is_alphanumeric_or_refused(label: str, key: str) -> None:
    allowed = label != "" and set(label) <= set(string.ascii_letters + string.digits + "+")
    entities = {"sub": "01"} | {key: label}
    if allowed:
        assert f"{key}-{label}" in path_of(entities).name
    else:
        with pytest.raises(InputError):
            path_of(entities)


def test_folders_are_participant_session_and_datatype() -> None:
    assert str(path_of({"sub": "01", "ses": "b", "run": "2"})) == (
        "sub-01/ses-b/anat/sub-01_ses-b_run-2_desc-lsq_T1map.nii.gz"
    )
    assert path_of({"sub": "01"}).parent == PurePosixPath("sub-01/anat")


def test_the_model_and_its_parameter_come_before_desc() -> None:
    path = path_of({"sub": "01", "acq": "x"}, datatype="dwi", suffix="dwimap", model="ivim", param="d")
    assert path.name == "sub-01_acq-x_model-ivim_param-d_desc-lsq_dwimap.nii.gz"


@pytest.mark.parametrize("label", ["..", "../x", "a/b", "a b", "a_b", "a-b", "é", "", "a\n"])
def test_labels_that_could_leave_the_folder_are_refused(label: str) -> None:
    for key in ("sub", "ses", "acq"):
        with pytest.raises(InputError):
            path_of({"sub": "01", key: label})


@pytest.mark.parametrize(
    "changes",
    [{"datatype": "../anat"}, {"datatype": "func"}, {"suffix": "a/b"}, {"suffix": ""}, {"extension": "/.."},
     {"desc": ""}, {"model": ""}, {"param": "a.b"}],
)  # fmt: skip
def test_no_other_part_of_a_path_can_leave_it(changes: dict[str, str]) -> None:
    with pytest.raises(InputError):
        path_of({"sub": "01"}, **changes)


def test_an_entity_without_a_place_is_an_error_not_dropped() -> None:
    with pytest.raises(InputError, match="flip"):
        path_of({"sub": "01", "flip": "1"})


def test_an_entity_given_twice_is_an_error() -> None:
    with pytest.raises(InputError, match="given twice"):
        path_of({"sub": "01", "desc": "brain"})


def test_a_participant_is_required() -> None:
    with pytest.raises(InputError, match="sub"):
        path_of({"ses": "01"})


def test_raw_names_can_not_be_written() -> None:
    with pytest.raises(InputError, match="desc"):
        build_name({"sub": "01"}, "T1map", ".nii.gz")


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_T1map.nii.gz",
        "desc-a_sub-01_T1map.nii.gz",
        "sub-01_desc-a_desc-b_T1map.nii.gz",
        "sub-01_desc-a.json",
        "sub-01_desc-a_T1map",
        "sub-01_sub-01_desc-a_T1map.json",
        "sub-A-B_desc-x_T1map.json",
        "group_vfa.tsv",
        "",
    ],
)
def test_foreign_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        parse_name(name)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_is_a_folder_name(datatype: str) -> None:
    assert path_of({"sub": "01"}, datatype=datatype).parent.name == datatype
