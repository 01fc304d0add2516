"""Compare the estimators of one acquisition, once all fits are there: with references, and on common voxels.

Fits are independent jobs, so this runs after them and completes their quality files.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.derivatives import read_map
from bids_qmri.bids.regions import labels_on_map
from bids_qmri.bids.sources import file_of
from bids_qmri.errors import InputError
from bids_qmri.interfaces.quality import references_of, write_record
from bids_qmri.outputs.tables import MapRow
from bids_qmri.qc.agreement import REFERENCES, agreement_metrics
from bids_qmri.qc.common import COMMON, Estimate, common_metrics, common_voxels
from bids_qmri.qc.definitions import MASK
from bids_qmri.qc.metrics import Metrics
from bids_qmri.reports.records import Record, find_records

LOGGER = logging.getLogger("bids_qmri.reports")

AGREEMENT = ("bias", "loa_low", "loa_high")

Codes = npt.NDArray[np.uint8] | None
"""Status codes of a fit, (X, Y, Z); None without the image."""


Found = dict[str, Metrics]
"""Metrics by region, of which `MASK` is one."""

Regions = tuple[npt.NDArray[np.intp], Mapping[str, int]]
"""Label of every voxel, (X, Y, Z), and label by name of the region."""


def compare_estimators(
    output_dir: Path, participant: str, datasets: Mapping[str, Path] = MappingProxyType({})
) -> None:
    """Add agreement and metrics of common voxels to the quality files of one participant.

    What was there from an earlier comparison is replaced; a quality file that says the same is left alone.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    participant
        Label without ``sub-``.
    datasets
        Roots of the datasets that hold segmentations, by the names that records give them.
    """

    def what(record: Record) -> tuple[str, str]:
        return record.table.model, record.acquisition

    records = sorted(find_records(output_dir, participant), key=what)
    for _, same in groupby(records, key=what):
        fits = {record.estimator: record for record in same}
        found: dict[str, Found] = {label: {MASK: {}} for label in fits}
        codes = {label: _values(record, record.table.status) for label, record in fits.items()}
        regions = (
            {label: _regions(record, datasets) for label, record in fits.items()} if len(fits) > 1 else {}
        )
        for row in next(iter(fits.values())).table.maps:
            for label, parts in _compare(fits, codes, regions, row).items():
                for name, metrics in parts.items():
                    found[label].setdefault(name, {}).update(metrics)
        for label, record in fits.items():
            _complete(record, found[label])


def _complete(record: Record, found: Found) -> None:
    """Write a quality file with what a comparison has found in place of what an earlier one had."""
    before = dict(record.fields.get("Metrics") or {}), dict(record.fields.get("Regions") or {})
    ends = (*(f"{key}_{name}" for key in AGREEMENT for name in REFERENCES), *COMMON)
    own = {f"{row.name}_{end}" for row in record.table.maps for end in ends}

    def replaced(metrics: Any, name: str) -> Metrics:
        return {key: value for key, value in metrics.items() if key not in own} | found.get(name, {})

    parts = {
        name: replaced(part, name) if isinstance(part, dict) else part for name, part in before[1].items()
    }
    after = replaced(before[0], MASK), parts
    if after != before:
        fields = {**record.fields, "Metrics": after[0], "Regions": after[1]}
        write_record(record.output_dir, record.entities, record.table, record.estimator, fields)


def _regions(record: Record, datasets: Mapping[str, Path]) -> Regions | None:
    """Return the regions that a fit was summarised in; None where the segmentation is not there any more."""
    uri, labels = record.fields.get("Segmentation"), record.fields.get("SegmentationLabels")
    if not isinstance(uri, str) or not isinstance(labels, Mapping):
        return None
    file, image = file_of(uri, datasets), record.path(record.table.status, ".nii.gz")
    if file is None or not file.is_file() or not image.is_file():
        LOGGER.debug("%s: regions are not compared: %s is not there", record.file, uri)
        return None
    try:
        return labels_on_map(image, file), labels
    except InputError as error:
        LOGGER.warning("%s: regions are not compared: %s", record.file, error)
        return None


def _compare(
    fits: Mapping[str, Record], codes: Mapping[str, Codes], regions: Mapping[str, Regions | None], row: MapRow
) -> dict[str, Found]:
    """Return what comparing the estimators says of one map, by label of those that wrote it."""
    found = _estimates(fits, codes, row)
    if len(found) < 2:
        return {}
    common = common_voxels(list(found.values()))
    told: dict[str, Found] = {}
    for label, (values, status, known) in found.items():
        metrics: Metrics = {}
        for name in references_of(fits[label].table.model, label):
            if name in found:
                other, other_status, other_known = found[name]
                agreed = agreement_metrics(values, status, other, other_status, known, other_known)
                metrics |= {f"{row.name}_{key}_{name}": value for key, value in agreed.items()}
        told[label] = _of_common(row, values[common], common, regions[label])
        told[label][MASK] |= metrics
    return told


def _of_common(
    row: MapRow, values: npt.NDArray[Any], common: npt.NDArray[np.bool_], regions: Regions | None
) -> Found:
    """Return the metrics of common voxels, whose values are (v,), for the mask and every region."""
    inside = {MASK: np.ones(values.size, dtype=np.bool_)}
    if regions is not None:
        own = regions[0][common]
        inside |= {name: own == label for name, label in regions[1].items()}
    return {
        name: {f"{row.name}_{key}": value for key, value in common_metrics(values, part).items()}
        for name, part in inside.items()
    }


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
