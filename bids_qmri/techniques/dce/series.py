"""One dynamic series: what it needs beside its images, and where each value comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, B1Source, FittedMap, ReadOptions, Unusable
from bids_qmri.bids.b1 import find_b1
from bids_qmri.bids.layout import BidsFile, ParticipantFiles
from bids_qmri.bids.nifti import Header, read_header
from bids_qmri.bids.sidecar import Sidecar, flip_angle, number, spoiled_repetition_time
from bids_qmri.errors import InputError, caution
from bids_qmri.physics.spoiled_gradient_echo import PLAUSIBLE_RELAXIVITY
from bids_qmri.techniques.dce.arterial import find_table, needs_hematocrit, read_input, require_same_clock
from bids_qmri.techniques.dce.frames import frame_times
from bids_qmri.techniques.dce.native import Native, find_native, in_seconds, said
from bids_qmri.techniques.dce.played import require_measured
from bids_qmri.techniques.dce.settings import DceSettings
from bids_qmri.units import FloatArray, radians

LONGEST_EXCITATION_TR = 0.1
"""s; up to it RepetitionTime is taken for the time between excitations."""

DEFAULT_RELAXIVITY = 4.5
"""L/mmol/s, of small gadolinium chelates in blood at 1.5 to 3 T (published: 3.6 to 5.0)."""

DEFAULT_HEMATOCRIT = 0.42
"""Fraction, of adults in large vessels."""


@dataclass
class SeriesReader:
    """Reads one series; collects notes and the origin of every value on the way."""

    image: BidsFile
    sidecar: Sidecar
    files: ParticipantFiles
    derivatives: Mapping[str, ParticipantFiles]
    others: Sequence[Acquisition | Unusable]
    options: ReadOptions
    first_notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        named = [dataset for name, dataset in self.derivatives.items() if name != "masks"]
        self.datasets = [*named, self.files]
        self.notes: list[str] = list(self.first_notes)
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
        require_measured(self.sidecar, self.notes)
        found = self._native_t1(header)
        native = found.source
        settings = self._settings(header, found)
        extra = [file for file in (settings.aif.file, native) if isinstance(file, Path)]
        behind = native.acquisition.sources if isinstance(native, FittedMap) else ()
        b1 = self._b1(native)
        transmit = b1.files if b1 else ()
        return Acquisition(
            kind="dce",
            entities=self.image.without("part", "desc"),
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

    def _settings(self, header: Header, native: Native) -> DceSettings:
        time, self.origin["time"] = frame_times(self.sidecar, header.n_volumes, self.notes)
        angle = flip_angle(self.sidecar, self.notes)
        tr = spoiled_repetition_time(self.sidecar, self.notes, LONGEST_EXCITATION_TR)
        hematocrit = self._hematocrit()
        table = find_table(self.image, self.datasets)
        aif, self.origin["aif"] = read_input(self._option("aif"), table, hematocrit, self.notes)
        require_same_clock(aif, time, self.notes)
        if not needs_hematocrit(aif):
            self.origin["hematocrit"] = "not used: the arterial input is that of plasma"
        elif self.origin["hematocrit"] == "default":
            self.notes.append(f"Hematocrit {hematocrit:g} assumed to turn blood into plasma (--hematocrit)")
        return DceSettings(
            time=time,
            flip_angle=float(radians(angle)),
            repetition_time=tr,
            relaxivity=self._relaxivity(),
            hematocrit=hematocrit,
            baseline_volumes=self._baseline(time),
            aif=aif,
            t10=native.source if isinstance(native.source, float) else None,
            origin=dict(self.origin),
            t10_unit=native.unit,
            t10_is_rate=native.rate,
            image=self.image.path,
        )

    def _option(self, name: str) -> Any:
        return self.options.values.get(name)

    def _b1(self, native: float | Path | FittedMap) -> B1Source | None:
        """Find the field meant for the series, else take that of the series that gives native T1."""
        notes: list[str] = []
        own = find_b1([self.image], self.files, self.derivatives, self.options, notes)
        if own is None and isinstance(native, FittedMap) and native.acquisition.b1 is not None:
            self.notes.append(f"the transmit field of the {said(native.acquisition)} is used")
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

    def _native_t1(self, header: Header) -> Native:
        if (t10 := self._option("t10")) is not None:
            found = Native(in_seconds(t10), "command line")
        else:
            filters = self.options.filters.get("t1map", {})
            found = find_native(self.image, header, self.datasets, filters, self.others)
        self.origin["t10"] = found.origin
        if found.rate and isinstance(found.source, Path):
            self.notes.append(f"{found.source.name}: holds R1; native T1 is one over it")
        if isinstance(found.source, FittedMap):
            # Warnings name a fix; decisions about other images do not concern this one.
            doubts = [note for note in found.source.acquisition.notes if "; fix: " in note]
            self.notes += [f"native T1: {note}" for note in doubts]
            self.notes += _enhanced(found.source.acquisition)
        return found


def _enhanced(native: Acquisition) -> list[str]:
    """Warn where images that give native T1 were taken with contrast agent."""
    told = [
        (key, str(native.metadata[key]))
        for key in ("ContrastBolusAgent", "ContrastBolusIngredient")
        if str(native.metadata.get(key) or "NONE").strip().upper() not in ("NONE", "NO", "")
    ]
    if "ce" in native.entities:
        told.append(("ce", native.entities["ce"]))
    if not told:
        return []
    return [
        caution(
            f"is {told[0][1]!r}: T1 with contrast agent is no native T1; concentrations come out too high",
            file=native.images[0],
            field=told[0][0],
            needed="images before contrast agent",
            fix="pass --t10, give a T1map, or correct the key",
        )
    ]
