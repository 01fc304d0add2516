"""One bad thing costs one thing: a file that cannot be read, a folder, or what a reader did not foresee."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
import synth

from bids_qmri.bids import dataset, folders
from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find, participants
from bids_qmri.bids.header_limits import refuse_impossible
from bids_qmri.bids.isolation import read_kind
from bids_qmri.bids.layout import read_layout
from bids_qmri.bids.nifti import read_header
from bids_qmri.errors import InputError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One participant with two flip angle series and a tensor series."""
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root, "sub-01_acq-a")
    synth.add_vfa(root, "sub-01_acq-b")
    synth.add_tensor(root)
    return root


def _found(root: Path) -> tuple[list[str], list[Unusable]]:
    found = find(root, "01")
    labels = [f"{one.kind} {one.label}" for one in found if isinstance(one, Acquisition)]
    return labels, [one for one in found if isinstance(one, Unusable) and one.fault]


ALL = ["vfa sub-01_acq-a", "vfa sub-01_acq-b", "dwi sub-01"]


@pytest.mark.parametrize("error", [OSError(5, "io"), MemoryError(), OverflowError("x"), RecursionError()])
def test_what_one_image_raises_costs_its_acquisition(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from bids_qmri.techniques.vfa import reader

    def spoiled(path: Path) -> Any:
        if "acq-a_flip-2" in path.name:
            raise error
        return read_header(path)

    read_header = reader.read_header
    monkeypatch.setattr(reader, "read_header", spoiled)
    labels, (fault,) = _found(root)
    assert labels == ALL[1:]
    assert "acq-a" in str(fault.error)
    assert "fix: " in str(fault.error)


def test_what_a_reader_did_not_foresee_costs_the_scan(root: Path) -> None:
    files = read_layout(root, "01")

    def reader(files: Any, *_: object) -> list[Any]:
        images = files.images({"VFA"})
        if any("acq-b" in image.path.name for image in images):
            raise KeyError("acq")
        return [image.path.name for image in images]

    *names, fault = read_kind("vfa", reader, files, {}, ReadOptions(), ())
    assert len(names) == 3
    assert isinstance(fault, Unusable)
    assert "sub-01_acq-b_flip-1_VFA.nii.gz: cannot be used (KeyError" in str(fault.error)


def test_what_no_scan_is_to_blame_for_costs_the_kind(root: Path) -> None:
    def reader(*_: object) -> list[Any]:
        raise ZeroDivisionError

    (fault,) = read_kind("vfa", reader, read_layout(root, "01"), {}, ReadOptions(), ())
    assert isinstance(fault, Unusable)
    assert fault.label == "sub-01 vfa"


def test_an_unreadable_folder_costs_what_is_in_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind whoever runs the tests as root."""
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if str(path).endswith("/dwi"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", refuse)
    labels, (fault,) = _found(root)
    assert labels == ALL[:2]
    assert fault.error.file == root / "sub-01" / "dwi"
    assert "chmod u+r" in str(fault.error)


def _loop(folder: Path) -> None:
    (folder / "anat" / "again").symlink_to(folder)


def _file_for_folder(folder: Path) -> None:
    (folder / "perf").write_text("")


def _folder_for_file(folder: Path) -> None:
    (folder / "anat" / "sub-01_acq-c_flip-1_VFA.nii.gz").mkdir()


def _link_for_folder(folder: Path) -> None:
    (folder / "perf").symlink_to("/nowhere/perf")


def _bytes_for_name(folder: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/anat/\xff_VFA.nii.gz"))).write_text("")


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (_loop, "again: is a link to .*, a folder that it lies in itself"),
        (_file_for_folder, "perf: is a file; needed: a folder"),
        (_folder_for_file, r"flip-1_VFA.nii.gz: is a folder, not a file; needed: a NIfTI image"),
        (_link_for_folder, "perf: is a link to /nowhere/perf, where no folder is"),
        (_bytes_for_name, r"\\udcff_VFA.nii.gz: has a name that is not UTF-8"),
    ],
)
def test_folders_that_are_not_what_they_should_be_are_named(root: Path, spoil: Any, seen: str) -> None:
    spoil(root / "sub-01")
    labels, (fault,) = _found(root)
    assert labels == ALL
    with pytest.raises(InputError, match=seen):
        raise fault.error


def test_a_participant_that_is_a_link_to_nowhere_is_named(root: Path) -> None:
    (root / "sub-02").symlink_to("/nowhere/sub-02")
    assert participants(root) == ["01", "02"]
    (fault,) = find(root, "02")
    assert isinstance(fault, Unusable)
    assert "sub-02: is a link to /nowhere/sub-02" in str(fault.error)


def test_a_dataset_that_cannot_be_listed_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any = ".") -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(dataset.os, "scandir", refuse)
    with pytest.raises(UsageError, match="cannot be listed"):
        participants(root)


def test_a_derivative_that_cannot_be_listed_costs_itself(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = synth.new_dataset(tmp_path / "other", "derivative")
    stat = os.stat

    def refuse(path: Any, **more: Any) -> Any:
        if str(path).startswith(str(other)):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **more)

    monkeypatch.setattr(folders.os, "stat", refuse)
    found = find(root, "01", ReadOptions(derivatives={"other": other}))
    labels = [one.label for one in found if isinstance(one, Acquisition)]
    assert labels == ["sub-01_acq-a", "sub-01_acq-b", "sub-01"]
    (fault,) = [one for one in found if isinstance(one, Unusable) and one.fault]
    assert fault.error.file == other
    assert "permissions forbid it" in str(fault.error)


def test_thousands_of_files_take_seconds(root: Path) -> None:
    for number in range(3000):
        (root / "sub-01" / "anat" / f"sub-01_acq-x{number}_T1w.json").write_text("{}")
    assert _found(root) == (ALL, [])


def _header(**changes: Any) -> bytes:
    import nibabel as nib
    import numpy as np

    header = nib.Nifti1Header()
    header.set_data_shape((4, 3, 2))
    header.set_data_dtype(np.float32)
    header["magic"], header["vox_offset"] = b"n+1", 352
    for field, value in changes.items():
        header[field] = value
    return bytes(header.binaryblock) + bytes(4)


@pytest.mark.parametrize(
    ("changes", "size", "seen"),
    [
        (
            {"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]},
            400,
            r"dim: promises .* bytes \(30000 x 30000 x 30000\)",
        ),
        ({"dim": [7] + [32767] * 7}, 10**9, "dim: promises"),
        ({"dim": [9, 1, 1, 1, 1, 1, 1, 1]}, 400, r"dim\[0\]: is 9"),
        ({"dim": [3, -4, 3, 2, 1, 1, 1, 1]}, 400, "dim: has the size"),
        ({"vox_offset": 100}, 400, "vox_offset: is 100"),
        ({"vox_offset": 1e9}, 400, "vox_offset: is 1e"),
        ({"vox_offset": float("nan")}, 400, "vox_offset: is nan"),
        ({"vox_offset": 1e9}, 10**7, "vox_offset: is 954 MB; needed: extensions"),
        ({"scl_slope": float("inf")}, 400, "scl_slope: is inf"),
        ({"scl_slope": 2, "scl_inter": float("nan")}, 400, "scl_slope: is 2, and the intercept nan"),
        ({"magic": b"ni1"}, 400, "magic: is one half of a pair"),
        ({"magic": b"abc"}, 400, "magic: is b'abc'"),
        ({"sizeof_hdr": 7}, 400, "does not begin with a NIfTI header"),
    ],
)
def test_headers_are_held_against_their_files(changes: dict[str, Any], size: int, seen: str) -> None:
    with pytest.raises(InputError, match=seen):
        refuse_impossible(Path("x.nii.gz"), _header(**changes), size, packed=True)


def _with_extension(tmp_path: Path, size: int | None = None) -> Path:
    import nibabel as nib
    import numpy as np

    image = nib.Nifti1Image(np.ones(synth.SHAPE, np.float32), synth.AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"words " * 10))
    nib.save(image, tmp_path / "x.nii")
    raw = bytearray((tmp_path / "x.nii").read_bytes())
    if size is not None:
        raw[352:356] = size.to_bytes(4, "little", signed=True)
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(bytes(raw)))
    return path


def test_extensions_are_passed_over(tmp_path: Path) -> None:
    assert read_header(_with_extension(tmp_path)).offset == 432


@pytest.mark.parametrize("size", [2**31 - 1, -1, 0, 8, 96])
def test_extensions_longer_than_their_room_are_refused(tmp_path: Path, size: int) -> None:
    """A library would read as much as they say, which a kilobyte of gzip can be made to hold."""
    with pytest.raises(
        InputError, match=rf"extension: an extension of {size:,} bytes begins 80 bytes before"
    ):
        read_header(_with_extension(tmp_path, size))


def test_a_sound_header_passes() -> None:
    """The header of which every test above spoils one field: nothing is raised."""
    refuse_impossible(Path("x.nii.gz"), _header(), 400, packed=True)
    refuse_impossible(
        Path("x.nii.gz"), _header(scl_slope=float("nan"), scl_inter=float("nan")), 400, packed=True
    )
