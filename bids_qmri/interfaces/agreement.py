"""Compare the estimators of one acquisition, once all fits are there: with references, and on common voxels.

Fits are independent jobs, so this runs after them and completes their quality files.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.derivatives import read_map
from bids_qmri.interfaces.quality import references_of, write_record
from bids_qmri.outputs.tables import MapRow
from bids_qmri.qc.agreement import REFERENCES, agreement_metrics
from bids_qmri.qc.common import COMMON, Estimate, common_metrics, common_voxels
from bids_qmri.qc.metrics import Metrics
from bids_qmri.reports.records import Record, find_records

AGREEMENT = ("bias", "loa_low", "loa_high")

Codes = npt.NDArray[np.uint8] | None
"""Status codes of a fit, (X, Y, Z); None without the image."""


def compare_estimators(output_dir: Path, participant: str) -> None:
    """Add agreement and metrics of common voxels to the quality files of one participant.

    What was there from an earlier comparison is replaced; a quality file that says the same is left alone.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    participant
        Label without ``sub-``.
    """

    def what(record: Record) -> tuple[str, str]:
        return record.table.model, record.acquisition

    records = sorted(find_records(output_dir, participant), key=what)
    for _, same in groupby(records, key=what):
        fits = {record.estimator: record for record in same}
        found: dict[str, Metrics] = {label: {} for label in fits}
        codes = {label: _values(record, record.table.status) for label, record in fits.items()}
        for row in next(iter(fits.values())).table.maps:
            for label, metrics in _compare(fits, codes, row).items():
                found[label] |= metrics
        for label, record in fits.items():
            _complete(record, found[label])


def _complete(record: Record, found: Metrics) -> None:
    """Write a quality file with what a comparison has found in place of what an earlier one had."""
    before = dict(record.fields.get("Metrics") or {})
    ends = (*(f"{key}_{name}" for key in AGREEMENT for name in REFERENCES), *COMMON)
    own = {f"{row.name}_{end}" for row in record.table.maps for end in ends}
    after = {name: value for name, value in before.items() if name not in own} | found
    if after != before:
        fields = {**record.fields, "Metrics": after, "Regions": record.fields.get("Regions") or {}}
        write_record(record.output_dir, record.entities, record.table, record.estimator, fields)


def _compare(fits: Mapping[str, Record], codes: Mapping[str, Codes], row: MapRow) -> dict[str, Metrics]:
    """Return what comparing the estimators says of one map, by label of those that wrote it."""
    found = _estimates(fits, codes, row)
    if len(found) < 2:
        return {}
    common = common_voxels(list(found.values()))
    told: dict[str, Metrics] = {}
    for label, (values, status, known) in found.items():
        metrics: Metrics = {}
        for name in references_of(fits[label].table.model, label):
            if name in found:
                other, other_status, other_known = found[name]
                agreed = agreement_metrics(values, status, other, other_status, known, other_known)
                metrics |= {f"{row.name}_{key}_{name}": value for key, value in agreed.items()}
        metrics |= {f"{row.name}_{key}": value for key, value in common_metrics(values, common).items()}
        told[label] = metrics
    return told


def _estimates(fits: Mapping[str, Record], codes: Mapping[str, Codes], row: MapRow) -> dict[str, Estimate]:
    """Return a map by all that wrote it on the grid of the first; nothing of maps of several volumes."""
    found: dict[str, Estimate] = {}
    for label, record in fits.items():
        values, status = _values(record, row), codes[label]
        if values is None or status is None or values.shape != status.shape:
            continue
        grid = next((first.shape for first, _, _ in found.values()), values.shape)
        if values.shape == grid:
            found[label] = values, status, _values(record, record.table.determined(row.name))
    return found


def _values(record: Record, row: MapRow) -> npt.NDArray[Any] | None:
    path = record.path(row, ".nii.gz")
    if not path.is_file():
        return None
    return read_map(path)[0]
