"""Estimator ``lookup``: T1 of the sequence's own look-up table, computed for every voxel's transmit field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mp2rage.model import combination, readouts
from bids_qmri.techniques.mp2rage.protocol import Mp2rageProtocol
from bids_qmri.units import FloatArray

TABLE_POINTS = 96
"""T1 values of the table in which the branch is looked for, evenly on a logarithmic scale."""
HALVINGS = 32
"""Of the step of the table that holds the answer."""
SLOPE_STEP = 1e-4
"""Relative change of T1 by which the slope of the table is told."""


@dataclass(frozen=True)
class Lookup(Estimator):
    """T1 on the branch of the look-up table on which the combination falls with T1.

    Combinations beyond its ends get the T1 of that end and status AT_BOUND. Standard deviations by error
    propagation from the noise of both images, where these are there.
    """

    label = "lookup"
    description = (
        "Inversion of the combination of both images on the monotonous branch of the steady-state signal, at "
        "the transmit field of every voxel where it is known; standard deviations by error propagation."
    )
    reference = "Marques et al. 2010, doi:10.1016/j.neuroimage.2009.10.002"
    own_limits = True

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        assert isinstance(protocol, Mp2rageProtocol)
        data = np.asarray(signal, dtype=np.float64)
        both = data.shape[1] == 2
        usable = np.all(np.isfinite(data), axis=1) & np.any(data != 0, axis=1)
        uniform = combination(data.T) if both else data[:, 0]
        usable &= np.abs(uniform) <= 0.5 + 1e-6
        own, efficiency = protocol.take(usable), float(getattr(model, "efficiency", 1.0))
        t1, inside = look_up(uniform[usable], efficiency, own, model.parameters[0].bounds)
        spread = np.full(usable.size, np.nan)
        if both and noise is not None:
            level = noise.spread(usable.size).take(usable).scatter
            spread[usable] = level * _error(data[usable].T, t1, efficiency, own)
        status = np.full(usable.size, Status.UNUSABLE, dtype=np.uint8)
        status[usable] = np.where(inside, Status.OK, Status.AT_BOUND)
        spread[status == Status.AT_BOUND] = np.nan
        found = np.full(usable.size, np.nan)
        found[usable] = t1
        residual = np.full(usable.size, np.nan)
        residual[usable] = np.abs(combination(readouts(t1, efficiency, own)) - uniform[usable])
        maps = {"t1": found, "uniform": np.where(usable, uniform, np.nan)}
        if both:
            curve = readouts(t1, efficiency, own)
            maps["m0"] = np.full(usable.size, np.nan)
            maps["m0"][usable] = np.sum(curve * data[usable].T, axis=0) / np.sum(curve**2, axis=0)
        return FitResult(maps, {"t1": spread}, residual, status)


def look_up(
    uniform: FloatArray, efficiency: float, protocol: Mp2rageProtocol, limits: tuple[float, float]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return T1 in s, (V,), of combinations of both images, and whether the table holds them.

    Parameters
    ----------
    uniform
        Combinations, -0.5 to 0.5, (V,).
    efficiency, protocol
        Of the sequence.
    limits
        Ends of the table in s.
    """
    t1 = np.geomspace(*limits, TABLE_POINTS)
    table = np.stack([combination(readouts(np.full(uniform.size, x), efficiency, protocol)) for x in t1])
    first = np.argmax(table, axis=0)
    index = np.arange(TABLE_POINTS)[:, None]
    last = np.argmin(np.where(index >= first, table, np.inf), axis=0)
    on_branch = (index >= first) & (index <= last)
    above = first + np.sum(on_branch & (table > uniform), axis=0)
    # In the last step the table turns: two T1 have the same combination.
    inside = (above > first) & (above < last)
    low = t1[np.clip(above - 1, 0, TABLE_POINTS - 1)]
    high = t1[np.clip(above, 0, TABLE_POINTS - 1)]
    low = np.where(above >= last, t1[last], np.where(above <= first, t1[first], low))
    high = np.where(inside, high, low)
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        larger = combination(readouts(middle, efficiency, protocol)) > uniform
        low, high = np.where(larger & inside, middle, low), np.where(larger | ~inside, high, middle)
    return np.sqrt(low * high), inside


def _error(images: FloatArray, t1: FloatArray, efficiency: float, protocol: Mp2rageProtocol) -> FloatArray:
    """Return the error of T1 that unit noise in both images makes, (v,)."""
    first, second = images
    power = first**2 + second**2
    of_uniform = np.abs(second**2 - first**2) / power**1.5
    near = [
        combination(readouts(t1 * (1 + step), efficiency, protocol)) for step in (SLOPE_STEP, -SLOPE_STEP)
    ]
    slope = (near[0] - near[1]) / (2 * SLOPE_STEP * t1)
    with np.errstate(divide="ignore"):
        return np.asarray(of_uniform / np.abs(slope))
