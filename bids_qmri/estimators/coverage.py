"""What a network was trained for, compared with what it is given: protocols, limits, noise.

The ranges are those of a card (`training.card`): angles in degrees, times in s, b-values in s/mm^2, limits in
the units of the parameters. Called by `estimators.ncde`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.condense import ARRIVAL, condense
from bids_qmri.models.base import Model
from bids_qmri.protocol import DceProtocol, DiffusionProtocol, VfaProtocol
from bids_qmri.units import FloatArray, degrees

TOLERANCE = 1e-3
"""Excess over a range, relative to its ends, that is rounding in a sidecar."""

SAME = 5e-3
"""Relative difference of protocols that count as equal: rounding again, of nominal values."""

WORDS = {
    "measurements": ("different measurements", ""),
    "flip_angle": ("flip angles", " degrees"),
    "repetition_time": ("repetition times", " s"),
    "bvals": ("b-values", " s/mm^2"),
    "largest_b": ("largest b-value", " s/mm^2"),
    "interval": ("frame spacing", " s"),
    "arrival": ("arrival of the bolus", " s"),
    "shells": ("shells", ""),
    "directions": ("directions of a shell", ""),
    "b0": ("images at b = 0", ""),
    "d_par": ("diffusivity along neurites", " mm^2/s"),
    "d_iso": ("diffusivity of free water", " mm^2/s"),
}
"""How messages name the properties of protocols, and their units."""

Range = tuple[float, float]


def n_different(protocol: Any) -> int:
    """Return the number of measurements after repeats are averaged and long series binned."""
    one = protocol.take(slice(0, 1))
    return int(condense(np.ones((one.n_measurements, 1)), one).protocol.n_measurements)


def extremes(protocol: Any) -> dict[str, Range]:
    """Return smallest and largest value of every property of a protocol that all voxels share."""
    found: dict[str, Range] = {"measurements": (n_different(protocol),) * 2}
    if isinstance(protocol, VfaProtocol):
        found["repetition_time"] = _ends(protocol.repetition_time)
        if protocol.flip_angle.ndim == 1:
            found["flip_angle"] = _ends(degrees(protocol.flip_angle))
    elif isinstance(protocol, DiffusionProtocol):
        found["bvals"] = _ends(protocol.bvals)
        found["largest_b"] = (found["bvals"][1],) * 2
    elif isinstance(protocol, DceProtocol):
        found["interval"] = _ends(np.diff(protocol.time))
        arrival = protocol.aif_time[np.argmax(protocol.aif >= ARRIVAL * protocol.aif.max())]
        found["arrival"] = (max(float(arrival - protocol.time[0]), 0.0),) * 2
    return found


def require_length(name: str, coverage: Mapping[str, Any], protocol: Any) -> None:
    """Refuse a protocol that is shorter than any that a network has seen.

    Raises
    ------
    InputError
        Naming how many different measurements are needed.
    """
    count, needed = n_different(protocol), int(coverage["measurements"][0])
    if count < needed:
        raise InputError(
            f"{count} different measurements for the network {name}",
            needed=f"at least {needed}",
            way_out="acquire more, or use lsq",
        )


def outside(coverage: Mapping[str, Any], protocol: Any, box: Mapping[str, Range]) -> list[str]:
    """Return in words what of a protocol and of a box of limits lies outside a coverage; empty if nothing."""
    words = outside_ranges(coverage, extremes(protocol))
    for name, limits in box.items():
        trained = coverage["bounds"].get(name)
        fixed = limits[0] == limits[1] and name not in coverage.get("fixed", [name])
        if trained is None or fixed or not _within(limits, trained):
            words.append(f"limits of {name} {_spelled(limits)} (trained: {_spelled(trained)})")
    return words


def outside_ranges(coverage: Mapping[str, Any], found: Mapping[str, Range]) -> list[str]:
    """Return in words which of some properties, keys of `WORDS`, lie outside a coverage that states them."""
    words = []
    for name, limits in found.items():
        if name in coverage and not _within(limits, coverage[name]):
            what, unit = WORDS[name]
            words.append(f"{what} {_spelled(limits)}{unit} (trained: {_spelled(coverage[name])}{unit})")
    return words


def voxels_outside(coverage: Mapping[str, Any], protocol: Any, snr: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which voxels lie outside a coverage by their own flip angles or noise, (V,).

    Parameters
    ----------
    coverage
        Of the network.
    protocol
        Protocol of these voxels.
    snr
        Their signal-to-noise ratio as the network counts it: amplitude, or largest concentration, over sigma.
    """
    low, high = coverage["snr"]
    found = ~((snr >= low) & (snr <= high))
    if isinstance(protocol, VfaProtocol) and protocol.flip_angle.ndim == 2 and "flip_angle" in coverage:
        flip = degrees(protocol.flip_angle)
        factor = coverage.get("b1", (1.0, 1.0))
        found |= flip.min(axis=0) < coverage["flip_angle"][0] * factor[0] * (1.0 - TOLERANCE)
        found |= flip.max(axis=0) > coverage["flip_angle"][1] * factor[1] * (1.0 + TOLERANCE)
    return np.asarray(found)


def require_same(name: str, trained: Mapping[str, Any], protocol: Any) -> None:
    """Refuse a protocol that is not the only one that a network was trained for.

    Parameters
    ----------
    name
        Of the network.
    trained
        Field ``protocol`` of its card: the values of the only protocol, see `values`.
    protocol
        What was played out.

    Raises
    ------
    InputError
        Naming what differs.
    """
    for key, seen in values(protocol).items():
        needed = np.asarray(trained.get(key, ()), dtype=np.float64)
        if seen.shape != needed.shape or not np.allclose(seen, needed, rtol=SAME, atol=1e-6):
            raise InputError(
                f"{key} of the scan is {_listed(seen)}",
                field=f"protocol of the network {name}",
                needed=_listed(needed),
                way_out="use a network trained for this protocol, or ncde, or lsq",
            )


def values(protocol: Any) -> dict[str, FloatArray]:
    """Return the arrays that define a protocol, in the units of cards; the input `aif` at the frame times."""
    if isinstance(protocol, VfaProtocol):
        return {"flip_angle": degrees(protocol.flip_angle), "repetition_time": protocol.repetition_time}
    if isinstance(protocol, DiffusionProtocol):
        return {"bvals": protocol.bvals, "averages": protocol.weights}
    aif = np.interp(protocol.time, protocol.aif_time, protocol.aif, left=0.0)
    return {"time": protocol.time, "aif": aif}


def box_of(model: Model, lower: FloatArray, upper: FloatArray) -> dict[str, Range]:
    """Return limits of shape (P,) by parameter, without the amplitude."""
    limits = zip(model.parameters, lower, upper, strict=True)
    return {p.name: (float(low), float(high)) for p, low, high in limits if p.name != model.amplitude}


def _ends(array: FloatArray) -> Range:
    return float(array.min()), float(array.max())


def _within(inner: Range, outer: Range) -> bool:
    low, high = (abs(end) * TOLERANCE for end in outer)
    return inner[0] >= outer[0] - low and inner[1] <= outer[1] + high


def _spelled(limits: Range | None) -> str:
    if limits is None:
        return "none"
    return f"{limits[0]:.4g}" if limits[0] == limits[1] else f"{limits[0]:.4g} to {limits[1]:.4g}"


def _listed(array: FloatArray) -> str:
    return ", ".join(f"{value:.4g}" for value in array.ravel()[:40]) or "not stated"
