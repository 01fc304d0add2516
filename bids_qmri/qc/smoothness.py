"""Spatial structure of what a fit leaves unexplained: noise has none, motion and wrong models do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bids_qmri.qc.metrics import Metrics
from bids_qmri.units import FloatArray

SAMPLED = 1024
"""Voxels at the start of each block whose signed residuals are looked at: rows of neighbours in two axes."""

FEWEST_PAIRS = 100
"""Pairs of neighbours below which a correlation is mostly chance."""

_IN_PLANE = 2


def rmse_autocorrelation(
    residual: npt.NDArray[np.float32], usable: npt.NDArray[np.bool_], shape: tuple[int, int, int]
) -> float | None:
    """Return the correlation of log rmse between voxels that share a face.

    Parameters
    ----------
    residual
        Root mean square residual, (V,), voxels in Fortran order.
    usable
        Voxels with an estimate, (V,).
    shape
        The three dimensions of the grid.

    Returns
    -------
    float or None
        None where there are fewer than `FEWEST_PAIRS` pairs, or no variation.
    """
    known = usable & np.isfinite(residual) & (residual > 0)
    grid = np.log(np.where(known, residual, 1.0)).reshape(shape, order="F")
    grid = grid - (grid[known.reshape(shape, order="F")].mean() if known.any() else 0.0)
    inside = known.reshape(shape, order="F")
    sums = _PairSums()
    for axis in range(3):
        first = tuple(slice(None, -1) if other == axis else slice(None) for other in range(3))
        second = tuple(slice(1, None) if other == axis else slice(None) for other in range(3))
        pairs = inside[first] & inside[second]
        sums.add(grid[first][pairs].astype(np.float64), grid[second][pairs].astype(np.float64))
    return sums.correlation()


@dataclass
class _PairSums:
    """Sums over pairs of neighbours, of values whose mean is 0."""

    count: int = 0
    product: float = 0.0
    squares: float = 0.0

    def add(self, one: FloatArray, other: FloatArray) -> None:
        self.count += one.size
        self.product += float(np.vdot(one, other))
        self.squares += 0.5 * float(np.vdot(one, one) + np.vdot(other, other))

    def correlation(self) -> float | None:
        return self.product / self.squares if self.count >= FEWEST_PAIRS and self.squares > 0 else None


@dataclass
class ResidualTally:
    """Correlation of signed residuals between in-plane neighbours, summed up block by block.

    Parameters
    ----------
    shape
        The three dimensions of the grid.
    """

    shape: tuple[int, int, int]
    _sums: tuple[_PairSums, ...] = field(default_factory=lambda: tuple(_PairSums() for _ in range(_IN_PLANE)))

    def add(self, difference: FloatArray, voxels: npt.NDArray[np.intp]) -> None:
        """Take the residuals of some voxels.

        Parameters
        ----------
        difference
            Measured minus predicted, (v, N).
        voxels
            Their numbers in Fortran order, increasing, (v,).
        """
        known = np.all(np.isfinite(difference), axis=1)
        values, places = difference[known], voxels[known]
        strides = (1, self.shape[0])
        for axis, stride in enumerate(strides):
            partner = np.searchsorted(places, places + stride)
            inside = partner < places.size
            found = np.zeros(places.size, dtype=bool)
            found[inside] = places[partner[inside]] == places[inside] + stride
            found &= (places // stride) % self.shape[axis] < self.shape[axis] - 1
            self._sums[axis].add(values[found].ravel(), values[partner[found]].ravel())

    def metrics(self, zooms: tuple[float, ...]) -> Metrics:
        """Return autocorrelation and width in mm for voxels of these sizes in mm."""
        found = [sums.correlation() for sums in self._sums]
        known = [value for value in found if value is not None]
        widths = [_width(value, size) for value, size in zip(found, zooms, strict=False) if value is not None]
        product = math.prod(width for width in widths if width is not None)
        complete = bool(widths) and None not in widths
        return {
            "residual_autocorrelation": sum(known) / len(known) if known else None,
            "residual_fwhm": product ** (1 / len(widths)) if complete else None,
        }


def _width(correlation: float, size: float) -> float | None:
    """Return the width of a Gaussian filter that gives white noise this correlation at one voxel's distance.

    None where there is no positive correlation: a width below the resolution cannot be told.
    """
    if not 0 < correlation < 1:
        return None
    return size * math.sqrt(2 * math.log(2) / -math.log(correlation))
