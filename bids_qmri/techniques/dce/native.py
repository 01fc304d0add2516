"""Native T1 of a dynamic series: a map on its grid, else images of the session that give one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_qmri.bids.acquisition import Acquisition, FittedMap, Unusable
from bids_qmri.bids.images import same_grid
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, matches
from bids_qmri.bids.map_units import per_second, seconds, unit_of
from bids_qmri.bids.names import ABOUT_MAPS
from bids_qmri.bids.nifti import Header, read_header
from bids_qmri.bids.sidecar import read_sidecar
from bids_qmri.catalogue import model_of_map
from bids_qmri.errors import InputError
from bids_qmri.physics.spoiled_gradient_echo import PLAUSIBLE_T1

NATIVE_T1 = "t1"
"""Map that concentrations are computed with."""


@dataclass(frozen=True, eq=False)
class Native:
    """Where native T1 comes from.

    Parameters
    ----------
    source
        One T1 in s, a map, or the fit that gives one.
    origin
        In words.
    unit
        Seconds of one unit of the map, or of one over it; None: not stated.
    rate
        Whether the map holds R1.
    """

    source: float | Path | FittedMap
    origin: str
    unit: float | None = 1.0
    rate: bool = False


def find_native(
    image: BidsFile,
    header: Header,
    datasets: Sequence[ParticipantFiles],
    filters: Mapping[str, Any],
    others: Sequence[Acquisition | Unusable],
) -> Native:
    """Find native T1: a map of the session on the grid of a series, else what can be fitted to images.

    A T1map is taken before an R1map.

    Parameters
    ----------
    image, header
        The series.
    datasets
        That may hold a map, the first one first.
    filters
        Of entities of maps.
    others
        What was found before.

    Raises
    ------
    InputError
        If there is none, there are several, or the unit of the map is none of T1.
    """
    session = image.entities.get("ses")
    maps = [
        (one, files)
        for files in datasets
        for one in files.images({"T1map", "R1map"})
        if one.entities.get("ses") == session
        and not one.entities.get("desc", "").endswith(ABOUT_MAPS)
        and matches(one, filters)
        and same_grid(read_header(one.path), header)
    ]
    if maps:
        maps = [each for each in maps if each[0].suffix == "T1map"] or maps
        chosen = _only([one.path for one, _ in maps], image)
        unit, rate = _unit(*maps[0])
        return Native(chosen, f"{'one over the R1' if rate else 'T1'} map {chosen.name}", unit, rate)
    able = [a for a in others if isinstance(a, Acquisition) and model_of_map(a.kind, NATIVE_T1)]
    series = [a for a in able if a.entities.get("ses") == session]
    on_grid = [a for a in series if same_grid(read_header(a.images[0]), header)]
    if on_grid:
        _only([a.images[0] for a in on_grid], image)
        fitted = FittedMap(on_grid[0], model_of_map(on_grid[0].kind, NATIVE_T1), "lsq", NATIVE_T1)
        return Native(fitted, said(on_grid[0]))
    raise InputError(
        _why_none(series, others, datasets, session),
        file=image.path,
        field="T10",
        needed="native T1: a T1map or R1map, or images that give one, of the series' session and grid",
        fix="pass --t10 SECONDS",
    )


def said(found: Acquisition | Unusable) -> str:
    """Say which series is meant: ``VFA series sub-01``."""
    return f"{found.kind.upper()} series {found.label}"


def in_seconds(t10: float) -> float:
    """Return a T1 from the command line.

    Raises
    ------
    InputError
        If no tissue has it in seconds.
    """
    if not PLAUSIBLE_T1[0] <= t10 <= PLAUSIBLE_T1[1]:
        raise InputError(
            f"is {t10:g}",
            field="--t10",
            needed=f"native T1 in seconds, {PLAUSIBLE_T1[0]:g} to {PLAUSIBLE_T1[1]:g}",
            fix="divide milliseconds by 1000",
        )
    return t10


def _unit(image: BidsFile, files: ParticipantFiles) -> tuple[float | None, bool]:
    """Return how many s one unit of a map is, or of one over it, and whether it holds R1.

    The unit decides; where none is stated, the suffix does, and the size of one unit is not known (None).
    """
    sidecar = read_sidecar(image, files)
    key, text = unit_of(sidecar)
    if not text:
        return None, image.suffix == "R1map"
    time, rate = seconds(text), per_second(text)
    if rate is not None:
        return 1.0 / rate, True
    if time is None or image.suffix == "R1map":
        raise InputError(
            f"is {text!r}, which is no unit of {'a rate' if image.suffix == 'R1map' else 'time'}",
            file=sidecar.where(key),
            field=key,
            needed=f"R1 in 1/s, in {image.path.name}"
            if image.suffix == "R1map"
            else f"T1 in s or ms, in {image.path.name}",
            fix="correct it, or pass --t10 SECONDS",
        )
    return time, False


def _why_none(
    series: Sequence[Acquisition],
    others: Sequence[Acquisition | Unusable],
    datasets: Sequence[ParticipantFiles],
    session: str | None,
) -> str:
    if series:
        return f"the {said(series[0])} lies on another grid"
    found = [i for f in datasets for i in f.images({"T1map", "R1map"}) if i.entities.get("ses") == session]
    if found:
        return f"has no native T1; {found[0].path.name} lies on another grid"
    broken = [a for a in others if isinstance(a, Unusable) and model_of_map(a.kind, NATIVE_T1)]
    return f"the {said(broken[0])} cannot be used" if broken else "has no native T1"


def _only(paths: Sequence[Path], image: BidsFile) -> Path:
    if len(paths) > 1:
        raise InputError(
            f"{len(paths)} sources of native T1: {', '.join(path.name for path in paths)}",
            file=image.path,
            field="T10",
            needed="one",
            fix="pass --t10 SECONDS, or leave one by --bids-filter-file (kinds t1map and vfa)",
        )
    return paths[0]
