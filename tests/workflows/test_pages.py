"""Pages are written whatever went wrong, in one process or several, and say it again when made anew."""

from __future__ import annotations

from pathlib import Path

import pytest
import synth
from runs import run_config

from bids_qmri.workflows import pages
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.participant import run_participants


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    root = synth.new_dataset(tmp_path / "bids")
    synth.add_vfa(root)
    return run_config(root, tmp_path / "out", tmp_path / "work", estimators=("lsq",))


def page(config: RunConfig, name: str = "sub-01") -> str:
    return (config.output_dir / f"{name}.html").read_text(encoding="utf-8")


def again(config: RunConfig, **changes: object) -> RunConfig:
    from dataclasses import replace

    return replace(config, reports_only=True, **changes)  # type: ignore[arg-type]


def test_a_page_says_what_failed_and_says_it_again(config: RunConfig) -> None:
    (config.bids_dir / "sub-01" / "anat" / "sub-01_flip-2_VFA.nii.gz").write_bytes(b"no image")
    assert [end.status for end in run_participants(config)] == ["failed"]
    assert "sub-01_flip-2_VFA.nii.gz" in page(config)
    run_participants(again(config))
    assert "sub-01_flip-2_VFA.nii.gz" in page(config)


def test_a_mended_participant_has_a_page_without_errors(config: RunConfig) -> None:
    image = config.bids_dir / "sub-01" / "anat" / "sub-01_flip-2_VFA.nii.gz"
    whole = image.read_bytes()
    image.write_bytes(b"no image")
    run_participants(config)
    image.write_bytes(whole)
    assert [end.status for end in run_participants(config)] == ["ok"]
    assert "No errors." in page(config)


def test_several_processes_draw_the_same_page(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    run_participants(config)
    alone = page(config)
    monkeypatch.setattr(pages, "FEW_FITS", 0)
    assert [end.status for end in run_participants(again(config, nprocs=2))] == ["ok"]
    assert page(config) == alone


def test_a_page_that_cannot_be_written_is_a_failure_of_its_participant(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pages, "write_subject_page", fail)
    (end,) = run_participants(config)
    assert end.status == "failed"
    assert "disk full" in end.messages[0]
    # A page is no map: these are in place.
    assert list(config.output_dir.glob("sub-01/anat/*T1map.nii.gz"))


def test_sessions_have_pages_of_their_own_on_request(config: RunConfig) -> None:
    synth.add_vfa(config.bids_dir, prefix="sub-01_ses-a")
    run_participants(config)
    run_participants(again(config, report_by_session=True))
    assert 'href="sub-01_ses-a.html"' in page(config)
    assert "sub-01_ses-a anat" in page(config, "sub-01_ses-a")
    assert "sub-01_ses-a anat" not in page(config)
