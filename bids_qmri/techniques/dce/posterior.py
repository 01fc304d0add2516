"""What the posterior of tracer kinetics has of its own: the grid over rate and delay, and tabulated curves.

Found by estimators through the catalogue; they speak of any model, this of the Tofts models alone.
"""

from __future__ import annotations

from typing import Any

from bids_qmri.techniques.dce.grid import concentration_posterior as grid_posterior
from bids_qmri.techniques.dce.responses import tabulate
from bids_qmri.units import FloatArray

__all__ = ["grid_posterior", "linear_curves"]

RATE_AND_DELAY = ("kep", "t0")
"""Parameters that concentrations are not linear in."""


def linear_curves(problem: Any, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the curves of ve = 1 and of vp = 1 from a table of the scan, each (..., N).

    Parameters
    ----------
    problem
        An `estimators.posterior.problem.Problem`.
    theta
        Parameters, (P, ...).
    """
    kep, t0 = (theta[problem.index(name)] for name in RATE_AND_DELAY)
    limits = [(problem.lower[i], problem.upper[i]) for i in map(problem.index, RATE_AND_DELAY)]
    tissue, plasma = tabulate(problem.protocol, *limits).at(kep, t0)
    tissue *= kep[..., None]
    return tissue, plasma
