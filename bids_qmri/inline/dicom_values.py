"""Values of maps as whole numbers of 12 bits, and what DICOM calls their units and quantities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.units import is_cmixf

LARGEST = 4095
"""Largest whole number of 12 bits."""

EXACT = 1 + 1e-6
"""Single precision makes a little more of a number that just fits."""

FRACTION_SCALE = 1000.0
"""What values without a unit are multiplied by, unless they are too large for it."""

UCUM = {
    "1": ("1", "no units"),
    "s": ("s", "second"),
    "mm^2/s": ("mm2/s", "square millimeter per second"),
    "1/min": ("/min", "per minute"),
    "mmol/L": ("mmol/L", "millimole per liter"),
    "arbitrary": ("[arb'U]", "arbitrary unit"),
    "percent": ("%", "percent"),
}
"""Code and meaning by unit of a map, where its CMIXF-12 spelling alone does not tell both."""

DCM_QUANTITIES = {
    "t1": ("113063", "T1"),
    "m0": ("113058", "Proton Density"),
    "d": ("113291", "Slow Diffusion Coefficient"),
    "dstar": ("113292", "Fast Diffusion Coefficient"),
    "f": ("113293", "Fast Diffusion Coefficient Fraction"),
    "ktrans": ("126312", "Ktrans"),
    "kep": ("126313", "kep"),
    "ve": ("126314", "ve"),
    "vp": ("126331", "vp"),
    "fa": ("110808", "Fractional Anisotropy"),
    "md": ("113202", "Mean Diffusivity"),
    "ad": ("113204", "Axial Diffusivity"),
    "rd": ("113203", "Radial Diffusivity"),
    "mk": ("113205", "Mean Kurtosis"),
    "ak": ("113208", "Axial Kurtosis"),
    "rk": ("113207", "Radial Kurtosis"),
    "kfa": ("113209", "Fractional Kurtosis Anisotropy"),
}
"""Codes of the DICOM Controlled Terminology (PS3.16, annex D) by name of a map; others have none there."""

OWN_SCHEME = "99BIDSQMRI"
"""Coding scheme of names that DICOM has no code for."""


@dataclass(frozen=True, eq=False)
class MapVolume:
    """One map, and what a reader has to know of it.

    Parameters
    ----------
    name
        Of the quantity in code, as ``ndi`` or ``status``.
    symbol
        Notation of the field.
    unit
        A CMIXF-12 string, or ``arbitrary``.
    description
        One sentence.
    window
        Values at the ends of the grey scale; None takes 0 to the largest one.
    values
        (planes, rows, columns). Integers are stored as they are, other values by `stored_values`.
    deviation
        True for standard deviations, which may be cut off: voxels without information have huge ones.
    """

    name: str
    symbol: str
    unit: str
    description: str
    window: tuple[float, float] | None
    values: npt.NDArray[Any]
    deviation: bool = False

    @property
    def label(self) -> str:
        """Name of the image: that of the quantity, with ``Std`` for a standard deviation."""
        return f"{self.name}Std" if self.deviation else self.name


@dataclass(frozen=True, eq=False)
class StoredValues:
    """Whole numbers, 0 to `LARGEST`; ``slope * numbers + intercept`` are the values.

    Parameters
    ----------
    numbers
        (planes, rows, columns).
    slope, intercept
        In the unit of the map.
    """

    numbers: npt.NDArray[np.uint16]
    slope: float
    intercept: float


def stored_values(volume: MapVolume) -> StoredValues:
    """Return a map as whole numbers of 12 bits.

    Values are multiplied by 1000 if they have no unit, else by the largest power of ten that leaves room for
    the window. Where estimates go beyond, it is the largest of 1, 2, 5, 10, 20 and so on (and 1/2, 1/5, ...)
    that leaves room for all of them. NaN becomes 0.

    Parameters
    ----------
    volume
        The map.
    """
    values = volume.values
    if values.dtype.kind in "iu":
        return StoredValues(np.clip(values, 0, LARGEST).astype(np.uint16), 1.0, 0.0)
    low, high = _limits(volume)
    scale = _scale(low, high, volume)
    lowest = np.floor(low * scale * (1 + 1e-9))
    scaled = np.nan_to_num(values.astype(np.float64) * scale, nan=0.0, posinf=np.inf, neginf=-np.inf)
    numbers = np.clip(np.rint(scaled) - lowest, 0, LARGEST).astype(np.uint16)
    return StoredValues(numbers, 1.0 / scale, lowest / scale)


def _limits(volume: MapVolume) -> tuple[float, float]:
    """Return what must be told apart: 0, and all finite values but the longest standard deviations."""
    finite = volume.values[np.isfinite(volume.values)]
    low = min(float(finite.min(initial=0.0)), 0.0)
    if not volume.deviation:
        return low, float(finite.max(initial=0.0))
    if volume.window is not None:
        return 0.0, volume.window[1]
    positive = finite[finite > 0]
    return 0.0, float(np.percentile(positive, 99)) if positive.size else 0.0


def _scale(low: float, high: float, volume: MapVolume) -> float:
    # Rounding at both ends may cost one number.
    room, span = LARGEST - (low < 0), (high - low) or 1.0
    exponent = np.floor(np.log10(room / span))
    finest = max(m * 10.0**exponent for m in (1.0, 2.0, 5.0) if m * 10.0**exponent * span <= room * EXACT)
    if volume.unit == "1":
        return float(min(finest, FRACTION_SCALE))
    if volume.window is None:
        return float(finest)
    return float(min(finest, 10.0 ** np.floor(np.log10(LARGEST / volume.window[1]))))


def unit_code(unit: str) -> tuple[str, str]:
    """Return the UCUM code of a unit and its meaning; CMIXF-12 spells units alike, but for signs.

    Raises
    ------
    InputError
        If there is none.
    """
    if unit in UCUM:
        return UCUM[unit]
    if not is_cmixf(unit):
        raise InputError(f"unit {unit!r} has no code", needed="CMIXF-12, or arbitrary")
    return unit.removeprefix("1").replace("^", "").replace("*", "."), unit


def quantity_code(volume: MapVolume) -> tuple[str, str, str]:
    """Return code, coding scheme and meaning of the quantity of a map."""
    if volume.name in DCM_QUANTITIES:
        code, meaning = DCM_QUANTITIES[volume.name]
        return code, "DCM", meaning
    return volume.name[:16], OWN_SCHEME, volume.symbol[:64]
