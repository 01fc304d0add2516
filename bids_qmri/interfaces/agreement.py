"""Compare networks and other estimators with the reference fits of the same acquisition, once all are there.

Fits are independent jobs, so this runs after them and completes their quality files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from bids_qmri.bids.derivatives import read_map
from bids_qmri.interfaces.quality import references_of, write_record
from bids_qmri.outputs.tables import MapRow
from bids_qmri.qc.agreement import REFERENCES, agreement_metrics
from bids_qmri.qc.metrics import Metrics
from bids_qmri.reports.records import Record, find_records


def compare_estimators(output_dir: Path, participant: str) -> None:
    """Add bias and limits of agreement to the quality files of one participant.

    What was there from an earlier comparison is replaced; a quality file that says the same is left alone.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    participant
        Label without ``sub-``.
    """
    records = find_records(output_dir, participant)
    by_name = {(record.table.model, record.acquisition, record.estimator): record for record in records}
    for record in records:
        names = references_of(record.table.model, record.estimator)
        found = {name: by_name.get((record.table.model, record.acquisition, name)) for name in names}
        _complete(record, {name: other for name, other in found.items() if other is not None})


def _complete(record: Record, references: dict[str, Record]) -> None:
    before = dict(record.fields.get("Metrics") or {})
    own = tuple(
        f"{row.name}_{key}_{name}"
        for row in record.table.maps
        for key in ("bias", "loa_low", "loa_high")
        for name in REFERENCES
    )
    after = {name: value for name, value in before.items() if name not in own}
    for name, reference in references.items():
        after |= _compare(record, reference, name)
    if after != before:
        fields = {**record.fields, "Metrics": after, "Regions": record.fields.get("Regions") or {}}
        write_record(record.output_dir, record.entities, record.table, record.estimator, fields)


def _compare(record: Record, reference: Record, name: str) -> Metrics:
    """Return the agreement of all maps that both wrote; none where an image is missing or of another grid."""
    status, other = (_values(one, one.table.status) for one in (record, reference))
    if status is None or other is None or status.shape != other.shape:
        return {}
    found: Metrics = {}
    for row in record.table.maps:
        values, expected = _values(record, row), _values(reference, row)
        if values is not None and expected is not None and values.shape == expected.shape == status.shape:
            determined = (_determined(one, row) for one in (record, reference))
            metrics = agreement_metrics(
                values.ravel(), status.ravel(), expected.ravel(), other.ravel(), *determined
            )
            found |= {f"{row.name}_{key}_{name}": value for key, value in metrics.items()}
    return found


def _determined(record: Record, row: MapRow) -> npt.NDArray[Any] | None:
    """Return where the data determine a map, None where the fit could not tell."""
    known = _values(record, record.table.determined(row.name))
    return None if known is None else known.ravel()


def _values(record: Record, row: MapRow) -> npt.NDArray[Any] | None:
    path = record.path(row, ".nii.gz")
    if not path.is_file():
        return None
    return read_map(path)[0]
