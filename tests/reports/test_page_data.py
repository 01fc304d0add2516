"""What a fit keeps for its page comes back as it was, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.page_data import (
    BINS,
    Histogram,
    PageData,
    Trace,
    count_values,
    page_data_path,
    read_page_data,
    write_page_data,
)
from bids_qmri.reports.records import Record

TRACE = Trace("median residual", (1, 2, 3), 0.1, {"t1": 1.0}, [1.0], [2.0], [1.0], [2.1])
DATA = PageData(3.5, "time (s)", "signal", (TRACE,), {"t1": Histogram(0.0, 1.0, {"liver": [1, 2]})})


def record(folder: Path) -> Record:
    return Record(folder, {"sub": "01"}, output_table("vfa"), "lsq", {})


def path(folder: Path) -> Path:
    return page_data_path(folder, {"sub": "01"}, output_table("vfa"), "lsq")


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    write_page_data(path(tmp_path), DATA)
    assert read_page_data(record(tmp_path)) == DATA


@pytest.mark.parametrize("content", [None, "{", "[]", '{"other": 1}', '{"traces": [{"kind": 1}]}'])
def test_a_missing_or_foreign_file_is_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        path(tmp_path).parent.mkdir(parents=True)
        path(tmp_path).write_text(content)
    assert read_page_data(record(tmp_path)) == PageData()


def test_every_finite_value_is_counted_once() -> None:
    values = np.array([-5.0, 0.0, 0.5, 1.0, 7.0, np.nan])
    inside = {"all": np.ones(6, dtype=bool), "some": values > 0.7}
    histogram = count_values(values, (0.0, 1.0), inside)
    assert {name: sum(counts) for name, counts in histogram.counts.items()} == {"all": 5, "some": 2}
    assert len(histogram.counts["all"]) == BINS
    assert histogram.counts["all"][-1] == 2


def test_without_values_there_is_an_empty_histogram() -> None:
    histogram = count_values(np.array([np.nan]), None, {"all": np.ones(1, dtype=bool)})
    assert sum(histogram.counts["all"]) == 0


@pytest.mark.parametrize("level", [1e-9, 1.0, 5e6, 1e12])
@pytest.mark.parametrize("apart", [0.0, 1e-7])
def test_values_that_hardly_differ_are_counted_whatever_their_size(level: float, apart: float) -> None:
    values = (level * np.array([1.0, 1.0, 1.0 + apart])).astype(np.float32)
    histogram = count_values(values, None, {"all": np.ones(3, dtype=bool)})
    assert sum(histogram.counts["all"]) == 3
