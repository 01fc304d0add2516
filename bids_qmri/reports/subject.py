"""One page per participant, made only from what lies in the output folder.

Called at the end of every participant, after failures too, and alone with ``--reports-only``.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bids_qmri import __version__
from bids_qmri.bids.derivatives import write_atomic
from bids_qmri.reports.figures import unit_label
from bids_qmri.reports.gallery import Figure, Gallery, draw_fit
from bids_qmri.reports.methods import describe_methods
from bids_qmri.reports.page import count, number, render
from bids_qmri.reports.protocol import describe_choices, describe_protocol
from bids_qmri.reports.records import Record, find_records

HALF = 0.5
"""A fit is warned about if fewer voxels were estimated, or more lie at a bound."""


@dataclass(frozen=True)
class Row:
    """Statistics of one map: median, IQR, 5th and 95th percentile, median sd."""

    symbol: str
    numbers: tuple[float | None, ...]
    unit: str


@dataclass(frozen=True)
class Fit:
    """What the page shows of one record."""

    anchor: str
    title: str
    model: str
    estimator: str
    algorithm: str
    voxels: str
    estimated: str
    at_bound: str
    failed: str
    maps: tuple[Gallery, ...]
    quality: tuple[Figure, ...]
    statistics: tuple[Row, ...]
    residuals: tuple[tuple[str, str], ...]
    choices: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Group:
    """All fits of one acquisition."""

    anchor: str
    label: str
    protocol: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    fits: tuple[Fit, ...]


def write_subject_page(
    output_dir: Path,
    participant: str,
    *,
    problems: Sequence[str] = (),
) -> Path:
    """Write ``sub-<label>.html`` and the figures beside the maps.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    participant
        Label without ``sub-``.
    problems
        What went wrong, one line each.

    Returns
    -------
    Path
        The page.
    """
    records = find_records(output_dir, participant)
    groups = tuple(_group(list(same)) for _, same in groupby(records, key=_place))
    page = render(
        "subject.html",
        participant=participant,
        lead=_lead(records),
        problems=list(problems),
        warnings=list(_warnings(records)),
        groups=groups,
        about=_about(records),
        methods=describe_methods(_runs(records)) if records else None,
    )
    path = output_dir / f"sub-{participant}.html"
    write_atomic(path, page.encode("utf-8"))
    return path


def _place(record: Record) -> tuple[str, str]:
    return record.table.datatype, record.acquisition


def _runs(records: Iterable[Record]) -> list[tuple[str, str]]:
    return [(record.table.model, record.estimator) for record in records]


def _lead(records: Sequence[Record]) -> str:
    if not records:
        return "No maps"
    acquisitions = len({_place(record) for record in records})
    return f"{count(acquisitions, 'acquisition')}, {count(len(records), 'fit')}"


def _group(records: Sequence[Record]) -> Group:
    first = records[0]
    fields = _sidecar(first)
    # The datatype keeps anchors apart where a VFA and a DCE series carry the same entities.
    anchor = f"{first.table.datatype}-{first.acquisition}"
    return Group(
        anchor=anchor,
        label=f"{first.acquisition} {first.table.datatype}",
        protocol=describe_protocol(fields),
        sources=tuple(str(source) for source in fields.get("Sources", ())),
        fits=tuple(_fit(record, anchor) for record in records),
    )


def _sidecar(record: Record) -> dict[str, Any]:
    """Return the sidecar of the first map that was written; empty if none can be read."""
    for row in record.table.maps:
        path = record.path(row, ".json")
        if path.is_file():
            fields = json.loads(path.read_text(encoding="utf-8"))
            return fields if isinstance(fields, dict) else {}
    return {}


def _fit(record: Record, anchor: str) -> Fit:
    metrics, table = record.metrics, record.table
    maps, quality = draw_fit(record)
    failed = [metrics.get(f"fraction_{word}") for word in ("not_converged", "unusable", "out_of_range")]
    return Fit(
        anchor=f"{anchor}-{table.entity}-{record.estimator}",
        title=table.title,
        model=table.model,
        estimator=record.estimator,
        algorithm=str(_sidecar(record).get("EstimationAlgorithm", "")),
        voxels=number(metrics.get("n_voxels")),
        estimated=_percent([metrics.get("fraction_ok"), metrics.get("fraction_at_bound")]),
        at_bound=_percent([metrics.get("fraction_at_bound")]),
        failed=_percent(failed),
        maps=maps,
        quality=quality,
        statistics=tuple(_statistics(record)),
        residuals=tuple(_residuals(record)),
        choices=describe_choices(record.fields),
    )


def _percent(fractions: Sequence[float | None]) -> str:
    known = [fraction for fraction in fractions if fraction is not None]
    return f"{100 * sum(known):.1f} %" if known else "n/a"


def _statistics(record: Record) -> Iterable[Row]:
    for row in record.table.maps:
        keys = [f"{row.name}_{key}" for key in ("median", "iqr", "p05", "p95", "sd_median")]
        if keys[0] in record.metrics:
            numbers = tuple(record.metrics.get(key) for key in keys)
            yield Row(row.symbol, numbers, unit_label(row.unit))


def _residuals(record: Record) -> Iterable[tuple[str, str]]:
    rmse, nrmse = record.metrics.get("rmse_median"), record.metrics.get("nrmse")
    if rmse is not None:
        yield "Median RMSE", f"{number(rmse)} {unit_label(record.table.rmse.unit)}"
    if nrmse is not None:
        yield "Median RMSE over median amplitude", number(nrmse)


def _warnings(records: Sequence[Record]) -> Iterable[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    for record in records:
        for note in record.notes:
            seen.add((record.acquisition, note))
    yield from sorted(seen)
    for record in records:
        where = f"{record.acquisition} {record.table.model} {record.estimator}"
        ok, at_bound = (record.metrics.get(f"fraction_{word}") or 0.0 for word in ("ok", "at_bound"))
        if ok + at_bound < HALF:
            yield where, f"only {ok + at_bound:.0%} of the voxels were estimated"
        if at_bound > HALF:
            yield where, f"in {at_bound:.0%} of the voxels a parameter lies at its bound"


def _about(records: Sequence[Record]) -> tuple[tuple[str, str], ...]:
    versions = sorted({str(record.fields.get("SoftwareVersion", "unknown")) for record in records})
    facts = {"Maps made by": f"bids_qmri {', '.join(versions)}"} if records else {}
    facts |= {"Page made by": f"bids_qmri {__version__}, Python {platform.python_version()}"}
    return tuple(facts.items())
