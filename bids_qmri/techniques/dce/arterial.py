"""The arterial input of a dynamic series: a measured table, or the name of a population function."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from bids_qmri.bids.layout import BidsFile, ParticipantFiles, read_json
from bids_qmri.bids.map_units import millimolar, seconds
from bids_qmri.errors import InputError, caution
from bids_qmri.files import TABLE_LIMIT, read_text
from bids_qmri.physics.arterial_input import POPULATION_INPUTS, plasma_from_blood
from bids_qmri.techniques.dce.settings import Aif
from bids_qmri.units import FloatArray

DEFAULT_INPUT = "parker"
PLAUSIBLE_PEAK = (0.05, 100.0)
"""mmol/L; peaks of arterial inputs outside it are in another unit."""

WRITE_TABLE = "write the table anew, tab-separated, with a header line"

MANY_TIMES = 20.0
"""Longer than the frames by such a factor, an input is in milliseconds."""

OFF_ZERO = 0.04
"""Share of the peak by which an input may begin above zero, or fall below it, by noise."""


def find_table(image: BidsFile, datasets: Iterable[ParticipantFiles]) -> Path | None:
    """Find ``*_aif.tsv`` or ``*_desc-aif_timeseries.tsv`` of a scan; the first dataset that has one wins.

    Raises
    ------
    InputError
        If two tables belong to the scan equally well.
    """
    for files in datasets:
        tables = [
            file for file in files.files if _is_aif(file) and file.entities.get("sub") == files.participant
        ]
        own = [t for t in tables if t.without("desc", "label").items() <= image.entities.items()]
        best = max((len(table.without("desc", "label")) for table in own), default=0)
        closest = [table for table in own if len(table.without("desc", "label")) == best]
        if len(closest) > 1:
            raise InputError(
                f"{len(closest)} arterial inputs: {', '.join(table.path.name for table in closest)}",
                file=closest[0].path.parent,
                needed="one table for this series",
                fix="remove the others or pass --aif TABLE",
            )
        if closest:
            return closest[0].path
    return None


def _is_aif(file: BidsFile) -> bool:
    suffix, desc = file.suffix.lower(), file.entities.get("desc", "").lower()
    return file.extension == ".tsv" and (suffix == "aif" or (suffix == "timeseries" and desc == "aif"))


def read_input(
    choice: str | None, table: Path | None, hematocrit: float, notes: list[str]
) -> tuple[Aif, str]:
    """Return the arterial input and where it came from.

    Parameters
    ----------
    choice
        Name or path from the command line; wins.
    table
        Table found beside the images.
    hematocrit
        Applied to tables of whole blood.
    notes
        Decisions are added here.
    """
    if choice in POPULATION_INPUTS:
        return Aif(choice), "command line"
    if choice is not None:
        return _read_table(Path(choice), hematocrit, notes), "command line"
    if table is not None:
        return _read_table(table, hematocrit, notes), "table beside the images"
    notes.append(f"no measured arterial input: the population function {DEFAULT_INPUT!r} is used (--aif)")
    return Aif(DEFAULT_INPUT), "default"


def needs_hematocrit(aif: Aif) -> bool:
    """Whether whole blood was or will be converted to plasma."""
    population = POPULATION_INPUTS.get(aif.name)
    if population is not None:
        return population.compartment == "blood"
    return aif.file is not None and _compartment(_described(aif.file)) == "blood"


def _read_table(path: Path, hematocrit: float, notes: list[str]) -> Aif:
    """Read columns time and concentration in the units that its JSON states, s and mmol/L if it does not.

    The JSON must say whether that is blood or plasma: they differ by a factor of 1.7, which goes straight
    into Ktrans; so there is no default.
    """
    time, measured = _columns(path)
    described = _described(path)
    time = time * _worth(path, described, "time", seconds, "s", notes)
    measured = measured * _worth(path, described, "concentration", millimolar, "mmol/L", notes)
    kind = _compartment(described)
    if kind not in ("blood", "plasma"):
        raise InputError(
            f"is {kind!r}" if kind else "is missing",
            file=path.with_suffix(".json"),
            field="ConcentrationType",
            needed='"blood" (whole blood) or "plasma"',
            fix="add the key to the JSON file beside the table",
        )
    if np.any(np.diff(time) <= 0):
        raise InputError(
            "times do not increase", file=path, field="time", needed="increasing seconds", fix=WRITE_TABLE
        )
    if not PLAUSIBLE_PEAK[0] <= measured.max() <= PLAUSIBLE_PEAK[1]:
        raise InputError(
            f"the highest value is {measured.max():g}",
            file=path,
            field="concentration",
            needed=f"mmol/L with a peak of {PLAUSIBLE_PEAK[0]:g} to {PLAUSIBLE_PEAK[1]:g}",
            fix="convert the unit",
        )
    notes += _off_zero(path, time, measured)
    plasma = plasma_from_blood(measured, hematocrit) if kind == "blood" else measured
    return Aif("measured", time, plasma, path)


def require_same_clock(aif: Aif, frames: FloatArray, notes: list[str]) -> None:
    """Refuse a measured input that was taken at another time than the frames; note where it ends early.

    Parameters
    ----------
    aif
        Any input.
    frames
        Frame times in s, (N,).
    notes
        What is held constant is added here.

    Raises
    ------
    InputError
        Naming both ends.
    """
    if aif.time is None or aif.file is None:
        return
    begins, ends = float(aif.time[0]), float(aif.time[-1])
    first, last = float(frames[0]), float(frames[-1])
    longer = (ends - begins) > MANY_TIMES * (last - first)
    if ends < (first + last) / 2 or begins >= last or longer:
        raise InputError(
            f"goes from {begins:g} to {ends:g} but the frames from {first:g} to {last:g} s",
            file=aif.file,
            field="time",
            needed="seconds on the clock of the frames",
            fix="divide by 1000 if the table is in milliseconds"
            if longer
            else "multiply by 60 if the table is in minutes"
            if ends < last
            else "subtract the time of the first frame",
        )
    if last - ends > OFF_ZERO * (last - first):
        notes.append(
            caution(
                f"ends at {ends:g} s but the last frame is at {last:g} s; held at its last value",
                file=aif.file,
                field="time",
                needed="an input over all frames",
                fix="add the missing times",
            )
        )


def _off_zero(path: Path, time: FloatArray, measured: FloatArray) -> list[str]:
    """Say where an input does not begin at zero, or falls below it."""
    peak, said = float(measured.max()), []
    needed = "zero before the bolus arrives"
    if measured[0] > OFF_ZERO * peak:
        said.append(
            caution(
                f"begins with {measured[0]:.3g} of {peak:.3g} mmol/L at {time[0]:g} s: the upslope is"
                " missing, or an offset is left in it; Ktrans and vp come out wrong",
                file=path,
                field="concentration",
                needed=needed,
                fix="add the times before the bolus, or subtract their mean",
            )
        )
    if measured.min() < -OFF_ZERO * peak:
        said.append(
            caution(
                f"falls to {measured.min():.3g} mmol/L at {time[int(measured.argmin())]:g} s",
                file=path,
                field="concentration",
                needed=needed + ", and never below",
                fix="look for the sign, the baseline and inflow in the vessel",
            )
        )
    return said


def _described(path: Path) -> dict[str, object]:
    sidecar = path.with_suffix(".json")
    return read_json(sidecar) if sidecar.exists() else {}


def _compartment(described: Mapping[str, object]) -> str:
    return str(described.get("ConcentrationType", "")).lower()


def _columns(path: Path) -> tuple[FloatArray, FloatArray]:
    try:
        first, *lines = read_text(path, TABLE_LIMIT, needed="a tab-separated table", fix=WRITE_TABLE).split(
            "\n"
        )
        header = [name.strip().lower() for name in first.split("\t")]
        rows = list(csv.DictReader(lines, header, delimiter="\t"))
    except csv.Error as error:
        raise InputError(
            f"cannot be read ({error})", file=path, needed="a tab-separated table", fix=WRITE_TABLE
        ) from error
    needed = "columns time (s) and concentration (mmol/L), two rows or more"
    if len(rows) < 2 or not {"time", "concentration"} <= set(header):
        raise InputError(
            f"has {len(rows)} rows and the columns {', '.join(header)}",
            file=path,
            needed=needed,
            fix=WRITE_TABLE,
        )
    try:
        table = np.array([[float(row[name]) for name in ("time", "concentration")] for row in rows])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"holds something that is no number ({error})", file=path, needed=needed, fix=WRITE_TABLE
        ) from error
    if not np.all(np.isfinite(table)):
        raise InputError("holds a value that is not finite", file=path, needed=needed, fix=WRITE_TABLE)
    return table[:, 0], table[:, 1]


def _worth(
    path: Path,
    described: Mapping[str, object],
    column: str,
    read: Callable[[str], float | None],
    wanted: str,
    notes: list[str],
) -> float:
    """Return what one unit of a column is in the wanted unit, as the JSON file beside the table states."""
    about = described.get(column)
    text = str((about.get("Units") if isinstance(about, Mapping) else None) or "").strip()
    worth = read(text) if text else None
    where = path.with_suffix(".json")
    if not text:
        notes.append(
            caution(
                f"is missing; {column} is read in {wanted}",
                file=where,
                field=f"{column}: Units",
                needed="the unit of the column",
                fix=f'write {{"{column}": {{"Units": "{wanted}"}}}} into it',
            )
        )
        return 1.0
    if worth is None:
        raise InputError(
            f"is {text!r}", file=where, field=f"{column}: Units", needed=wanted, fix="convert the table"
        )
    if worth != 1.0:
        notes.append(f"{path.name}: {column} converted from {text} to {wanted}, as Units says")
    return worth
