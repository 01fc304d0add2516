"""Maps of wCV: of repeats on one grid, beside the participant's maps, NaN where the data say too little."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from bids_qmri.bids.derivatives import read_map, write_map
from bids_qmri.completion.standing import standing_of
from bids_qmri.errors import UsageError
from bids_qmri.reports.group import write_group

from .conftest import SHAPE, VOXELS, WriteFit, vouch_for

SCALES = (1.0, 1.2)
WCV = float(np.std(SCALES, ddof=1) / np.mean(SCALES))


def wcv_of(path: Path) -> np.ndarray:
    return np.asarray(read_map(path)[0]).ravel(order="F")


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        ("run", "sub-01/ses-a/anat/sub-01_ses-a_desc-lsqWcvRuns"),
        ("ses", "sub-01/anat/sub-01_desc-lsqWcvSessions"),
    ],
)
def test_repeats_on_one_grid_have_a_map(tmp_path: Path, write_fit: WriteFit, entity: str, name: str) -> None:
    known = np.ones(VOXELS, dtype=bool)
    known[20:25] = False
    for number, scale in enumerate(SCALES, 1):
        more = {"ses": "a"} if entity == "run" else {}
        write_fit(
            {"sub": "01", **more, entity: str(number)}, scale=scale, determined=known if number == 1 else None
        )
    assert tmp_path / f"{name}_T1map.nii.gz" in write_group(tmp_path)
    found = wcv_of(tmp_path / f"{name}_T1map.nii.gz")
    inside = np.ones(VOXELS, dtype=bool)
    inside[:11] = inside[20:25] = False  # outside the mask, unusable, not determined
    assert found[inside] == pytest.approx(WCV, rel=1e-5)
    assert np.isnan(found[~inside]).all()
    fields = json.loads((tmp_path / f"{name}_T1map.json").read_text(encoding="utf-8"))
    assert len(fields["Sources"]) == 2
    assert all((tmp_path / source.removeprefix("bids::")).is_file() for source in fields["Sources"])
    assert fields["Units"] == "1"
    assert "QIBA" in fields["EstimationAlgorithm"]
    assert "10.1177/0962280214537344" in fields["EstimationReference"]


def test_other_grids_have_none_and_maps_of_an_earlier_call_go(tmp_path: Path, write_fit: WriteFit) -> None:
    for run in ("1", "2"):
        write_fit({"sub": "01", "run": run})
    image = tmp_path / "sub-01/anat/sub-01_desc-lsqWcvRuns_T1map.nii.gz"
    write_group(tmp_path)
    assert image.is_file()
    moved = tmp_path / "sub-01/anat/sub-01_run-2_desc-lsq_T1map.nii.gz"
    values, affine = read_map(moved)
    affine = affine.copy()
    affine[0, 3] = 0.5
    write_map(moved, np.asarray(values).ravel(order="F"), SHAPE, affine, (1, 1, 1))
    vouch_for(tmp_path, "01")
    write_group(tmp_path)
    assert not image.exists()
    assert not image.with_name("sub-01_desc-lsqWcvRuns_T1map.json").exists()


def test_participants_that_are_one_person_are_repeats(tmp_path: Path, write_fit: WriteFit) -> None:
    rows = ["participant_id\tperson"]
    for person in range(3):
        for scan, scale in zip("ab", SCALES, strict=True):
            write_fit({"sub": f"{person}{scan}"}, scale=scale + person)
            rows.append(f"sub-{person}{scan}\tP{person}")
    write_fit({"sub": "alone"})
    rows.append("sub-alone\tn/a")
    (tmp_path / "participants.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    write_group(tmp_path, person_column="person")
    found = wcv_of(tmp_path / "sub-0a/anat/sub-0a_desc-lsqWcvPersons_T1map.nii.gz")
    assert found[30] == pytest.approx(WCV, rel=1e-5)
    assert not list((tmp_path / "sub-0b").rglob("*Wcv*"))
    with (tmp_path / "group_vfa_repeatability.tsv").open(encoding="utf-8") as stream:
        lines = [line for line in csv.DictReader(stream, delimiter="\t") if line["map"] == "t1"]
    assert [(line["repeats"], line["subjects"], line["measurements"]) for line in lines] == [
        ("person", "3", "6")
    ]
    assert "participants that are one person" in (tmp_path / "group_vfa.html").read_text(encoding="utf-8")


def test_a_column_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit()
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"'person'.*one of age"):
        write_group(tmp_path, person_column="person")


def test_whoever_was_complete_still_is(tmp_path: Path, write_fit: WriteFit) -> None:
    for run in ("1", "2"):
        write_fit({"sub": "01", "run": run})
    before = standing_of(tmp_path, "01", verify=True)
    write_group(tmp_path)
    assert standing_of(tmp_path, "01", verify=True) == before
    assert before.state == "complete"
