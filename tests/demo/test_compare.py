"""The table of the demonstration, and the demonstration as a whole."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from bids_qmri.demo.__main__ import main
from bids_qmri.demo.compare import COMPARED, Row, as_text, compare


@pytest.mark.parametrize(
    ("truth", "estimate", "error"),
    [(2.0, 2.1, "+5.0 %"), (2.0, 1.9, "-5.0 %"), (2.0, 1.9999, "+0.0 %"), (0.0, 0.12, "+0.12")],
)
def test_error(truth: float, estimate: float, error: str) -> None:
    assert Row("T1 (s)", "liver", truth, estimate, 0.1).error == error


def test_table_has_a_head_and_columns_of_one_width() -> None:
    lines = as_text(
        [Row("T1 (s)", "liver", 0.81, 0.8123, 0.02), Row("FA", "lesion", 0.15, 0.16, math.nan)]
    ).splitlines()
    assert lines[0].split() == ["map", "tissue", "truth", "estimate", "error", *("sd", "of", "a", "voxel")]
    assert len({len(line) for line in lines}) == 1
    assert lines[1].endswith(" 0.02")
    assert lines[2].endswith(" n/a")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    before = dict(os.environ)
    try:
        assert main([str(folder)]) == 0
    finally:
        os.environ.clear()
        os.environ.update(before)
    return folder


# What noise and the estimator's own bias leave in a median at the noise of the phantoms.
TOLERANCE = {
    "T1": 0.01,
    "MD": 0.02,
    "FA": 0.15,
    "NDI": 0.05,
    "ODI": 0.25,
    "FWF": 0.25,
    "D": 0.02,
    "D*": 0.15,
    "f": 0.2,
    "Ktrans": 0.03,
    "ve": 0.03,
    "vp": 0.05,
}


def test_maps_agree_with_the_truth(demo: Path) -> None:
    rows = list(compare(demo / "bids_qmri"))
    assert {row.quantity.split()[0] for row in rows} == set(TOLERANCE)
    assert len(TOLERANCE) == sum(len(compared.maps) for compared in COMPARED)
    for row in rows:
        if row.truth:
            assert row.estimate == pytest.approx(row.truth, rel=TOLERANCE[row.quantity.split()[0]]), row


def test_medians_of_a_tissue_are_within_the_noise_of_one_voxel(demo: Path) -> None:
    rows = list(compare(demo / "bids_qmri"))
    # Isotropic diffusion and pure water lie at a limit: FA can only be above 0, FWF only below 1.
    inside = [row for row in rows if row.truth not in (0.0, 1.0)]
    assert len(inside) == len(rows) - 2
    for row in inside:
        assert abs(row.estimate - row.truth) < row.sd, row


def test_pages_are_written(demo: Path) -> None:
    names = {page.name for page in (demo / "bids_qmri").glob("*.html")}
    assert {"sub-brain01.html", "sub-abdomen01.html", "sub-abdomen02.html"} <= names


def test_the_dataset_is_not_touched(demo: Path) -> None:
    newest_input = max(path.stat().st_mtime_ns for path in (demo / "bids").rglob("*"))
    oldest_output = min(path.stat().st_mtime_ns for path in (demo / "bids_qmri").rglob("*.nii.gz"))
    assert newest_input < oldest_output
