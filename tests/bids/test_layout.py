"""Names, the inheritance principle, and strict JSON."""

from __future__ import annotations

from pathlib import Path

import pytest
import synth

from bids_qmri.bids.layout import ParticipantFiles, read_json, read_layout
from bids_qmri.errors import InputError


def _touch(root: Path, *names: str) -> ParticipantFiles:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return read_layout(root, "01")


def test_names_are_taken_apart(tmp_path: Path) -> None:
    files = _touch(synth.new_dataset(tmp_path), "sub-01/anat/sub-01_ses-a+b_flip-low_VFA.nii.gz")
    (image,) = files.images({"VFA"})
    assert dict(image.entities) == {"sub": "01", "ses": "a+b", "flip": "low"}
    assert (image.suffix, image.extension, image.datatype) == ("VFA", ".nii.gz", "anat")


def test_folders_that_bids_does_not_know_are_datatypes_too(tmp_path: Path) -> None:
    files = _touch(synth.new_dataset(tmp_path), "sub-01/ses-1/dce/sub-01_ses-1_DCE.nii.gz")
    assert files.images({"DCE"})[0].datatype == "dce"


def test_phase_and_complex_parts_are_no_magnitude_images(tmp_path: Path) -> None:
    names = [f"sub-01/dwi/sub-01_part-{part}_dwi.nii.gz" for part in ("mag", "phase", "real", "imag")]
    files = _touch(synth.new_dataset(tmp_path), *names)
    assert [image.entities["part"] for image in files.images({"dwi"})] == ["mag"]


def test_the_nearest_file_comes_first_and_foreign_ones_do_not_apply(tmp_path: Path) -> None:
    files = _touch(
        synth.new_dataset(tmp_path),
        "dwi.bval",
        "acq-x_dwi.bval",
        "sub-01/sub-01_dwi.bval",
        "sub-01/dwi/sub-01_acq-a_dwi.bval",
        "sub-01/dwi/sub-01_acq-a_run-2_dwi.bval",
        "sub-01/anat/sub-01_dwi.bval",
        "sub-01/dwi/sub-01_acq-a_dwi.nii.gz",
    )
    (image,) = files.images({"dwi"})
    assert [file.path.relative_to(tmp_path).as_posix() for file in files.inherited(image, ".bval")] == [
        "sub-01/dwi/sub-01_acq-a_dwi.bval",
        "sub-01/sub-01_dwi.bval",
        "dwi.bval",
    ]


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "is empty at line 1"),
        (b'{"a": 1,\n}', "line 2, column 1"),
        (b'{"a": "\xe4"}', "byte 7 is not UTF-8"),
        (b"[1]", "holds a list"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": 1, "a": 2}', "has the key 'a' twice"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_damaged_json_is_refused_with_its_position(tmp_path: Path, content: bytes, seen: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=seen) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_a_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "x.json") == {"a": 1}


def test_a_broken_link_to_a_sidecar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="cannot be opened"):
        read_json(tmp_path / "x.json")
