"""By what the stored values of one image differ from the scanner's own scale.

Philips stores each series with factors of its own: displayed value = stored x RS + RI, and the value that
compares between series is displayed / (RS x SS) (Chenevert et al. 2014, doi:10.1593/tlo.13811). dcm2niix
writes the factors and says which of the two it kept. Values of one image are right in any scale; a ratio of
two images is not. Called for images that are fitted together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_qmri.bids.alike import named
from bids_qmri.bids.nifti import Header
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.units import FloatArray

KEPT = "UsePhilipsFloatNotDisplayScaling"
SCALE, RESCALE = "PhilipsScaleSlope", "PhilipsRescaleSlope"
PLAIN = ("RealWorldValueSlope", "RescaleSlope")

SAME = 1e-3
"""Relative difference of factors that does not matter."""

UNKNOWN = "whether the stored values are on one scale is not told"


def common_scale(
    sidecars: Sequence[Sidecar], headers: Sequence[Header], notes: list[str]
) -> FloatArray | None:
    """Return factors that bring images that are fitted together to one scale; None: they are on one.

    Parameters
    ----------
    sidecars, headers
        Of every image.
    notes
        What was done, or cannot be known, is added here.

    Returns
    -------
    Factors with a geometric mean of 1, (N,).
    """
    if any(SCALE in sidecar.values for sidecar in sidecars):
        return _philips(sidecars, headers, notes)
    for key in (RESCALE, "PhilipsRWVSlope"):
        if (slopes := _numbers(sidecars, key)) is not None and _differ(slopes):
            notes.append(named(sidecars, key, f"{UNKNOWN} ({SCALE} is missing)"))
            return None
    found = [(key, slopes) for key in PLAIN if (slopes := _numbers(sidecars, key)) is not None]
    return _plain(sidecars, headers, *found[0], notes) if found and _differ(found[0][1]) else None


def _plain(
    sidecars: Sequence[Sidecar], headers: Sequence[Header], key: str, slopes: FloatArray, notes: list[str]
) -> FloatArray | None:
    """Return factors where sidecars state a slope that the images do not hold."""
    stored = np.array([header.slope for header in headers])
    if not _differ(slopes / stored):
        return None
    offsets = [s.values.get(key.replace("Slope", "Intercept"), 0) for s in sidecars]
    if _whole(headers) and not any(offsets):
        notes.append(_done(sidecars, key, "multiplied by it, for headers of the images do not hold it"))
        return _centred(slopes)
    notes.append(named(sidecars, key, f"{UNKNOWN} (headers have slopes {_listed(stored)})"))
    return None


def _philips(sidecars: Sequence[Sidecar], headers: Sequence[Header], notes: list[str]) -> FloatArray | None:
    scale, rescale = _numbers(sidecars, SCALE), _numbers(sidecars, RESCALE)
    if scale is None:
        notes.append(named(sidecars, SCALE, UNKNOWN))
        return None
    rescale = np.ones(len(sidecars)) if rescale is None else rescale
    kept = {str(sidecar.values.get(KEPT, "")).strip().lower() for sidecar in sidecars}
    stored = np.array([header.slope for header in headers])
    if not _differ(scale * rescale) or kept <= {"1", "true", "1.0"}:
        return None
    if kept <= {"0", "false", "0.0"} and not _lost(headers, rescale):
        notes.append(_done(sidecars, SCALE, f"divided by {RESCALE} x {SCALE}, for {KEPT} is 0"))
        return _centred(1.0 / (scale * rescale))
    if kept == {""} and not _differ(stored * scale) and _differ(stored):
        return None
    if kept == {""} and _differ(stored) and not _differ(stored / rescale):
        notes.append(_done(sidecars, SCALE, f"divided by {RESCALE} x {SCALE}, for headers hold {RESCALE}"))
        return _centred(1.0 / (scale * rescale))
    why = f"{KEPT} is missing" if kept == {""} else f"{KEPT} is {', '.join(sorted(kept))}"
    notes.append(
        named(
            sidecars,
            SCALE,
            f"{UNKNOWN} ({why}): T1 is wrong if they are displayed values. If they are, write {KEPT} 0; if"
            " the converter applied the scale, write 1; or convert anew with dcm2niix -p y",
        )
    )
    return None


def _lost(headers: Sequence[Header], rescale: FloatArray) -> bool:
    """Whether images hold whole numbers without the slope that would make displayed values of them."""
    return _whole(headers) and _differ(np.append(rescale, 1.0))


def _whole(headers: Sequence[Header]) -> bool:
    """Whether images hold whole numbers without a slope."""
    return all(header.dtype.kind in "iu" and np.isclose(header.slope, 1.0) for header in headers)


def _numbers(sidecars: Sequence[Sidecar], key: str) -> FloatArray | None:
    """Return a key of all images as positive numbers; None if one lacks it."""
    try:
        values = np.array([float(sidecar.values[key]) for sidecar in sidecars])
    except (KeyError, TypeError, ValueError):
        return None
    return values if np.all(np.isfinite(values) & (values > 0)) else None


def _differ(values: FloatArray) -> bool:
    return bool(values.max() > values.min() * (1.0 + SAME))


def _centred(factors: FloatArray) -> FloatArray:
    return np.asarray(factors / np.exp(np.mean(np.log(factors))))


def _listed(values: FloatArray) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _done(sidecars: Sequence[Sidecar], key: str, how: str) -> str:
    values = ", ".join(f"{sidecar.values[key]:g}" for sidecar in sidecars)
    return f"{sidecars[0].where(key).name} ...: {key} is {values}: images were brought to one scale ({how})"
