"""What the posterior of tracer kinetics has of its own: the grid over rate and delay, and tabulated curves.

Found by estimators through the catalogue; they speak of any model, this of the Tofts models alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.techniques.dce.convolution import K_OFFSET
from bids_qmri.techniques.dce.entries import products_at
from bids_qmri.techniques.dce.grid import concentration_posterior as grid_posterior
from bids_qmri.techniques.dce.responses import tabulate
from bids_qmri.units import FloatArray

__all__ = ["grid_posterior", "linear_products"]

IntArray = npt.NDArray[np.intp]

RATE_AND_DELAY = ("kep", "t0")
"""Parameters that concentrations are not linear in."""


def linear_products(problem: Any, theta: FloatArray, voxels: IntArray, out: FloatArray) -> None:
    """Write inner products of signal, curve of ve = 1 and curve of vp = 1 from a table of the scan.

    Parameters
    ----------
    problem
        An `estimators.posterior.problem.Problem`.
    theta
        Parameters, (P, V, G).
    voxels
        Which of the problem's voxels these are, (V,).
    out
        ye, yp, ee, ep, pp over the squared noise, (5, V, G).
    """
    kep, t0 = (np.ascontiguousarray(theta[problem.index(name)]) for name in RATE_AND_DELAY)
    limits = [(problem.lower[i], problem.upper[i]) for i in map(problem.index, RATE_AND_DELAY)]
    table = tabulate(problem.protocol, *limits)
    tissue, plasma = table.in_lanes
    weights, signal = np.zeros(tissue.shape[1]), np.zeros((voxels.size, tissue.shape[1]))
    weights[: len(problem.weights)] = problem.weights
    signal[:, : len(problem.weights)] = problem.signal[:, voxels].T * problem.weights
    ends = K_OFFSET, table.rates[0], table.rates[-1], table.delays[0], table.delays[-1]
    steps = table.rates.size, table.delays.size
    sharp = 1.0 / problem.noise.scatter[voxels] ** 2
    products_at((tissue, plasma), ends, steps, kep, t0, signal, weights, sharp, out)
