"""Images of a transmit field, by suffix: which belong together, and what was played out.

Called by `b1` for the fits that a field corrects, and by the reader that makes maps of fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import ReadOptions
from bids_qmri.bids.layout import BidsFile
from bids_qmri.bids.map_units import share_of_nominal
from bids_qmri.bids.measured import measured_images, one_scale
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.sidecar import (
    Sidecar,
    by_volume,
    flip_angle,
    in_milliseconds,
    number,
    spoiled_repetition_time,
)
from bids_qmri.errors import InputError
from bids_qmri.physics.transmit import DoubleAngle, ScaledField, StimulatedEchoes, TransmitProtocol
from bids_qmri.physics.transmit import TwoRepetitionTimes as TwoTimes
from bids_qmri.units import radians

PAIRS: Mapping[str, tuple[str, ...]] = {
    "TB1DAM": ("flip", "part"),
    "TB1AFI": ("acq", "part"),
    "TB1EPI": ("echo", "flip", "part"),
}
"""Suffixes of images whose ratios tell the field, and entities that differ between them."""

SCALED = ("TB1TFL", "TB1RFM")
"""Suffixes of maps of the flip angle (`acq-famp`) whose scale BIDS does not state."""

LONGEST_MIXING_TIME = 1.0
"""s; larger values are milliseconds."""


@dataclass(frozen=True, eq=False)
class FieldImages:
    """Images that tell a field.

    Parameters
    ----------
    paths
        In the order of the protocol; one 4-D image may hold both.
    protocol
        What was played out.
    sidecars
        Of the images.
    scale
        Factors that bring them to one scale; empty: they are on one.
    """

    paths: tuple[Path, ...]
    protocol: TransmitProtocol
    sidecars: tuple[Sidecar, ...]
    scale: tuple[float, ...] = ()


def field_images(
    suffix: str, images: Sequence[BidsFile], sidecars: Sequence[Sidecar], notes: list[str]
) -> FieldImages:
    """Return what images of one of the suffixes of `PAIRS` were measured by.

    Parameters
    ----------
    suffix
        Of the images.
    images, sidecars
        That belong together.
    notes
        Decisions and doubts are added here.

    Raises
    ------
    InputError
        If an image or a key is missing.
    """
    images, sidecars = measured_images(images, sidecars, notes)
    paths = tuple(image.path for image in images)
    if suffix == "TB1EPI":
        return _stimulated(images, sidecars, notes)
    if len(paths) == 1 and (volumes := read_header(paths[0]).n_volumes) == 2:
        sidecars = by_volume(sidecars[0], volumes)
    if len(sidecars) != 2:
        raise InputError(
            f"{len(paths)} images of {suffix}: {', '.join(path.name for path in paths)}",
            file=paths[0],
            needed="exactly two images, or one of two volumes",
            fix="add the missing image or remove the others",
        )
    angles = [flip_angle(sidecar, notes) for sidecar in sidecars]
    scale = one_scale(sidecars, notes, ("FlipAngle", "RepetitionTimeExcitation", "RepetitionTime"))
    one_file = len(paths) == 1
    if suffix == "TB1DAM":
        _require_double(angles, sidecars, one_file)
        return FieldImages(paths, DoubleAngle(radians(angles)), tuple(sidecars), scale)
    times = [spoiled_repetition_time(sidecar, notes) for sidecar in sidecars]
    if times[0] == times[1]:
        raise InputError(
            f"both images have {times[0]:g} s",
            file=sidecars[0].where("RepetitionTimeExcitation"),
            field="RepetitionTimeExcitation",
            needed="two different repetition times"
            + (" (an array of two, one per volume)" if one_file else ""),
            fix="write each image's own repetition time",
        )
    return FieldImages(paths, TwoTimes(radians(angles), np.array(times)), tuple(sidecars), scale)


def _require_double(angles: Sequence[float], sidecars: Sequence[Sidecar], one_file: bool) -> None:
    if not np.isclose(max(angles), 2 * min(angles), rtol=0.01):
        raise InputError(
            f"the angles are {min(angles):g} and {max(angles):g} degrees",
            file=sidecars[1].where("FlipAngle"),
            field="FlipAngle",
            needed="one angle twice the other" + (" (an array of two, one per volume)" if one_file else ""),
            fix="correct FlipAngle or use a TB1map",
        )


def _stimulated(images: Sequence[BidsFile], sidecars: Sequence[Sidecar], notes: list[str]) -> FieldImages:
    """Pair spin and stimulated echoes of every flip angle; the echo time tells which is which."""
    pairs: dict[str, list[tuple[float, BidsFile, Sidecar]]] = {}
    for image, sidecar in zip(images, sidecars, strict=True):
        time = number(sidecar, "EchoTime", notes)
        if time is None:
            raise InputError(
                "is missing",
                file=sidecar.where("EchoTime"),
                field="EchoTime",
                needed="the echo time in s, shorter for the spin echo than for the stimulated one",
                fix="add the key",
            )
        pairs.setdefault(image.indexed().get("flip", ""), []).append((time, image, sidecar))
    spin, stored = [], []
    for pair in pairs.values():
        pair.sort(key=lambda each: each[0])
        if len(pair) != 2 or pair[0][0] == pair[1][0]:
            raise InputError(
                f"{len(pair)} echo time(s) of one flip angle",
                file=pair[0][1].path,
                field="EchoTime",
                needed="a spin echo and a stimulated echo for each flip angle",
                fix="add the missing image, or correct EchoTime",
            )
        spin.append(pair[0][1:])
        stored.append(pair[1][1:])
    order = sorted(range(len(spin)), key=lambda i: flip_angle(spin[i][1], notes))
    ordered = [*(spin[i] for i in order), *(stored[i] for i in order)]
    own = [sidecar for _, sidecar in ordered]
    angles = [flip_angle(sidecar, notes) for sidecar in own]
    half = len(angles) // 2
    if not np.allclose(angles[:half], angles[half:]):
        raise InputError(
            f"is {', '.join(f'{a:g}' for a in angles[:half])} of spin echoes and"
            f" {', '.join(f'{a:g}' for a in angles[half:])} of stimulated ones",
            file=own[0].where("FlipAngle"),
            field="FlipAngle",
            needed="one angle for both echoes",
            fix="correct the key",
        )
    protocol = StimulatedEchoes(radians(angles[:half]), np.asarray(mixing_time(own[half], notes)))
    notes.append(
        f"{ordered[0][0].path.name} and others: T1 is taken as {float(protocol.t1):g} s during the mixing"
        f" time of {1000 * float(protocol.mixing_time):g} ms; echo-planar images are not unwarped here"
    )
    scale = one_scale(own, notes, ("FlipAngle", "EchoTime", "RepetitionTimeExcitation", "RepetitionTime"))
    return FieldImages(tuple(image.path for image, _ in ordered), protocol, tuple(own), scale)


def mixing_time(sidecar: Sidecar, notes: list[str]) -> float:
    """Return for how long the stimulated echo was stored, in s.

    Raises
    ------
    InputError
        If the key is missing, or in milliseconds.
    """
    time = number(sidecar, "MixingTime", notes)
    if time is None or not 0 < time <= LONGEST_MIXING_TIME:
        raise InputError(
            "is missing" if time is None else f"is {time:g}",
            file=sidecar.where("MixingTime"),
            field="MixingTime",
            needed=f"the mixing time in s, above 0 and at most {LONGEST_MIXING_TIME:g}",
            fix=in_milliseconds(time),
        )
    return time


def known_scale(image: BidsFile, sidecar: Sidecar, options: ReadOptions) -> tuple[ScaledField, str] | None:
    """Return what one unit of a scanner's map of the flip angle is worth, and in words; None: not told.

    Raises
    ------
    InputError
        If its unit is an angle and the nominal one is not told, or that of another quantity.
    """
    if image.entities.get("acq", "").startswith("anat"):
        return None
    if isinstance(options.b1_units, int | float):
        worth = 1.0 / options.b1_units
        return ScaledField(np.asarray(worth)), f"{options.b1_units:g} where the flip angle is nominal"
    stated = share_of_nominal(sidecar)
    return None if stated is None else (ScaledField(np.asarray(stated[0])), stated[1])
