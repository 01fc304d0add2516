"""Extended Tofts model of contrast agent kinetics, and the Tofts model as its case without plasma.

Ct(t) = vp Cp(t - t0) + Ktrans integral Cp(u - t0) exp(-kep (t - u)) du with Ktrans = kep ve. The signal is
the concentration in tissue in mmol/L, rates are 1/min, the delay t0 is in s; Cp is the plasma input of a
`DceProtocol`. The convolution is exact for its piecewise-linear input (`models/convolution.py`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bids_qmri.models.base import Model, Parameter
from bids_qmri.models.convolution import response_table
from bids_qmri.protocol import DceProtocol
from bids_qmri.units import SECONDS_PER_MINUTE, FloatArray

KEP_ATOMS = 20
"""Rates that `start` tries, log-spaced."""

DELAY_STEP = 1.0
"""Distance in s of the delays that `start` tries: below the rise time of a bolus."""

SLOWEST_START = 0.02
"""Lowest rate in 1/min that `start` tries: over a scan of minutes slower ones look the same."""

# Below 0.001 / min washout takes most of a day and ve has no effect; above 10 / min (6 s) the tissue follows
# the plasma within a frame and cannot be told from it.
KEP = Parameter(
    "kep", "kep", "1/min", (0.001, 10.0), (0.1, 2.0), "Rate constant of return from tissue to plasma"
)
VE = Parameter(
    "ve", "ve", "1", (0.0, 1.0), (0.01, 0.7), "Volume fraction of extravascular extracellular space"
)
VP = Parameter("vp", "vp", "1", (0.0, 1.0), (0.001, 0.05), "Volume fraction of blood plasma")
T0 = Parameter("t0", "t0", "s", (0.0, 0.0), (0.0, 10.0), "Delay of the tissue curve after the arterial input")
KTRANS = Parameter(
    "ktrans", "Ktrans", "1/min", (0.0, 10.0), (0.001, 1.4), "Volume transfer constant from plasma to tissue"
)


class ExtendedTofts(Model):
    """Two compartments: plasma, and tissue that fills from it (Tofts 1997)."""

    name = "etofts"
    parameters = (KEP, VE, VP, T0)
    derived = (KTRANS,)
    reference = "doi:10.1002/jmri.1880070113"

    def signal(self, theta: FloatArray, protocol: DceProtocol) -> FloatArray:
        kep, ve, vp, t0 = theta
        response = response_table(protocol).evaluate(kep, t0)
        return np.asarray(vp * response.plasma + kep * ve * response.tissue)

    def signal_and_jacobian(self, theta: FloatArray, protocol: DceProtocol) -> tuple[FloatArray, FloatArray]:
        kep, ve, vp, t0 = theta
        response = response_table(protocol).evaluate(kep, t0)
        ktrans = kep * ve
        jacobian = np.empty((4, *response.tissue.shape))
        jacobian[0] = ve * response.tissue + ktrans * response.tissue_by_kep
        jacobian[1] = kep * response.tissue
        jacobian[2] = response.plasma
        uptake = response.plasma - kep * response.tissue
        jacobian[3] = (vp * response.plasma_slope + ktrans * uptake) / -SECONDS_PER_MINUTE
        return vp * response.plasma + ktrans * response.tissue, jacobian

    def start(
        self, signal: FloatArray, protocol: DceProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        kep, t0 = _atoms(lower, upper)
        response = response_table(protocol).evaluate(kep, t0)
        plasma = np.broadcast_to(response.plasma, response.tissue.shape)
        by_tissue, by_plasma = response.tissue.T @ signal, plasma.T @ signal
        best = np.full(signal.shape[1], np.inf)
        atom, ktrans, vp = np.zeros(best.size, dtype=np.intp), np.zeros(best.size), np.zeros(best.size)
        for a in range(kep.size):
            basis = np.stack([response.tissue[:, a], plasma[:, a]])
            box = np.array([kep[a] * lower[1], lower[2]]), np.array([kep[a] * upper[1], upper[2]])
            trial, misfit = _amplitudes(basis @ basis.T, by_tissue[a], by_plasma[a], *box)
            better = misfit < best
            np.copyto(best, misfit, where=better)
            np.copyto(atom, a, where=better)
            np.copyto(ktrans, trial[0], where=better)
            np.copyto(vp, trial[1], where=better)
        theta = np.stack([kep[atom], ktrans / kep[atom], vp, t0[atom]])
        return np.clip(theta, lower[:, None], upper[:, None])

    def derive(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        kep, ve = theta[0], theta[1]
        by_theta = np.zeros((1, *theta.shape))
        by_theta[0, 0], by_theta[0, 1] = ve, kep
        return (kep * ve)[None], by_theta


class Tofts(ExtendedTofts):
    """Extended Tofts without a plasma term: vp is fixed at 0 (Tofts and Kermode 1991)."""

    name = "tofts"
    parameters = (KEP, VE, replace(VP, bounds=(0.0, 0.0), training=(0.0, 0.0)), T0)
    reference = "doi:10.1002/mrm.1910170208"


def _atoms(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return every combination of the rates (1/min) and delays (s) that `start` tries."""
    slowest = min(max(lower[0], SLOWEST_START), upper[0])
    kep = np.geomspace(slowest, upper[0], KEP_ATOMS) if slowest < upper[0] else upper[:1]
    delays = int(np.ceil((upper[3] - lower[3]) / DELAY_STEP)) + 1
    grid = np.meshgrid(kep, np.linspace(lower[3], upper[3], delays), indexing="ij")
    return grid[0].ravel(), grid[1].ravel()


def _amplitudes(
    gram: FloatArray, by_tissue: FloatArray, by_plasma: FloatArray, lowest: FloatArray, highest: FloatArray
) -> tuple[tuple[FloatArray, FloatArray], FloatArray]:
    """Return feasible amplitudes (Ktrans, vp) of two basis curves and the misfit, less the signal's energy.

    Least squares with vp clipped, then Ktrans for that vp, then vp for that Ktrans: exact where no limit is
    active, close to the best feasible point elsewhere.
    """
    (tissue, mixed), plasma = gram[0], gram[1, 1]
    determinant = tissue * plasma - mixed**2
    # curves without input, or parallel ones, leave vp undetermined: zero is the simplest choice
    scale = 1 / determinant if determinant > 0 else 0.0
    vp = np.clip(scale * (tissue * by_plasma - mixed * by_tissue), lowest[1], highest[1])
    ktrans = np.clip((by_tissue - mixed * vp) / max(tissue, TINY), lowest[0], highest[0])
    left = by_plasma - mixed * ktrans
    vp = np.clip(left / max(plasma, TINY), lowest[1], highest[1])
    return (ktrans, vp), (tissue * ktrans - 2 * by_tissue) * ktrans + (plasma * vp - 2 * left) * vp


TINY = float(np.finfo(np.float64).tiny)

EXTENDED_TOFTS = ExtendedTofts()
TOFTS = Tofts()
