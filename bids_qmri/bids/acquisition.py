"""An acquisition: the files of one participant that share a protocol, with all that is needed to fit them.

Made by `bids/dataset.py`, read by `workflows/plan.py` and `interfaces/`. Plain frozen data; picklable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bids_qmri.errors import InputError
from bids_qmri.protocol import DiffusionProtocol, VfaProtocol
from bids_qmri.units import FloatArray

Kind = Literal["vfa", "dwi", "dce"]


@dataclass(frozen=True)
class B1Source:
    """Where the relative transmit field of an acquisition comes from.

    Parameters
    ----------
    method
        ``"TB1map"`` (one map), ``"TB1AFI"`` or ``"TB1DAM"`` (two images each, in the formula's order).
    files
        The images.
    flip_angle
        Nominal flip angles in rad of the images (AFI, DAM).
    repetition_time
        Repetition times in s of the images (AFI).
    units
        ``"factor"``, ``"percent"`` or ``"auto"`` (decided from the median inside the mask and logged).
    """

    method: Literal["TB1map", "TB1AFI", "TB1DAM"]
    files: tuple[Path, ...]
    flip_angle: tuple[float, ...] = ()
    repetition_time: tuple[float, ...] = ()
    units: Literal["factor", "percent", "auto"] = "auto"


@dataclass(frozen=True, eq=False)
class Aif:
    """Arterial input of a DCE series.

    Parameters
    ----------
    name
        ``"measured"`` or the name of a population function.
    time, plasma
        Times in s and PLASMA concentrations in mmol/L of a measured input; None for a population function.
    file
        The table it was read from.
    """

    name: str
    time: FloatArray | None = None
    plasma: FloatArray | None = None
    file: Path | None = None


@dataclass(frozen=True, eq=False)
class DceSettings:
    """What a DCE series needs beside its images, SI units.

    Parameters
    ----------
    time
        Frame times in s, (N,).
    flip_angle, repetition_time
        Nominal flip angle in rad and excitation repetition time in s.
    relaxivity
        r1 in L/mmol/s.
    hematocrit
        Fraction 0-1, applied to whole-blood inputs only.
    baseline_volumes
        Number of frames before the bolus, the first ones; None: found from the mean curve.
    aif
        Arterial input.
    t10
        Native T1: one number in s, a T1 map's path, or the VFA acquisition of the same session.
    origin
        Where each value came from, by field name: ``{"relaxivity": "sidecar"}``; goes to logs and sidecars.
    """

    time: FloatArray
    flip_angle: float
    repetition_time: float
    relaxivity: float
    hematocrit: float
    baseline_volumes: int | None
    aif: Aif
    t10: float | Path | Acquisition
    origin: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Acquisition:
    """One fittable set of files.

    Parameters
    ----------
    kind
        Sequence family.
    entities
        BIDS entities of its outputs in canonical order, short keys: ``{"sub": "01", "run": "1"}``.
    datatype
        Folder its outputs go to: ``"anat"``, ``"dwi"`` or ``"perf"``.
    images
        VFA: one 3-D file per measurement in the protocol's order; otherwise one 4-D file.
    sources
        Every file that was read for it, images first.
    metadata
        Sidecar keys that hold for all images, as BIDS spells them; copied to the outputs.
    protocol
        What was played out; for DCE it is built from `dce` when the images are read.
    b1
        Transmit field, if one was found.
    dce
        The rest of a DCE series.
    notes
        Decisions and warnings a person should read.
    """

    kind: Kind
    entities: Mapping[str, str]
    datatype: str
    images: tuple[Path, ...]
    sources: tuple[Path, ...]
    metadata: Mapping[str, Any]
    protocol: VfaProtocol | DiffusionProtocol | None
    b1: B1Source | None = None
    dce: DceSettings | None = None
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The entities as one string: ``sub-01_run-1``."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items())


@dataclass(frozen=True)
class Unusable:
    """Files that look like an acquisition but cannot be fitted, and why.

    Parameters
    ----------
    label
        Entities and suffix, for people: ``sub-01_run-1_VFA``.
    error
        What is missing, naming file and field.
    fault
        True if the input is at fault (the participant fails); False if the software has no model for it yet.
    """

    label: str
    error: InputError
    fault: bool = True


@dataclass(frozen=True)
class ReadOptions:
    """Choices of the command line that change how files are read.

    Parameters
    ----------
    sessions
        Session labels to keep; empty keeps all.
    filters
        Extra entity filters per kind (``vfa``, ``dce``, ``dwi``, ``mask``, ``dseg``, ``t1map``).
    derivatives
        Named datasets of preprocessed inputs; the name ``masks`` is for masks alone.
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.
    b1_units
        Unit of TB1map images.
    relaxivity, hematocrit, t10, aif, baseline_volumes
        Override sidecars of DCE series: L/mmol/s, fraction, s, name or table, frames.
    """

    sessions: tuple[str, ...] = ()
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    b0_threshold: float = 50.0
    b1_units: Literal["factor", "percent", "auto"] = "auto"
    relaxivity: float | None = None
    hematocrit: float | None = None
    t10: float | None = None
    aif: str | None = None
    baseline_volumes: int | None = None
