"""What the viewer lists of regions is what the quality file holds, in the unit that the page tells it in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_qmri.outputs.tables import output_table
from bids_qmri.qc.metrics import map_metrics
from bids_qmri.reports import region_statistics as statistics
from bids_qmri.reports.records import Record
from bids_qmri.reports.region_statistics import counted, region_statistics

TABLE = output_table("ivim")


def of(name: str, **fields: Any) -> list[statistics.Statistics]:
    return region_statistics(Record(Path("out"), {"sub": "01"}, TABLE, "lsq", fields), TABLE.estimate(name))


def metrics(values: np.ndarray, known: np.ndarray | None = None, status: int = 1) -> dict[str, Any]:
    codes = np.full(values.size, status, np.uint8)
    return map_metrics({"d": values}, {}, values, codes, determined={} if known is None else {"d": known})


def test_median_and_spread_are_over_the_voxels_that_are_counted() -> None:
    values = np.array([0.8e-3, 1.0e-3, 1.2e-3, 9.0e-3])
    known = np.array([True, True, True, False])
    regions = {"liver": metrics(values, known), "kidney": metrics(np.full(9, 2e-3))}
    assert of("d", Regions=regions) == [
        ("kidney", "2", "0", "9", False),
        ("liver", "1", "0.2", "3 of 4", False),
    ]


def test_without_regions_it_is_the_whole_mask() -> None:
    assert of("d", Metrics=metrics(np.full(5, 1e-3)), Regions={}) == [("whole mask", "1", "0", "5", False)]


@pytest.mark.parametrize(("many", "few"), [(9, False), (5, False), (4, True), (1, True)])
def test_a_region_is_faint_where_fewer_than_half_are_determined(many: int, few: bool) -> None:
    fields = metrics(np.full(10, 1e-3), np.arange(10) < many)
    assert of("d", Regions={"liver": fields}) == [("liver", "1", "0", f"{many} of 10", few)]


@pytest.mark.parametrize(("known", "word"), [(None, "estimated"), (np.arange(5) < 3, "determined")])
def test_the_count_says_which_voxels_it_is_of(known: np.ndarray | None, word: str) -> None:
    fields = {"Metrics": metrics(np.full(5, 1e-3), known)}
    assert counted(Record(Path("out"), {"sub": "01"}, TABLE, "lsq", fields), TABLE.estimate("d")) == word


@pytest.mark.parametrize("regions", [None, [], {"liver": None}, {"liver": {"d_median": "1"}}])
def test_what_is_not_known_is_not_listed(regions: Any) -> None:
    assert of("d", Regions=regions) == []
    assert of("f", Regions={"liver": metrics(np.full(5, 1e-3))}) == []


def test_of_many_regions_the_largest_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MOST", 2)
    regions = {f"r{size}": metrics(np.full(size, 1e-3)) for size in (3, 9, 5)}
    assert [name for name, *_ in of("d", Regions=regions)] == ["r9", "r5"]
