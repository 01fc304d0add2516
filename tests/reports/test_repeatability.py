"""Wherever sessions or runs repeat, the group level says how well they agree."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from bids_qmri.qc.repeatability import repeatability
from bids_qmri.reports.group import write_group

from .conftest import WriteFit

SCALES = {"01": (1.0, 1.1), "02": (1.5, 1.4), "03": (2.0, 2.1), "04": (0.7, 0.8)}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "group_vfa_repeatability.tsv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def page_of(folder: Path) -> str:
    return (folder / "group_vfa.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("entity", ["ses", "run"])
def test_repeats_are_found_and_agree_as_computed_by_hand(
    tmp_path: Path, write_fit: WriteFit, entity: str
) -> None:
    medians: dict[str, list[float]] = {}
    for label, scales in SCALES.items():
        for number, scale in enumerate(scales, 1):
            more = {"ses": "a"} if entity == "run" else {}
            quality = write_fit({"sub": label, **more, entity: str(number)}, images=False, scale=scale)
            medians.setdefault(label, []).append(json.loads(quality.read_text())["Metrics"]["t1_median"])
    write_fit({"sub": "05", entity: "1"}, images=False)
    write_group(tmp_path)
    (row,) = [row for row in rows_of(tmp_path) if row["map"] == "t1"]
    expected = repeatability([np.array(values) for values in medians.values()])
    assert expected is not None
    assert (row["repeats"], row["estimator"], row["region"], row["unit"]) == (entity, "lsq", "mask", "s")
    assert (row["subjects"], row["determined"]) == ("4", "n/a")
    for name in ("wsd", "rc", "wcv", "icc", "difference"):
        assert float(row[name]) == pytest.approx(getattr(expected, name))
    assert float(row["loa_high"]) == pytest.approx(expected.limits[1])
    assert float(row["rc_low"]) < float(row["rc"]) < float(row["rc_high"])
    described = json.loads((tmp_path / "group_vfa_repeatability.json").read_text())
    assert set(described) == set(row)
    assert "Repeatability" in page_of(tmp_path)


def test_sessions_are_compared_by_the_mean_of_their_runs(tmp_path: Path, write_fit: WriteFit) -> None:
    for label, scales in SCALES.items():
        for ses, scale in zip("ab", scales, strict=True):
            for run, factor in (("1", 0.9), ("2", 1.1)):
                write_fit({"sub": label, "ses": ses, "run": run}, images=False, scale=scale * factor)
    write_group(tmp_path)
    found = {row["repeats"]: row for row in rows_of(tmp_path) if row["map"] == "t1"}
    assert (found["ses"]["subjects"], found["ses"]["measurements"]) == ("4", "8")
    assert (found["run"]["subjects"], found["run"]["measurements"]) == ("8", "16")
    assert float(found["run"]["wsd"]) > float(found["ses"]["wsd"])


def test_other_acquisitions_and_estimators_are_no_repeats(tmp_path: Path, write_fit: WriteFit) -> None:
    for label in SCALES:
        write_fit({"sub": label, "acq": "a", "run": "1"}, images=False)
        write_fit({"sub": label, "acq": "b", "run": "2"}, images=False)
        write_fit({"sub": label, "acq": "a", "run": "1"}, label="mle", images=False)
    write_group(tmp_path)
    assert not (tmp_path / "group_vfa_repeatability.tsv").exists()
    assert "Repeatability" not in page_of(tmp_path)


def test_too_few_participants_are_said_and_an_old_table_goes(tmp_path: Path, write_fit: WriteFit) -> None:
    (tmp_path / "group_vfa_repeatability.tsv").write_text("old\n")
    for label in ("01", "02"):
        for run in ("1", "2"):
            write_fit({"sub": label, "run": run}, images=False)
    write_group(tmp_path)
    assert not (tmp_path / "group_vfa_repeatability.tsv").exists()
    assert "runs of a session repeat for 2 participants: repeatability needs 3" in page_of(tmp_path)


def test_the_methods_text_says_how_where_something_repeats(tmp_path: Path, write_fit: WriteFit) -> None:
    for label in ("01", "02", "03"):
        write_fit({"sub": label, "run": "1"}, images=False)
    write_group(tmp_path)
    citation = tmp_path / "logs" / "CITATION.md"
    assert "Repeatability" not in citation.read_text(encoding="utf-8")
    for label in ("01", "02", "03"):
        write_fit({"sub": label, "run": "2"}, images=False)
    write_group(tmp_path)
    text = citation.read_text(encoding="utf-8")
    assert "Repeatability was described" in text
    assert "Raunig" in text
    assert "raunig2015" in (tmp_path / "logs" / "CITATION.bib").read_text(encoding="utf-8")


def test_the_share_of_voxels_that_medians_are_over_stands_beside_them(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    known = np.arange(90) % 2 == 0
    for label, scales in SCALES.items():
        for number, scale in enumerate(scales, 1):
            write_fit({"sub": label, "run": str(number)}, images=False, scale=scale, determined=known)
    write_group(tmp_path)
    (row,) = [row for row in rows_of(tmp_path) if row["map"] == "t1"]
    # Of 79 voxels with an estimate, numbers 11 to 89, those with an even number.
    assert float(row["determined"]) == pytest.approx(39 / 79)
    assert ">49 %</td>" in page_of(tmp_path)
