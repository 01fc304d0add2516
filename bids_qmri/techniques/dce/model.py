"""Extended Tofts model of contrast agent kinetics, and the Tofts model as its case without plasma.

Ct(t) = vp Cp(t - t0) + Ktrans integral Cp(u - t0) exp(-kep (t - u)) du with Ktrans = kep ve. The signal is
the concentration in tissue in mmol/L, rates are 1/min, the delay t0 is in s; Cp is the plasma input of a
`DceProtocol`. The convolution is exact for its piecewise-linear input (`convolution`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bids_qmri.physics.model import Model, Parameter
from bids_qmri.techniques.dce.convolution import Response, response_table
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import SECONDS_PER_MINUTE, FloatArray

KEP_ATOMS = 24
"""Rates that `start` tries, log-spaced."""

DELAY_STEP = 1.0
"""Largest distance in s of the delays that `start` tries: below the rise time of a bolus."""

TINY = float(np.finfo(np.float64).tiny)

SLOWEST_START = 0.02
"""Lowest rate in 1/min that `start` tries: over a scan of minutes slower ones look the same."""

# Below 0.001 / min washout takes most of a day and ve has no effect; above 10 / min (6 s) the tissue follows
# the plasma within a frame and cannot be told from it.
KEP = Parameter(
    "kep",
    "kep",
    "1/min",
    (0.001, 10.0),
    (0.1, 2.0),
    "Rate constant of return from tissue to plasma",
    # 1 / kep from 12 s, a frame or two, to 100 min, longer than any scan.
    prior=(0.01, 5.0),
    typical=0.5,
    logarithmic=True,
)
VE = Parameter(
    "ve",
    "ve",
    "1",
    (0.0, 1.0),
    (0.01, 0.7),
    "Volume fraction of extravascular extracellular space",
    # Below 1 % there is nothing to exchange with.
    prior=(0.01, 1.0),
    typical=0.2,
)
VP = Parameter(
    "vp",
    "vp",
    "1",
    (0.0, 1.0),
    (0.001, 0.05),
    "Volume fraction of blood plasma",
    # Spleen and placenta reach 0.3; above that it is a vessel.
    prior=(0.0, 0.3),
    typical=0.02,
)
LONGEST_DELAY = 120.0
"""Seconds; the model fixes the delay at 0, whoever frees it decides."""
T0 = Parameter(
    "t0",
    "t0",
    "s",
    (0.0, 0.0),
    (0.0, 10.0),
    "Delay of the tissue curve after the arterial input",
    typical=5.0,
    widest=(0.0, LONGEST_DELAY),
)
KTRANS = Parameter(
    "ktrans",
    "Ktrans",
    "1/min",
    (0.0, 10.0),
    (0.001, 1.4),
    "Volume transfer constant from plasma to tissue",
    typical=0.2,
)


class ExtendedTofts(Model):
    """Two compartments: plasma, and tissue that fills from it (Tofts et al. 1999)."""

    name = "etofts"
    protocol = DceProtocol
    parameters = (KEP, VE, VP, T0)
    linear = ("ve", "vp")
    derived = (KTRANS,)
    magnitude = False
    main: ClassVar[tuple[str, ...]] = ("ktrans", "kep", "ve", "vp")

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
        table = response_table(protocol)
        rates, delays = start_grid(lower, upper)
        best = np.full(signal.shape[1], np.inf)
        kep, t0 = np.full_like(best, lower[0]), np.full_like(best, lower[3])
        for rate in rates:
            projections = _project(table.evaluate(np.full(delays.size, rate), delays), signal)
            delay, misfit = _lowest(delays, _amplitudes(rate, projections, lower, upper)[2])
            better = misfit < best
            for kept, value in ((best, misfit), (kep, rate), (t0, delay)):
                np.copyto(kept, value, where=better)
        projections = _project_each(table.evaluate(kep, t0), signal)
        ktrans, vp, _ = _amplitudes(kep, projections, lower, upper)
        theta = np.stack([kep, ktrans / np.maximum(kep, TINY), vp, t0])
        return np.asarray(np.clip(theta, lower[:, None], upper[:, None]))

    def derive(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        kep, ve = theta[0], theta[1]
        by_theta = np.zeros((1, *theta.shape))
        by_theta[0, 0], by_theta[0, 1] = ve, kep
        return (kep * ve)[None], by_theta


class Tofts(ExtendedTofts):
    """Extended Tofts without a plasma term: vp is fixed at 0 (Tofts and Kermode 1991)."""

    name = "tofts"
    main = ("ktrans", "kep", "ve")
    on_request = "etofts is fitted; ask for it with --models tofts"
    parameters = (KEP, VE, replace(VP, bounds=(0.0, 0.0), training=(0.0, 0.0)), T0)


@dataclass(frozen=True)
class _Projections:
    """Inner products of tissue curve R, plasma curve P and signal S; the shapes broadcast together."""

    rr: FloatArray
    rp: FloatArray
    pp: FloatArray
    rs: FloatArray
    ps: FloatArray


def _project(atoms: Response, signal: FloatArray) -> _Projections:
    """Project every signal, (N, V), on every one of D atoms, (N, D): shapes (D, 1) and (D, V)."""
    r, p = atoms.tissue, np.broadcast_to(atoms.plasma, atoms.tissue.shape)
    rr, rp, pp = (np.einsum("nd,nd->d", x, y)[:, None] for x, y in ((r, r), (r, p), (p, p)))
    return _Projections(rr, rp, pp, r.T @ signal, p.T @ signal)


def _project_each(curves: Response, signal: FloatArray) -> _Projections:
    """Project every signal, (N, V), on its own curves, (N, V): shapes (V,)."""
    r, p = curves.tissue, np.broadcast_to(curves.plasma, curves.tissue.shape)
    pairs = ((r, r), (r, p), (p, p), (r, signal), (p, signal))
    return _Projections(*(np.einsum("nv,nv->v", x, y) for x, y in pairs))


def _amplitudes(
    kep: float | FloatArray, products: _Projections, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return feasible Ktrans and vp of fixed curves, and their squared misfit less the signal's energy.

    Least squares with vp clipped, then Ktrans for that vp, then vp for that Ktrans: exact where no limit is
    active, close to the best feasible point elsewhere.
    """
    rr, rp, pp = products.rr, products.rp, products.pp
    determinant = rr * pp - rp**2
    # curves without input, or parallel ones, leave vp undetermined: zero is the simplest choice
    scale = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=determinant > 0)
    vp = np.clip(scale * (rr * products.ps - rp * products.rs), lower[2], upper[2])
    ktrans = np.clip((products.rs - rp * vp) / np.maximum(rr, TINY), kep * lower[1], kep * upper[1])
    left = products.ps - rp * ktrans
    vp = np.clip(left / np.maximum(pp, TINY), lower[2], upper[2])
    return ktrans, vp, (rr * ktrans - 2 * products.rs) * ktrans + (pp * vp - 2 * left) * vp


def start_grid(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rates (1/min) and delays (s) that first estimates are searched among, within limits (P,)."""
    return _rates(lower[0], upper[0]), _delays(lower[3], upper[3])


def _rates(lower: float, upper: float) -> FloatArray:
    """Return the rates (1/min) that `start` tries."""
    slowest = min(max(lower, SLOWEST_START), upper)
    return np.geomspace(slowest, upper, KEP_ATOMS) if slowest < upper else np.array([upper])


def _delays(lower: float, upper: float) -> FloatArray:
    """Return the delays (s) that `start` tries: one if it is fixed, else three or more."""
    steps = max(int(np.ceil((upper - lower) / DELAY_STEP)), 2)
    return np.linspace(lower, upper, steps + 1) if lower < upper else np.array([lower])


def _lowest(grid: FloatArray, misfit: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return where misfits, (D, V), are lowest along an even grid, and how low, by a parabola, each (V,)."""
    if grid.size == 1:
        return np.broadcast_to(grid, misfit.shape[1:]), misfit[0]
    middle = np.clip(np.argmin(misfit, axis=0), 1, grid.size - 2)
    before, here, after = (np.take_along_axis(misfit, (middle + i)[None], axis=0)[0] for i in (-1, 0, 1))
    curvature, rise = before - 2 * here + after, 0.5 * (after - before)
    # a curve without minimum moves to the lower neighbour
    flat = np.where(rise > 0, -1.0, 1.0)
    shift = np.clip(np.divide(-rise, curvature, out=flat, where=curvature > 0), -1.0, 1.0)
    return grid[middle] + shift * (grid[1] - grid[0]), here + shift * (rise + 0.5 * shift * curvature)


EXTENDED_TOFTS = ExtendedTofts()
TOFTS = Tofts()
