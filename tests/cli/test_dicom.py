"""Options of both commands that promise DICOM files are refused before work begins, with the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_qmri.cli import dicom
from bids_qmri.cli import inline as command
from bids_qmri.cli.config import make_config
from bids_qmri.cli.dicom import check_dicom
from bids_qmri.cli.reading import parse
from bids_qmri.errors import UsageError


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    (tmp_path / "bids").mkdir()
    return [str(tmp_path / "bids"), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Packages that seem to be installed."""
    names = ["pydicom", "highdicom"]
    monkeypatch.setattr(dicom, "find_spec", lambda name: name if name in names else None)
    return names


def test_folders_become_absolute(folders: list[str], tmp_path: Path, installed: list[str]) -> None:
    (tmp_path / "who").mkdir()
    more = ["--dicom", str(tmp_path / "x/../dicom"), "--dicom-templates", str(tmp_path / "who")]
    config = make_config(parse([*folders, *more, "--dicom-parametric-maps"]))
    written = config.dicom
    assert written is not None
    assert (written.folder, written.templates) == (tmp_path / "dicom", tmp_path / "who")
    assert written.parametric_maps


@pytest.mark.parametrize("place", ["bids", "bids/derivatives/dicom", "out/dicom"])
def test_datasets_hold_no_dicom(folders: list[str], tmp_path: Path, place: str, installed: list[str]) -> None:
    with pytest.raises(UsageError, match="lies inside"):
        make_config(parse([*folders, "--dicom", str(tmp_path / place)]))


@pytest.mark.parametrize(
    ("missing", "parametric_maps", "extra"),
    [("pydicom", False, "dicom"), ("highdicom", True, "parametric-map")],
)
def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(
    installed: list[str], tmp_path: Path, missing: str, parametric_maps: bool, extra: str
) -> None:
    installed.remove(missing)
    with pytest.raises(UsageError, match=missing) as caught:
        check_dicom(tmp_path, None, "--dicom-templates", parametric_maps)
    assert f"bids_qmri[{extra}]" in str(caught.value)


@pytest.mark.parametrize("more", [["--dicom-templates", "x"], ["--dicom-parametric-maps"]])
def test_options_of_dicom_need_it(folders: list[str], more: list[str]) -> None:
    with pytest.raises(UsageError, match=f"{more[0]}.*without --dicom"):
        make_config(parse([*folders, *more]))


def test_a_template_that_does_not_exist_is_named(tmp_path: Path, installed: list[str]) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        check_dicom(tmp_path, tmp_path / "nobody.dcm", "--dicom-template", False)


def test_the_server_refuses_too(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command.main(["--port", "0", "--dicom-template", str(tmp_path / "nobody.dcm")]) == 2
    assert "--dicom-template" in capfd.readouterr().err
