"""What to say of a dynamic scan whose delay a person has fixed, where the residuals speak of another one.

Found through the catalogue by `interfaces.fit`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.preparation import Preparation
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.model import Model
from bids_qmri.techniques.dce.preparation import LONGEST_DELAY
from bids_qmri.units import FloatArray

SAMPLE = 300
"""Voxels of the most uptake that are fitted twice."""

BETTER = 12.0
"""Fall of chi-squared that noise does not bring about."""

MANY = 0.2
"""Share of voxels with such a fall that a person should know of."""


def remarks_on(
    model: Model, how: Preparation, measured: tuple[FloatArray, npt.NDArray[np.intp]]
) -> tuple[str, ...]:
    """Return what to say; nothing where the delay is free, or fits.

    Parameters
    ----------
    model, how
        What is fitted, and what goes into it.
    measured
        Signals (V, N) of voxels spread over the scan, and the voxels.
    """
    bounds = dict(how.bounds or {})
    low, high = bounds.get("t0", (0.0, 0.0))
    if low < high:
        return ()
    signal, protocol = how.convert(*measured)
    finite = np.flatnonzero(np.all(np.isfinite(signal), axis=1))
    chosen = finite[np.argsort(-np.abs(signal[finite]).sum(axis=1))[:SAMPLE]]
    if not chosen.size:
        return ()
    signal, protocol = signal[chosen], protocol.take(chosen)
    fixed, free = (
        Lsq().fit(model, signal, protocol, bounds=bounds | {"t0": limits})
        for limits in ((low, high), (0.0, LONGEST_DELAY))
    )
    count = signal.shape[1]
    noise = free.residual * np.sqrt(count / max(count - len(model.parameters), 1))
    with np.errstate(all="ignore"):
        fall = count * (fixed.residual**2 - free.residual**2) / noise**2
    late = fall > BETTER
    if np.mean(late) < MANY:
        return ()
    delay = float(np.median(free.maps["t0"][late]))
    return (
        f"the delay is fixed at {low:g} s, but {np.mean(late):.0%} of the voxels of most uptake fit far "
        f"better with one of {delay:.1f} s: leave t0 out of --bounds, or widen it",
    )
