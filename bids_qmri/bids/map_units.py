"""Units of maps and tables that go into a fit, as sidecars spell them.

A unit that is stated decides. What the values look like decides only where nothing is stated, and then with a
warning. Called by the readers and by `bids.b1`.
"""

from __future__ import annotations

import math
import re

from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import InputError

KEYS = ("Units", "units", "Unit", "unit")

NOTHING = {
    "",
    "arbitrary",
    "arbitrary units",
    "arb",
    "arb.",
    "a.u.",
    "au",
    "a. u.",
    "n/a",
    "na",
    "none",
    "unknown",
    "-",
}
"""Words that name no unit."""

SECONDS = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6}

MILLIMOLAR = {
    1.0: {"mmol/l", "mm", "mmolar", "mol/m3", "umol/ml", "mmol/dm3"},
    1e3: {"mol/l", "m", "molar", "mmol/ml", "mol/dm3"},
    1e-3: {"umol/l", "um", "umolar", "mmol/m3", "nmol/ml"},
}
"""mmol/L of one unit, and its spellings in small letters."""

PERCENT = {
    "%",
    "percent",
    "p.u.",
    "pu",
    "pct",
    "per cent",
    "percentage",
    "percent of nominal",
    "% of nominal",
}
FACTOR = {
    "1",
    "factor",
    "ratio",
    "fraction",
    "relative",
    "dimensionless",
    "unitless",
    "n.u.",
    "normalized",
    "unity",
}
FACTOR |= {
    "normalised",
    "no unit",
    "no units",
    "multiplicative factor",
    "fraction of nominal",
    "scale factor",
}

DEGREES = r"(°|degs?\.?|degrees?|deg)"
RADIANS = r"(rads?|radians?)"


def unit_of(sidecar: Sidecar) -> tuple[str, str]:
    """Return the key that states a unit, and its text; the text is empty where no unit is named."""
    for key in KEYS:
        text = str(sidecar.values.get(key, "")).strip()
        if text.lower() not in NOTHING:
            return key, text
    return KEYS[0], ""


def unit_words(sidecar: Sidecar) -> tuple[str, str]:
    """Return the key and text of what stands where a unit should, such as "arbitrary"; both may be empty."""
    for key in KEYS:
        if text := str(sidecar.values.get(key, "")).strip():
            return key, text
    return "", ""


def seconds(text: str) -> float | None:
    """Return how many seconds a unit of time is; None if it is none.

    >>> seconds("ms"), seconds("Milliseconds"), seconds("min"), seconds("1/s")
    (0.001, 0.001, 60.0, None)
    """
    word = text.strip().lower().rstrip(".")
    if re.fullmatch(r"min(ute)?s?", word):
        return 60.0
    if re.fullmatch(r"h(ou)?rs?|h", word):
        return 3600.0
    plain = re.sub(r"^milli", "m", re.sub(r"^micro", "u", word))
    found = re.fullmatch(r"([muµμ]?)s(ec(ond)?s?)?", plain)
    return SECONDS[found.group(1)] if found else None


def per_second(text: str) -> float | None:
    """Return how many 1/s a unit of a rate is; None if it is none.

    >>> per_second("1/s"), per_second("ms^-1"), per_second("Hz"), per_second("ms")
    (1.0, 1000.0, 1.0, None)
    """
    word = re.sub(r"\s+", "", text.strip().lower())
    if found := re.fullmatch(r"(k?)hz|(k?)hertz", word):
        return 1e3 if word.startswith("k") else 1.0
    found = re.fullmatch(r"1?/\(?([a-zµμ]+)\)?|(?:1?per)([a-zµμ]+)|([a-zµμ]+?)\^?\(?-1\)?", word)
    time = None if found is None else seconds(next(part for part in found.groups() if part))
    return None if time is None else 1.0 / time


def millimolar(text: str) -> float | None:
    """Return how many mmol/L a unit of concentration is; None if it is none.

    >>> millimolar("mM"), millimolar("mol/L"), millimolar("umol/mL"), millimolar("1/s")
    (1.0, 1000.0, 1.0, None)
    """
    word = (
        text.strip().lower().replace("μ", "u").replace("µ", "u").replace("micro", "u").replace("milli", "m")
    )
    word = re.sub(r"lit(er|re)s?\b", "l", re.sub(r"\s*(/|\bper\b)\s*", "/", word))
    word = re.sub(r"[ .*]l\^?-1", "/l", word).replace("m^3", "m3")
    for worth, words in MILLIMOLAR.items():
        if word in words:
            return worth
    return None


def share_of_nominal(sidecar: Sidecar) -> tuple[float, str] | None:
    """Return what one unit of a transmit field is worth, as actual over nominal flip angle, and in words.

    None where no unit is named, or none that is known.

    Raises
    ------
    InputError
        If the unit is an angle and the nominal one is not told, or that of another quantity.
    """
    key, text = unit_of(sidecar)
    word = re.sub(r"\s+", " ", text.lower())
    if not text:
        return None
    if word in PERCENT or "percent" in word or "%" in word:
        return 0.01, f"percent ({key})"
    if word in FACTOR or re.search(r"factor|ratio|relative|/ ?nominal|normali[sz]ed", word):
        return 1.0, f"a factor ({key})"
    angle = _angle(word)
    if angle is None and not re.search(r"hz|[unmµμ]t\b|tesla|gauss|^g$|/s|s\^?-1|^m?s$|volt|^v$", word):
        return None
    if angle is None:
        raise InputError(
            f"is {text!r}",
            file=sidecar.where(key),
            field=key,
            needed='"percent" or "1" of the nominal flip angle, or "degree" beside FlipAngle',
            fix="correct it, or rescale the map and write its unit",
        )
    nominal = sidecar.values.get("FlipAngle")
    if not isinstance(nominal, int | float) or not 0 < nominal < 180:
        raise InputError(
            f"is {nominal!r} beside {key} {text!r}"
            if nominal is not None
            else f"is missing beside {key} {text!r}",
            file=sidecar.where("FlipAngle"),
            field="FlipAngle",
            needed="the nominal flip angle in degrees of the pulse that the map shows",
            fix="add it, or divide the map by the nominal angle and write Units 1",
        )
    return angle / nominal, f"{text} of {nominal:g} degrees ({key}, FlipAngle)"


def _angle(word: str) -> float | None:
    """Return how many degrees a unit of angle is, as in "degree", "rad", "degree*10" or "0.1 degree"."""
    if re.fullmatch(RADIANS, word):
        return math.degrees(1.0)
    if word in ("decidegree", "decidegrees"):
        return 0.1
    if re.fullmatch(DEGREES, word):
        return 1.0
    if found := re.fullmatch(rf"{DEGREES} ?[*x] ?(\d+)", word):
        return 1.0 / float(found.group(2))
    if found := re.fullmatch(rf"(0?\.\d+) ?[*x]? ?{DEGREES}", word):
        return float(found.group(1))
    return None
