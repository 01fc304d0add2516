"""Dynamic contrast-enhanced series: what they need beside their images, and where each value comes from.

BIDS does not define DCE. `perf/*_dce` is the canonical name; spellings in the wild are accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bids_qmri.bids.acquisition import (
    Acquisition,
    B1Source,
    FittedMap,
    ReadOptions,
    Unusable,
    files_acquisition,
)
from bids_qmri.bids.b1 import find_b1
from bids_qmri.bids.images import same_grid
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, matches
from bids_qmri.bids.nifti import Header, read_header
from bids_qmri.bids.sidecar import (
    Sidecar,
    flip_angle,
    number,
    read_sidecar,
    require_seconds,
    spoiled_repetition_time,
)
from bids_qmri.catalogue import model_of_map
from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import frozen
from bids_qmri.physics.spoiled_gradient_echo import PLAUSIBLE_RELAXIVITY, PLAUSIBLE_T1
from bids_qmri.techniques.dce.arterial import DEFAULT_INPUT, find_table, needs_hematocrit, read_input
from bids_qmri.techniques.dce.frames import frame_times, require_frame_seconds
from bids_qmri.techniques.dce.settings import DceSettings, check
from bids_qmri.units import FloatArray, radians

FILTERS = ("t1map",)
"""Kinds of input, beside the series itself, that a filter file may filter."""

NATIVE_T1 = "t1"
"""Map that concentrations are computed with."""

SUFFIXES = ("dce", "DCE", "Dce", "perf")
DATATYPES = ("perf", "dce", "anat", "func", "fmap")

LONGEST_EXCITATION_TR = 0.1
"""s; up to it RepetitionTime is taken for the time between excitations."""

DEFAULT_RELAXIVITY = 4.5
"""L/mmol/s, of small gadolinium chelates in blood at 1.5 to 3 T (published: 3.6 to 5.0)."""

DEFAULT_HEMATOCRIT = 0.42
"""Fraction, of adults in large vessels."""


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the DCE series of a participant.

    Parameters
    ----------
    files
        The raw dataset.
    derivatives
        Named datasets that may hold T1 maps, arterial inputs and transmit fields.
    options
        Values that override sidecars; filters.
    others
        What was found before, some of which can give native T1.
    """
    found: list[Acquisition | Unusable] = []
    for image in files.images(SUFFIXES):
        if image.datatype.lower() not in DATATYPES or not matches(image, options.filters.get("dce", {})):
            continue
        try:
            sidecar = read_sidecar(image, files)
            if "ArterialSpinLabelingType" in sidecar.values:
                continue
            found.append(_Reader(image, sidecar, files, derivatives, others, options).acquisition())
        except InputError as error:
            found.append(Unusable(image.stem, error))
    return found


def from_files(
    in_files: Sequence[Path],
    *,
    frame_times: Sequence[float],
    flip_angle: float,
    repetition_time: float,
    relaxivity: float,
    hematocrit: float = DEFAULT_HEMATOCRIT,
    t10: float | None = None,
    t1_map: Path | None = None,
    aif: str = DEFAULT_INPUT,
    aif_file: Path | None = None,
    baseline_volumes: int | None = None,
    b1_map: Path | None = None,
    b1_units: Literal["auto", "factor", "percent"] = "auto",
) -> Acquisition:
    """Return the acquisition of a dynamic series that does not lie in a dataset.

    Parameters
    ----------
    in_files
        The 4-D image of a spoiled gradient echo, alone.
    frame_times
        In s, one per volume.
    flip_angle, repetition_time
        In degrees; between excitations, in s.
    relaxivity, hematocrit
        r1 in L/mmol/s; fraction.
    t10, t1_map
        Native T1 in s: one number, or an image on the grid of the series.
    aif, aif_file
        Name of a population input; or a table of a measured one, which wins.
    baseline_volumes
        Frames before the bolus; not given: found from the mean curve.
    b1_map, b1_units
        Relative transmit field, and its unit.

    Raises
    ------
    InputError
        Naming what is missing or cannot be meant.
    """
    if (t10 is None) == (t1_map is None):
        raise InputError(
            "neither is given" if t10 is None else "both are given",
            field="t10, t1_map",
            needed="native T1: one number in s, or a map",
        )
    if len(in_files) != 1 or len(frame_times) != read_header(in_files[0]).n_volumes:
        raise InputError(
            f"{len(frame_times)} times beside {len(in_files)} image(s) {[str(path) for path in in_files]}",
            field="frame_times",
            needed="one 4-D image, and one time in s per volume",
        )
    check(
        {"t10": 1.0 if t10 is None else t10, "relaxivity": relaxivity, "hematocrit": hematocrit, "aif": aif}
    )
    require_seconds(repetition_time, LONGEST_EXCITATION_TR)
    require_frame_seconds(np.asarray(frame_times, dtype=np.float64), "frame_times")
    notes: list[str] = []
    source = read_input(None if aif_file else aif, aif_file, hematocrit, notes)[0]
    settings = DceSettings(
        time=frozen(frame_times, "frame_times"),
        flip_angle=float(radians(flip_angle)),
        repetition_time=repetition_time,
        relaxivity=relaxivity,
        hematocrit=hematocrit,
        baseline_volumes=baseline_volumes,
        aif=source,
        t10=t10,
    )
    b1 = None if b1_map is None else B1Source("TB1map", (b1_map,), units=b1_units)
    maps = {} if t1_map is None else {"t10": t1_map}
    return files_acquisition(
        "dce", "perf", in_files, None, settings=settings, maps=maps, b1=b1, notes=tuple(notes)
    )


@dataclass
class _Reader:
    """Reads one series; collects notes and the origin of every value on the way."""

    image: BidsFile
    sidecar: Sidecar
    files: ParticipantFiles
    derivatives: Mapping[str, ParticipantFiles]
    others: Sequence[Acquisition | Unusable]
    options: ReadOptions

    def __post_init__(self) -> None:
        named = [dataset for name, dataset in self.derivatives.items() if name != "masks"]
        self.datasets = [*named, self.files]
        self.notes: list[str] = []
        self.origin: dict[str, str] = {}

    def acquisition(self) -> Acquisition:
        header = read_header(self.image.path)
        if header.n_volumes < 2:
            raise InputError(
                f"is a single volume of {' x '.join(map(str, header.shape[:3]))}",
                file=self.image.path,
                field="dim",
                needed="a 4-D image, one volume per frame",
                fix="merge the frames into one file",
            )
        native = self._native_t1(header)
        settings = self._settings(header, native if isinstance(native, float) else None)
        extra = [file for file in (settings.aif.file, native) if isinstance(file, Path)]
        behind = native.acquisition.sources if isinstance(native, FittedMap) else ()
        b1 = self._b1(native)
        transmit = b1.files if b1 else ()
        return Acquisition(
            kind="dce",
            entities=self.image.without("part"),
            datatype="perf",
            images=(self.image.path,),
            sources=tuple(dict.fromkeys((self.image.path, *self.sidecar.files, *extra, *behind, *transmit))),
            metadata=dict(self.sidecar.values),
            protocol=None,
            b1=b1,
            settings=settings,
            maps={} if isinstance(native, float) else {"t10": native},
            notes=tuple(dict.fromkeys(self.notes)),
        )

    def _settings(self, header: Header, t10: float | None) -> DceSettings:
        time, self.origin["time"] = frame_times(self.sidecar, header.n_volumes, self.notes)
        angle = flip_angle(self.sidecar, self.notes)
        tr = spoiled_repetition_time(self.sidecar, self.notes, LONGEST_EXCITATION_TR)
        hematocrit = self._hematocrit()
        table = find_table(self.image, self.datasets)
        aif, self.origin["aif"] = read_input(self._option("aif"), table, hematocrit, self.notes)
        if aif.time is not None and aif.time[-1] < (time[0] + time[-1]) / 2:
            raise InputError(
                f"ends at {aif.time[-1]:g} but the last frame is at {time[-1]:g} s",
                file=aif.file,
                field="time",
                needed="seconds on the clock of the frames",
                fix="multiply by 60 if the table is in minutes",
            )
        if needs_hematocrit(aif) and self.origin["hematocrit"] == "default":
            self.notes.append(f"Hematocrit {hematocrit:g} assumed to turn blood into plasma (--hematocrit)")
        return DceSettings(
            time=time,
            flip_angle=float(radians(angle)),
            repetition_time=tr,
            relaxivity=self._relaxivity(),
            hematocrit=hematocrit,
            baseline_volumes=self._baseline(time),
            aif=aif,
            t10=t10,
            origin=dict(self.origin),
        )

    def _option(self, name: str) -> Any:
        return self.options.values.get(name)

    def _b1(self, native: float | Path | FittedMap) -> B1Source | None:
        """Find the field meant for the series, else take that of the series that gives native T1."""
        notes: list[str] = []
        own = find_b1([self.image], self.files, self.derivatives, self.options, notes)
        if own is None and isinstance(native, FittedMap) and native.acquisition.b1 is not None:
            self.notes.append(f"the transmit field of the {_said(native.acquisition)} is used")
            return native.acquisition.b1
        self.notes += notes
        return own

    def _value(self, field: str, key: str, override: float | None, default: float) -> float:
        """Command line, else sidecar, else default; the origin is kept."""
        in_sidecar = number(self.sidecar, key, self.notes)
        for value, origin in ((override, "command line"), (in_sidecar, f"sidecar {key}")):
            if value is not None:
                self.origin[field] = origin
                return value
        self.origin[field] = "default"
        return default

    def _relaxivity(self) -> float:
        key = "ContrastAgentRelaxivity"
        value = self._value("relaxivity", key, self._option("relaxivity"), DEFAULT_RELAXIVITY)
        if not PLAUSIBLE_RELAXIVITY[0] <= value <= PLAUSIBLE_RELAXIVITY[1]:
            raise InputError(
                f"is {value:g}",
                file=self.sidecar.where(key),
                field=key,
                needed=f"L/mmol/s, {PLAUSIBLE_RELAXIVITY[0]:g} to {PLAUSIBLE_RELAXIVITY[1]:g}",
                fix="correct it or pass --relaxivity",
            )
        if self.origin["relaxivity"] == "default":
            self.notes.append(
                f"ContrastAgentRelaxivity is missing: {value:g} L/mmol/s assumed; Ktrans, ve and vp"
                " scale with its inverse (--relaxivity)"
            )
        return value

    def _hematocrit(self) -> float:
        value = self._value("hematocrit", "Hematocrit", self._option("hematocrit"), DEFAULT_HEMATOCRIT)
        if not 0 <= value < 1:
            raise InputError(
                f"is {value:g}",
                file=self.sidecar.where("Hematocrit"),
                field="Hematocrit",
                needed="a fraction from 0 to below 1",
                fix="divide percent by 100 or pass --hematocrit",
            )
        return value

    def _baseline(self, time: FloatArray) -> int | None:
        if (count := self._option("baseline_volumes")) is not None:
            self.origin["baseline_volumes"] = "command line"
            return int(count)
        stated = number(self.sidecar, "BaselineVolumes", self.notes)
        arrival = number(self.sidecar, "BolusArrivalTime", self.notes)
        if stated is None and arrival is None:
            self.origin["baseline_volumes"] = "mean curve"
            return None
        key = "BaselineVolumes" if stated is not None else "BolusArrivalTime"
        frames = stated if stated is not None else float(np.count_nonzero(time < (arrival or 0.0)))
        if frames != int(frames) or not 1 <= frames < time.size:
            raise InputError(
                f"is {self.sidecar.values[key]!r}, that is {frames:g} of {time.size} frames before the bolus",
                file=self.sidecar.where(key),
                field=key,
                needed="at least one frame before the bolus and one after it",
                fix="correct it or pass --baseline-volumes",
            )
        self.origin["baseline_volumes"] = f"sidecar {key}"
        return int(frames)

    def _native_t1(self, header: Header) -> float | Path | FittedMap:
        if (t10 := self._option("t10")) is not None:
            self.origin["t10"] = "command line"
            return _in_seconds(t10)
        session = self.image.entities.get("ses")
        maps = [
            image.path
            for files in self.datasets
            for image in files.images({"T1map"})
            if image.entities.get("ses") == session
            and not image.entities.get("desc", "").endswith(("Std", "Status", "Determined"))
            and matches(image, self.options.filters.get("t1map", {}))
            and same_grid(read_header(image.path), header)
        ]
        if maps:
            self.origin["t10"] = f"T1 map {_only(maps, self.image).name}"
            return maps[0]
        able = [a for a in self.others if isinstance(a, Acquisition) and model_of_map(a.kind, NATIVE_T1)]
        series = [a for a in able if a.entities.get("ses") == session]
        on_grid = [a for a in series if same_grid(read_header(a.images[0]), header)]
        if on_grid:
            _only([a.images[0] for a in on_grid], self.image)
            chosen = on_grid[0]
            self.origin["t10"] = _said(chosen)
            return FittedMap(chosen, model_of_map(chosen.kind, NATIVE_T1), "lsq", NATIVE_T1)
        raise InputError(
            self._why_no_t1(series),
            file=self.image.path,
            field="T10",
            needed="native T1: a T1map, or images that give one, of the session and grid of the DCE series",
            fix="pass --t10 SECONDS",
        )

    def _why_no_t1(self, series: Sequence[Acquisition]) -> str:
        if series:
            return f"the {_said(series[0])} lies on another grid"
        broken = [a for a in self.others if isinstance(a, Unusable) and model_of_map(a.kind, NATIVE_T1)]
        return f"the {_said(broken[0])} cannot be used" if broken else "has no native T1"


def _said(found: Acquisition | Unusable) -> str:
    """Say which series is meant: ``VFA series sub-01``."""
    return f"{found.kind.upper()} series {found.label}"


def _in_seconds(t10: float) -> float:
    if not PLAUSIBLE_T1[0] <= t10 <= PLAUSIBLE_T1[1]:
        raise InputError(
            f"is {t10:g}",
            field="--t10",
            needed=f"native T1 in seconds, {PLAUSIBLE_T1[0]:g} to {PLAUSIBLE_T1[1]:g}",
            fix="divide milliseconds by 1000",
        )
    return t10


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
