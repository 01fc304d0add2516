"""An acquisition: the files of one participant that share a protocol, with all that is needed to fit them.

Made by the readers, read by `workflows/plan.py` and `interfaces/`. Plain frozen data; picklable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.transmit import TransmitProtocol

B1Units = Literal["factor", "percent", "auto"] | float
"""Unit of a transmit field; a number is what it reads where the flip angle is nominal."""


@dataclass(frozen=True)
class B1Source:
    """Where the relative transmit field of an acquisition comes from.

    Parameters
    ----------
    method
        Suffix of the images: ``"TB1map"`` for a map, others for images whose ratios tell the field.
    files
        The images; one 4-D image may hold two.
    protocol
        What was played out for images that are no map.
    units
        ``"factor"``, ``"percent"``, what a map reads where the flip angle is nominal, or ``"auto"``: as
        stated, else decided from the median inside the mask, with a warning.
    stated
        What one unit of the map is worth by its sidecar, and in words; None if it does not say.
    words
        Key and text that stand where the unit should, and name none that is understood.
    nominal
        Flip angle in degrees that the sidecar of a map names.
    scale
        Factors that bring images to one scale; empty: they are on one.
    anatomy
        Image that shows the object where a map lies, such as ``acq-anat_TB1TFL``; empty: there is none.
    """

    method: str
    files: tuple[Path, ...]
    protocol: TransmitProtocol | None = None
    units: B1Units = "auto"
    stated: tuple[float, str] | None = None
    words: tuple[str, str] = ("", "")
    nominal: float | None = None
    scale: tuple[float, ...] = ()
    anatomy: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class FittedMap:
    """A map that a fit of another acquisition gives: an edge of the plan.

    Parameters
    ----------
    acquisition
        What is fitted for it.
    model, estimator
        By what.
    name
        Of the map.
    """

    acquisition: Acquisition
    model: str
    estimator: str
    name: str


@dataclass(frozen=True, eq=False)
class Acquisition:
    """One fittable set of files.

    Parameters
    ----------
    kind
        Kind of acquisition, as the catalogue names it.
    entities
        BIDS entities of its outputs in canonical order, short keys: ``{"sub": "01", "run": "1"}``.
    datatype
        Folder its outputs go to: ``"anat"``, ``"dwi"`` or ``"perf"``.
    images
        3-D files, one per measurement in the protocol's order, or one 4-D file, or its parts.
    sources
        Every file that was read for it, images first.
    metadata
        Sidecar keys that hold for all images, as BIDS spells them; copied to the outputs.
    protocol
        What was played out; None where the technique builds it from `settings` when the images are read.
    b1
        Transmit field, if one was found.
    settings
        What the technique needs beside, None if nothing.
    maps
        What differs from voxel to voxel and comes from elsewhere, by name: the image, or the fit that gives
        it.
    notes
        Decisions and warnings a person should read.
    volumes
        Which volumes of its 4-D files, counted through from 0, are the measurements; None: all.
    scale
        Factors that bring its images, or volumes, to one scale; empty: they are on one.
    """

    kind: str
    entities: Mapping[str, str]
    datatype: str
    images: tuple[Path, ...]
    sources: tuple[Path, ...]
    metadata: Mapping[str, Any]
    protocol: Protocol | None
    b1: B1Source | None = None
    settings: Any = None
    maps: Mapping[str, Path | FittedMap] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    volumes: tuple[int, ...] | None = None
    scale: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """The entities as one string: ``sub-01_run-1``."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items())

    def names_of(self, count: int) -> tuple[str, ...]:
        """Name each of `count` images for people: by its file, or by its volume in a 4-D one."""
        if self.volumes is None and len(self.images) == count > 1:
            return tuple(image.name for image in self.images)
        numbers = range(count) if self.volumes is None else self.volumes
        return tuple(f"volume {number} (counted from 0)" for number in numbers)


def files_acquisition(
    kind: str, datatype: str, images: Sequence[Path], protocol: Protocol | None, **more: Any
) -> Acquisition:
    """Return the acquisition of images that do not lie in a dataset, with anything else it has.

    Raises
    ------
    InputError
        If there is no image, or one is not there.
    """
    if not images:
        raise InputError("no image is given", field="in_files", needed="NIfTI files")
    for image in images:
        if not image.is_file():
            raise InputError("is not a file", file=image, field="in_files", needed="a NIfTI image")
    return Acquisition(kind, {}, datatype, tuple(images), tuple(images), {}, protocol, **more)


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
    kind
        Kind of acquisition that it would be; empty if not known.
    """

    label: str
    error: InputError
    fault: bool = True
    kind: str = ""


@dataclass(frozen=True)
class ReadOptions:
    """Choices of the command line that change how files are read.

    Parameters
    ----------
    sessions
        Session labels to keep; empty keeps all.
    filters
        Extra entity filters per kind of input.
    derivatives
        Named datasets of preprocessed inputs; the name ``masks`` is for masks alone.
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.
    b1_units
        Unit of TB1map images, and of others if it is a number.
    mask
        What an automatic mask is of: ``"body"`` (the whole object), ``"brain"``, or ``"auto"`` (the brain
        where the sidecars say that it is a head).
    denoise
        ``"mppca"``: diffusion series are denoised before they are fitted; None: they are not.
    align
        What images of a series may have done: they are aligned before they are fitted; None: they are not.
    save_aligned
        Keep aligned images and their transforms.
    motion
        Measure how far images moved, and look for damaged ones.
    reject_outliers
        Leave damaged images of diffusion series out.
    values
        Options of techniques by name, which override sidecars; those not given are absent.
    """

    sessions: tuple[str, ...] = ()
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    b0_threshold: float = 50.0
    b1_units: B1Units = "auto"
    mask: Literal["auto", "body", "brain"] = "auto"
    denoise: Literal["mppca"] | None = None
    align: Literal["rigid", "affine", "bspline"] | None = None
    save_aligned: bool = False
    motion: bool = True
    reject_outliers: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
