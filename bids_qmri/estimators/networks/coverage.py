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
from bids_qmri.estimators.networks.condense import condense
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Protocol, Range
from bids_qmri.units import FloatArray

TOLERANCE = 1e-3
"""Excess over a range, relative to its ends, that is rounding in a sidecar."""

SAME = 5e-3
"""Relative difference of protocols that count as equal: rounding again, of nominal values."""

COUNT = {"measurements": ("different measurements", "")}
"""How messages name what is counted of every protocol, and its unit; protocols have `words` of their own."""


def n_different(protocol: Protocol) -> int:
    """Return the number of measurements after repeats are averaged and long series binned."""
    one = protocol.take(slice(0, 1))
    return int(condense(np.ones((one.n_measurements, 1)), one).protocol.n_measurements)


def extremes(protocol: Protocol) -> dict[str, Range]:
    """Return smallest and largest value of every property of a protocol that all voxels share."""
    return {"measurements": (n_different(protocol),) * 2} | protocol.extremes()


def require_length(name: str, coverage: Mapping[str, Any], protocol: Protocol) -> None:
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
            fix="acquire more, or use lsq",
        )


def outside(coverage: Mapping[str, Any], protocol: Protocol, box: Mapping[str, Range]) -> list[str]:
    """Return in words what of a protocol and of a box of limits lies outside a coverage; empty if nothing."""
    words = outside_ranges(coverage, extremes(protocol), protocol.words)
    for name, limits in box.items():
        trained = coverage["bounds"].get(name)
        fixed = limits[0] == limits[1] and name not in coverage.get("fixed", [name])
        if trained is None or fixed or not _within(limits, trained):
            words.append(f"limits of {name} {_spelled(limits)} (trained: {_spelled(trained)})")
    return words


def outside_ranges(
    coverage: Mapping[str, Any], found: Mapping[str, Range], names: Mapping[str, tuple[str, str]]
) -> list[str]:
    """Return in words which of some properties lie outside a coverage that states them.

    Parameters
    ----------
    coverage
        Of the network.
    found
        Smallest and largest value by property.
    names
        What messages call the properties, and their units.
    """
    words = []
    spelled = COUNT | dict(names)
    for name, limits in found.items():
        if name in coverage and not _within(limits, coverage[name]):
            what, unit = spelled.get(name, (name, ""))
            words.append(f"{what} {_spelled(limits)}{unit} (trained: {_spelled(coverage[name])}{unit})")
    return words


def voxels_outside(coverage: Mapping[str, Any], protocol: Protocol, snr: FloatArray) -> npt.NDArray[np.bool_]:
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
    factor = coverage.get("b1", (1.0, 1.0))
    for name, (smallest, largest) in protocol.extremes_by_voxel().items():
        if name in coverage:
            found |= smallest < coverage[name][0] * factor[0] * (1.0 - TOLERANCE)
            found |= largest > coverage[name][1] * factor[1] * (1.0 + TOLERANCE)
    return np.asarray(found)


def require_same(name: str, trained: Mapping[str, Any], protocol: Protocol) -> None:
    """Refuse a protocol that is not the only one that a network was trained for.

    Parameters
    ----------
    name
        Of the network.
    trained
        Field ``protocol`` of its card: the values of the only protocol (`Protocol.values`).
    protocol
        What was played out.

    Raises
    ------
    InputError
        Naming what differs.
    """
    for key, seen in protocol.values().items():
        needed = np.asarray(trained.get(key, ()), dtype=np.float64)
        if seen.shape != needed.shape or not np.allclose(seen, needed, rtol=SAME, atol=1e-6):
            raise InputError(
                f"{key} of the scan is {_listed(seen)}",
                field=f"protocol of the network {name}",
                needed=_listed(needed),
                fix="use a network trained for this protocol, or ncde, or lsq",
            )


def box_of(model: Model, lower: FloatArray, upper: FloatArray) -> dict[str, Range]:
    """Return limits of shape (P,) by parameter, without the amplitude."""
    limits = zip(model.parameters, lower, upper, strict=True)
    return {p.name: (float(low), float(high)) for p, low, high in limits if p.name != model.amplitude}


def _within(inner: Range, outer: Range) -> bool:
    low, high = (abs(end) * TOLERANCE for end in outer)
    return inner[0] >= outer[0] - low and inner[1] <= outer[1] + high


def _spelled(limits: Range | None) -> str:
    if limits is None:
        return "none"
    return f"{limits[0]:.4g}" if limits[0] == limits[1] else f"{limits[0]:.4g} to {limits[1]:.4g}"


def _listed(array: FloatArray) -> str:
    return ", ".join(f"{value:.4g}" for value in array.ravel()[:40]) or "not stated"
