"""Maps of the within-subject coefficient of variation, wherever repeated maps lie on one grid.

Written by the group level beside the maps of the participant, without the entity that repeats. In every voxel
by the definition of QIBA: Raunig et al. 2015, doi:10.1177/0962280214537344.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_qmri import __version__
from bids_qmri.bids.derivatives import read_map, write_map, write_sidecar
from bids_qmri.bids.names import DATATYPES, derivative_path
from bids_qmri.bids.participants import read_participants
from bids_qmri.errors import UsageError
from bids_qmri.estimators.base import ESTIMATED
from bids_qmri.outputs.tables import MapRow, OutputTable
from bids_qmri.qc.repeatability import variation_of_voxels
from bids_qmri.reports.page import count
from bids_qmri.reports.records import Record

LOGGER = logging.getLogger("bids_qmri.reports")

TAILS = {"run": "WcvRuns", "ses": "WcvSessions", "person": "WcvPersons"}
"""Ends of ``desc-`` by what repeats."""

SAME_GRID = 1e-3
"""Largest difference of affines, mm."""

REFERENCE = "Raunig et al. 2015, Stat Methods Med Res 24:27-67, doi:10.1177/0962280214537344"


def persons_of(output_dir: Path, column: str) -> dict[str, str]:
    """Return who participants are, by label with ``sub-``, without those of whom the column says nothing.

    Raises
    ------
    UsageError
        There is no such column.
    """
    people = read_participants(output_dir)
    if column not in people.columns:
        raise UsageError(
            f"there is no column {column!r}",
            file=output_dir / "participants.tsv",
            field="--person-column",
            needed=f"one of {', '.join(people.columns)}" if people.columns else "a table of participants",
        )
    place = people.columns.index(column)
    return {f"sub-{label}": row[place] for label, row in people.rows.items() if row[place] not in ("", "n/a")}


def may_repeat(record: Record, persons: Mapping[str, str]) -> bool:
    """Tell whether a fit can be one of several repeats."""
    return bool({"ses", "run"} & set(record.entities)) or f"sub-{record.participant}" in persons


def write_variation(output_dir: Path, records: Sequence[Record], persons: Mapping[str, str]) -> list[Path]:
    """Write the maps, and remove those of an earlier call.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    records
        Fits that may repeat.
    persons
        Who participants are, by label with ``sub-``.

    Returns
    -------
    list of Path
        The images.
    """
    written: list[Path] = []
    for kind in TAILS:
        for entities, repeats in _repeated(records, kind, persons):
            written += _write_maps(output_dir, kind, entities, repeats)
    for path in set(_earlier(output_dir)) - {p for image in written for p in (image, _sidecar(image))}:
        path.unlink(missing_ok=True)
    return written


def said_of(maps: Sequence[Path], table: OutputTable) -> list[str]:
    """Return what the page of a model says of its maps."""
    suffixes = {row.suffix for row in table.maps}
    mine = [
        path
        for path in maps
        if (f"_model-{table.entity}_" in path.name)
        or ("_model-" not in path.name and path.name.split("_")[-1].partition(".")[0] in suffixes)
    ]
    if not mine:
        return []
    return [f"wCV in every voxel: {count(len(mine), 'map')} desc-...Wcv... beside those of participants"]


def _repeated(
    records: Sequence[Record], kind: str, persons: Mapping[str, str]
) -> Iterator[tuple[dict[str, str], list[list[Record]]]]:
    """Yield the entities of a map to write, and its repeats; each repeat may have several runs."""
    groups: dict[tuple[object, ...], dict[str, list[Record]]] = {}
    dropped = {"run": ("run",), "ses": ("ses", "run"), "person": ("sub", "ses", "run")}[kind]
    for record in records:
        label = f"sub-{record.participant}"
        who = persons.get(label) if kind == "person" else label
        repeat = label if kind == "person" else record.entities.get(kind)
        if who is None or repeat is None:
            continue
        kept = tuple((key, value) for key, value in record.entities.items() if key not in dropped)
        key = (who, kept, record.table.model, record.estimator)
        groups.setdefault(key, {}).setdefault(repeat, []).append(record)
    for repeats in groups.values():
        if len(repeats) > 1:
            ordered = [repeats[name] for name in sorted(repeats)]
            first = ordered[0][0].entities
            entities = {key: value for key, value in first.items() if key == "sub" or key not in dropped}
            yield entities, ordered


def _write_maps(
    output_dir: Path, kind: str, entities: Mapping[str, str], repeats: Sequence[Sequence[Record]]
) -> Iterator[Path]:
    """Write the maps of one estimator; yields the images."""
    table, label = repeats[0][0].table, repeats[0][0].estimator
    for row in table.maps:
        # Where values may be negative, their mean may be 0 and the ratio anything.
        if row.volumes or (row.range is not None and row.range[0] < 0):
            continue
        loaded = [_mean([_load(record, row) for record in of_one]) for of_one in repeats]
        found = [one for one in loaded if one is not None]
        if len(found) < 2 or not _on_one_grid(found):
            if len(found) > 1:
                name = "_".join(f"{key}-{value}" for key, value in entities.items())
                LOGGER.info("%s: %s of %s lies on several grids: no map of its wCV", name, row.name, label)
            continue
        values = variation_of_voxels(
            np.stack([one[0] for one in found]), np.stack([np.isfinite(one[0]) for one in found])
        )
        shown = replace(row, tail=TAILS[kind])
        image = output_dir / derivative_path(entities, extension=".nii.gz", **shown.name_parts(label))
        sources = [record.path(row, ".nii.gz") for of_one in repeats for record in of_one]
        write_sidecar(_sidecar(image), _fields(output_dir, row, kind, [p for p in sources if p.is_file()]))
        affine = found[0][1]
        zooms = np.linalg.norm(affine[:3, :3], axis=0)
        write_map(image, values, found[0][2], affine, [float(size) for size in zooms])
        yield image


_Loaded = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], tuple[int, int, int]]


def _load(record: Record, row: MapRow) -> _Loaded | None:
    """Return a map (V,) with NaN where the data do not determine it, its affine and shape."""
    path, status = record.path(row, ".nii.gz"), record.path(record.table.status, ".nii.gz")
    if not (path.is_file() and status.is_file()):
        return None
    values, affine = read_map(path)
    known = np.isin(read_map(status)[0], ESTIMATED)
    determined = record.path(record.table.determined(row.name), ".nii.gz")
    if determined.is_file():
        known &= read_map(determined)[0] > 0
    flat = np.where(known, values.astype(np.float64), np.nan).ravel(order="F")
    return flat, affine, (values.shape[0], values.shape[1], values.shape[2])


def _mean(runs: Sequence[_Loaded | None]) -> _Loaded | None:
    """Return the mean of the runs of a session where all determine it; None if they lie on several grids."""
    found = [one for one in runs if one is not None]
    if not found or not _on_one_grid(found):
        return None
    return np.mean([one[0] for one in found], axis=0), found[0][1], found[0][2]


def _on_one_grid(found: Sequence[_Loaded]) -> bool:
    _, affine, shape = found[0]
    return all(one[2] == shape and np.allclose(one[1], affine, rtol=0.0, atol=SAME_GRID) for one in found[1:])


def _sidecar(image: Path) -> Path:
    return image.with_name(image.name.removesuffix(".nii.gz") + ".json")


def _fields(output_dir: Path, row: MapRow, kind: str, sources: Sequence[Path]) -> dict[str, object]:
    what = {"run": "runs of a session", "ses": "sessions", "person": "participants that are one person"}[kind]
    return {
        "Description": f"Within-subject coefficient of variation of {row.symbol} over {what}: standard "
        "deviation over repeats, divided by their mean, in every voxel; NaN where fewer than two repeats "
        "determine it. "
        "Average its square: that of few repeats is low on average.",
        "EstimationAlgorithm": "wCV by the definition of QIBA",
        "EstimationReference": REFERENCE,
        "SoftwareVersion": __version__,
        "Sources": [f"bids::{path.relative_to(output_dir).as_posix()}" for path in sources],
        "Units": "1",
    }


def _earlier(output_dir: Path) -> Iterator[Path]:
    """Yield the maps and sidecars that calls of the group level have written."""
    marks = tuple(TAILS.values())
    for participant in _folders(output_dir, "sub-"):
        for folder in (participant, *_folders(participant, "ses-")):
            for datatype in DATATYPES:
                with suppress(OSError):
                    names = [entry.name for entry in os.scandir(folder / datatype)]
                    yield from (folder / datatype / n for n in names if any(f"{m}_" in n for m in marks))


def _folders(folder: Path, start: str) -> list[Path]:
    with suppress(OSError):
        return [Path(e.path) for e in os.scandir(folder) if e.name.startswith(start) and e.is_dir()]
    return []
