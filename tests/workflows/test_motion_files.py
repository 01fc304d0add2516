"""Tables of motion and aligned images of a run that does not bring them: none stay beside new maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import synth
from runs import run_config

from bids_qmri.completion.record import read_completion
from bids_qmri.completion.standing import standing_of
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.participant import run_participants

T1 = "sub-01/anat/sub-01_desc-lsq_T1map.nii.gz"
MOTION = "sub-01/anat/sub-01_mod-VFA_desc-motion_timeseries.tsv"


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


def without_motion(config: RunConfig, *estimators: str) -> RunConfig:
    return again(config, estimators=estimators, read=replace(config.read, motion=False))


def test_motion_that_is_not_measured_now_does_not_lie_beside_new_maps(config: RunConfig) -> None:
    run_participants(config)
    assert MOTION in files(config)
    run_participants(without_motion(config, "lsq"))
    assert not [name for name in files(config) if "desc-motion" in name]
    assert standing_of(config.output_dir, "01", verify=True).state == "complete"


def test_kept_maps_are_not_fitted_again_for_motion_that_another_run_replaced(config: RunConfig) -> None:
    run_participants(config)
    before = files(config)
    run_participants(without_motion(config, "mle"))
    record = read_completion(config.output_dir, "01")
    assert record is not None
    assert set(record.fits) == {"sub-01 vfa lsq", "sub-01 vfa mle"}
    assert MOTION not in {*files(config), *record.fits["sub-01 vfa lsq"].files}
    (end,) = run_participants(again(config))
    assert end.unchanged
    assert files(config)[T1] == before[T1]


def test_a_motion_table_that_is_gone_is_made_again(config: RunConfig) -> None:
    run_participants(config)
    (config.output_dir / MOTION).unlink()
    (end,) = run_participants(again(config))
    assert not end.unchanged
    assert MOTION in files(config)
