"""The evidence of nodes with two amounts of a concentration integrated, compiled.

The likelihood is normal in the amounts. The first is integrated in closed form, a normal density truncated
to its limits, at every node of a quadrature over the second. Called by `problem`, which says of which model.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.compiled import kernel
from bids_qmri.physics.elementary import erfcx, exp, log
from bids_qmri.units import FloatArray

BLOCK = 512
"""Nodes at a time: what they need stays in the L2 cache."""

TINY = 1e-300
ROOT_HALF, ROOT_TWO_PI = 0.7071067811865476, 2.5066282746310002


@kernel
def integrate_amounts(
    products: FloatArray,
    limits: FloatArray,
    rule: tuple[FloatArray, FloatArray],
    reach: float,
    bells: tuple[FloatArray, FloatArray],
    out: FloatArray,
) -> None:
    """Write the largest log density, the total relative to it, and means and mean squares of both amounts.

    Parameters
    ----------
    products
        Inner products of signal y, curve e of the first amount and p of the second, over the squared noise:
        yy, ye, yp, ee, ep, pp of G nodes, (6, G).
    limits
        Lower and upper of each amount, (2, 2).
    rule
        Nodes in [0, 1] and logarithms of weights of the quadrature, each (I,).
    reach
        Half width of the integral over the second amount, in standard deviations.
    bells
        Normal densities that the prior of each amount is the sum of: share over width, centre, precision.
        (P, 3), at least one, with a precision of 0 for an even prior; (R, 3), none for an even prior.
    out
        The six, (6, G).
    """
    n_parts = len(bells[0])
    n_rows = rule[0].size * n_parts
    low, width, base, z = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty((rule[0].size, BLOCK))
    density, mass = np.empty((n_rows, BLOCK)), np.empty((n_rows, BLOCK))
    mean, square = np.empty((n_rows, BLOCK)), np.empty((n_rows, BLOCK))
    for first in range(0, products.shape[1], BLOCK):
        end = min(first + BLOCK, products.shape[1])
        part = products[:, first:end].copy()
        _second_interval(part, limits, reach, low, width)
        for i in range(rule[0].size):
            _lay(low, width, rule[0][i], z[i])
            _log_density(part, z[i], rule[1][i], bells[1], base)
            for k in range(n_parts):
                row = i * n_parts + k
                _first_amount(
                    part, z[i], base, bells[0][k], limits[0], density[row], mass[row], mean[row], square[row]
                )
        found = np.empty((6, end - first))
        _summarise(density, mass, mean, square, z, n_parts, width, found)
        for k in range(6):
            for g in range(end - first):
                out[k, first + g] = found[k, g]


@kernel
def _second_interval(
    products: FloatArray, limits: FloatArray, reach: float, low: FloatArray, width: FloatArray
) -> None:
    """Write where intervals of the second amount begin and how wide they are.

    The values of the first amount that the data allow, then those of the second that go with them: nothing is
    cut off.
    """
    ye, yp, ee, ep, pp = products[1], products[2], products[3], products[4], products[5]
    lower, upper = limits[1]
    for g in range(ye.size):
        determinant = ee[g] * pp[g] - ep[g] * ep[g]
        determinant = determinant if determinant > TINY else TINY
        centre = (pp[g] * ye[g] - ep[g] * yp[g]) / determinant
        first, last = interval(centre, np.sqrt(pp[g] / determinant), limits[0, 0], limits[0, 1], reach)
        spread = 1.0 / np.sqrt(pp[g])
        a, b = interval((yp[g] - ep[g] * first) / pp[g], spread, lower, upper, reach)
        c, d = interval((yp[g] - ep[g] * last) / pp[g], spread, lower, upper, reach)
        begin, end = (a if a < c else c), (b if b > d else d)
        low[g] = begin
        width[g] = end - begin


@kernel
def interval(
    centre: float, deviation: float, lower: float, upper: float, reach: float
) -> tuple[float, float]:
    """Return the part of the limits that holds the mass of a nearly Gaussian density."""
    inside = centre if centre > lower else lower
    inside = inside if inside < upper else upper
    # beyond a limit the density decays like an exponential, the faster the farther its centre is
    half = reach * deviation / (1.0 + abs(centre - inside) / deviation * (reach / 12.0))
    begin, end = inside - half, inside + half
    return (begin if begin > lower else lower), (end if end < upper else upper)


@kernel
def _lay(low: FloatArray, width: FloatArray, x: float, z: FloatArray) -> None:
    for g in range(z.size):
        z[g] = low[g] + width[g] * x


@kernel
def _log_density(
    products: FloatArray, z: FloatArray, log_weight: float, bell: FloatArray, out: FloatArray
) -> None:
    """Write the log density of the second amount, the first being 0."""
    yy, yp, pp = products[0], products[2], products[5]
    for g in range(yy.size):
        out[g] = log_weight - 0.5 * (yy[g] - z[g] * (2.0 * yp[g] - z[g] * pp[g]))
    if len(bell) > 0:
        for g in range(yy.size):
            total = TINY
            for k in range(len(bell)):
                away = z[g] - bell[k, 1]
                total += bell[k, 0] * exp(-0.5 * bell[k, 2] * away * away)
            out[g] += log(total)


@kernel
def _first_amount(
    products: FloatArray,
    z: FloatArray,
    base: FloatArray,
    bell: FloatArray,
    limits: FloatArray,
    density: FloatArray,
    mass: FloatArray,
    mean: FloatArray,
    square: FloatArray,
) -> None:
    """Write log density at the likeliest first amount, the integral relative to it, and moments."""
    ye, ee, ep = products[1], products[3], products[4]
    lower, upper = limits
    share, expected, sharp = bell
    log_share = np.log(share)
    for g in range(ye.size):
        pull = ye[g] - ep[g] * z[g]
        both = ee[g] + sharp
        at = (pull + sharp * expected) / both
        nearest = at if at > lower else lower
        nearest = nearest if nearest < upper else upper
        away = nearest - expected
        density[g] = (
            base[g] + log_share + nearest * (pull - 0.5 * nearest * ee[g]) - 0.5 * sharp * away * away
        )
        mean[g] = at
        square[g] = 1.0 / np.sqrt(both)
    if lower == upper:
        mass[:] = 1.0
        mean[:] = lower
        square[:] = lower * lower
    else:
        truncated(lower, upper, mean[: ye.size], square[: ye.size], mass)


@kernel
def truncated(
    lower: float, upper: float, centre_to_mean: FloatArray, sd_to_square: FloatArray, mass: FloatArray
) -> None:
    """Turn centres and widths of normal densities into means and mean squares between limits.

    `mass` becomes the integral of the density's exponential, relative to the point nearest to the centre.
    """
    for g in range(centre_to_mean.size):
        centre, sd = centre_to_mean[g], sd_to_square[g]
        below, above = (lower - centre) / sd, (upper - centre) / sd
        outside = below if below > -above else -above
        outside = outside if outside > 0.0 else 0.0
        decay_below = exp(0.5 * (outside * outside - below * below))
        decay_above = exp(0.5 * (outside * outside - above * above))
        # tails beyond either limit, relative to the exponential at the nearest point
        tail_below = 0.5 * decay_below * erfcx(abs(below) * ROOT_HALF)
        tail_above = 0.5 * decay_above * erfcx(abs(above) * ROOT_HALF)
        tail_below = tail_below if below > 0.0 else -tail_below
        tail_above = tail_above if above > 0.0 else -tail_above
        share = (1.0 if outside == 0.0 else 0.0) + tail_below - tail_above
        share = share if share > TINY else TINY
        shift = (decay_below - decay_above) / (ROOT_TWO_PI * share)
        bend = (below * decay_below - above * decay_above) / (ROOT_TWO_PI * share)
        mean = centre + sd * shift
        mean = mean if mean > lower else lower
        mean = mean if mean < upper else upper
        variance = sd * sd * (1.0 + bend - shift * shift)
        centre_to_mean[g] = mean
        sd_to_square[g] = mean * mean + (variance if variance > 0.0 else 0.0)
        mass[g] = ROOT_TWO_PI * sd * share


@kernel
def _summarise(
    density: FloatArray,
    mass: FloatArray,
    mean: FloatArray,
    square: FloatArray,
    z: FloatArray,
    n_parts: int,
    width: FloatArray,
    out: FloatArray,
) -> None:
    """Write what `integrate_amounts` does of one block of nodes, (6, G)."""
    count = out.shape[1]
    top = out[0]
    for g in range(count):
        top[g] = density[0, g]
    for row in range(1, len(density)):
        _raise_top(density[row], top)
    out[1:] = 0.0
    for row in range(len(density)):
        second = z[row // n_parts]
        _add_row(density[row], mass[row], mean[row], square[row], second, top, out)
    total = out[1]
    for k in range(2, 6):
        moment = out[k]
        for g in range(count):
            moment[g] /= total[g]
    for g in range(count):
        total[g] *= width[g] if width[g] > TINY else TINY


@kernel
def _raise_top(density: FloatArray, top: FloatArray) -> None:
    for g in range(top.size):
        top[g] = density[g] if density[g] > top[g] else top[g]


@kernel
def _add_row(
    density: FloatArray,
    mass: FloatArray,
    mean: FloatArray,
    square: FloatArray,
    z: FloatArray,
    top: FloatArray,
    out: FloatArray,
) -> None:
    """Add one node of the second amount to total and moments."""
    total, first, first_square, second, second_square = out[1], out[2], out[3], out[4], out[5]
    for g in range(top.size):
        share = mass[g] * exp(density[g] - top[g])
        total[g] += share
        first[g] += share * mean[g]
        first_square[g] += share * square[g]
        second[g] += share * z[g]
        second_square[g] += share * (z[g] * z[g])
