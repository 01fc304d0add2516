"""Intravoxel incoherent motion (IVIM): diffusion and perfusion as two exponentials. b in s/mm^2, D in mm^2/s.

The bi-exponential signal of Le Bihan et al., doi:10.1148/radiology.168.2.3393671.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.diffusion import SAME_LOW_B, DiffusionProtocol
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.shells import GRID, cluster_shells
from bids_qmri.techniques.ivim.protocol import MANY_DIRECTIONS, PERFUSION_B, jittered_b0, most_directions
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]
Values = npt.NDArray[Any]

LARGEST_B = 1500.0
"""s/mm^2; series that go on beyond it are shells for tensors and kurtosis, unless IVIM is asked for."""

D_POINTS, DSTAR_POINTS = 32, 8
"""Grid of the first estimate: at most one voxel in 200 ends in a local minimum (7 b-values, SNR 5-40)."""


class Ivim(Model):
    """S = S0 [(1 - f) exp(-b D) + f exp(-b D*)].

    The physical bounds of D and D* do not overlap, so that the two exponentials cannot change places.
    """

    name: ClassVar[str] = "ivim"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "d",
            "D",
            "mm^2/s",
            (0.0, 0.005),
            (0.35e-3, 3e-3),
            "Diffusion coefficient of tissue.",
            # Free water of 37 degrees diffuses at 3e-3 mm^2/s; pulsation of fluid adds to it.
            prior=(0.0, 4e-3),
            typical=1e-3,
            nodes=12,
        ),
        Parameter(
            "dstar",
            "D*",
            "mm^2/s",
            (0.005, 0.2),
            (0.05, 0.1),
            "Pseudo-diffusion coefficient.",
            # From the slowest flow that is no diffusion; faster than 0.2 all signal is gone at b = 20.
            prior=(5e-3, 0.2),
            typical=0.05,
            logarithmic=True,
            nodes=8,
        ),
        Parameter(
            "f",
            "f",
            "1",
            (0.0, 1.0),
            (0.03, 0.25),
            "Perfusion fraction.",
            # Liver and kidney reach 0.4; a vessel is blood alone.
            prior=(0.0, 1.0),
            typical=0.1,
            nodes=10,
        ),
        Parameter("s0", "S0", "1", (0.0, np.inf), (0.5, 2.0), "Signal without diffusion weighting."),
    )
    amplitude: ClassVar[str | None] = "s0"
    protocol = DiffusionProtocol
    main = ("d", "dstar", "f")

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, DiffusionProtocol):
            return "no b-values"
        centres = cluster_shells(protocol.bvals)[0]
        if not centres.size:
            return GRID
        # Series with b0s at 0, 2 and 5 hold one b-value there, not three.
        distinct = 1 + int(np.sum(centres > protocol.bvals.min() + SAME_LOW_B))
        low = 1 + int(np.sum((centres > protocol.bvals.min() + SAME_LOW_B) & (centres < PERFUSION_B)))
        if distinct >= 4 and low >= 2:
            return ""
        return (
            f"{distinct} distinct b-values, {low} of them below {PERFUSION_B:g} s/mm^2; "
            "IVIM needs 4, with 2 below"
        )

    def claims(self, protocol: Protocol) -> bool:
        if not isinstance(protocol, DiffusionProtocol) or self.obstacle(protocol) or self.not_meant(protocol):
            return False
        # Low b-values beside a shell of many directions are two protocols in one: neither forbids the other.
        return most_directions(protocol) < MANY_DIRECTIONS

    def not_meant(self, protocol: Protocol) -> str:
        largest = protocol.extremes()["bvals"][1]
        if largest > LARGEST_B:
            return f"b-values go up to {largest:g} s/mm^2; ask for it with --models {self.name}"
        if isinstance(protocol, DiffusionProtocol) and jittered_b0(protocol):
            low = np.unique(np.round(protocol.bvals[protocol.b0_mask])).astype(int).tolist()
            return (
                f"b = {low} s/mm^2 are images at b = 0 with the scanner's jitter, not steps of perfusion; "
                f"ask for it with --models {self.name}"
            )
        return ""

    def signal(self, theta: FloatArray, protocol: DiffusionProtocol) -> FloatArray:
        d, dstar, f, s0 = theta
        b = protocol.bvals[:, None]
        return np.asarray(s0 * ((1.0 - f) * np.exp(-b * d) + f * np.exp(-b * dstar)))

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: DiffusionProtocol
    ) -> tuple[FloatArray, FloatArray]:
        d, dstar, f, s0 = theta
        b = protocol.bvals[:, None]
        jacobian = np.empty((4, protocol.n_measurements, d.size))
        by_d, by_dstar, by_f, by_s0 = jacobian
        slow, fast = np.exp(-b * d), np.exp(-b * dstar)
        np.multiply(s0, fast - slow, out=by_f)
        slow *= 1.0 - f
        fast *= f
        np.add(slow, fast, out=by_s0)
        np.multiply(-b * s0, slow, out=by_d)
        np.multiply(-b * s0, fast, out=by_dstar)
        return s0 * by_s0, jacobian

    def start(
        self, signal: FloatArray, protocol: DiffusionProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        """Search D and D* on a grid; f and S0 are in closed form at every grid point.

        For each D* the best D is read from a parabola through the grid, because a wrong minimum over D*
        is otherwise chosen as soon as the step in D matters more than the noise. The grid is searched in
        single precision, of signals over their largest: its steps are 10^5 times coarser.
        """
        d, dstar = start_grid(lower, upper)
        b, weights = protocol.bvals[:, None], protocol.weights[:, None]
        slow, fast, weighted = np.exp(-b * d), np.exp(-b * dstar), weights * signal
        largest = np.maximum(np.max(np.abs(signal), axis=0), np.finfo(np.float64).tiny)
        relative = (weighted / largest).astype(np.float32)
        by_slow, by_fast = slow.T.astype(np.float32) @ relative, fast.T.astype(np.float32) @ relative
        slow_slow = np.sum(weights * slow**2, axis=0)[:, None]
        slow_fast = (weights * slow).T @ fast
        fast_fast = np.sum(weights * fast**2, axis=0)
        best = np.full(signal.shape[1], -np.inf, dtype=np.float32)
        at = np.zeros((2, signal.shape[1]), dtype=np.intp)
        for k in range(dstar.size):
            products = (slow_slow, slow_fast[:, k, None], fast_fast[k])
            gain = _explained(by_slow, by_fast[k], products, lower[2], upper[2])
            top, peak = _parabolic_peak(gain)
            better = peak > best
            np.copyto(at[0], top, where=better)
            np.copyto(at[1], k, where=better)
            best = np.maximum(best, peak)
        theta = np.empty((4, signal.shape[1]))
        theta[1] = dstar[at[1]]

        def gain_at(row: npt.NDArray[np.intp]) -> FloatArray:
            products = slow_slow[row, 0], slow_fast[row, at[1]], fast_fast[at[1]]
            inner = _dot(slow[:, row], weighted), _dot(fast[:, at[1]], weighted)
            return _best_fraction(*inner, products, lower[2], upper[2])[2]

        theta[0] = _refined(at[0], d.size, gain_at)
        theta[0] = np.interp(theta[0], np.arange(d.size), d)
        slow, fast = np.exp(-b * theta[0]), np.exp(-b * theta[1])
        products = (_dot(weights * slow, slow), _dot(weights * slow, fast), _dot(weights * fast, fast))
        theta[2], theta[3], _ = _best_fraction(
            _dot(slow, weighted), _dot(fast, weighted), products, lower[2], upper[2]
        )
        return theta


IVIM = Ivim()


def start_grid(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the D and D* that first estimates are searched among, within limits (P,)."""
    d = _grid(lower[0], upper[0], D_POINTS, np.linspace)
    return d, _grid(lower[1], upper[1], DSTAR_POINTS, np.geomspace)


def _grid(lower: float, upper: float, points: int, spaced: Callable[..., FloatArray]) -> FloatArray:
    """Return points between two limits, both included; one point where they are equal."""
    return spaced(lower, upper, points) if lower < upper else np.array([lower])


def _dot(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("nv,nv->v", first, second))


def _best_fraction(
    by_slow: FloatArray,
    by_fast: FloatArray,
    products: tuple[FloatArray, FloatArray, FloatArray],
    lower: float,
    upper: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the best f within its limits, the S0 that goes with it, and the squares both explain.

    Parameters
    ----------
    by_slow, by_fast
        Inner products of the signal with either exponential.
    products
        Inner products of the exponentials: slow with slow, slow with fast, fast with fast.
    lower, upper
        Limits of f.
    """
    slow_slow, slow_fast, fast_fast = products
    slow = fast_fast * by_slow - slow_fast * by_fast
    fast = slow_slow * by_fast - slow_fast * by_slow
    total = slow + fast
    f = np.clip(fast / np.where(total > 0, total, np.inf), lower, upper)
    rest = 1.0 - f
    explained = np.maximum(rest * by_slow + f * by_fast, 0.0)
    energy = rest * rest * slow_slow + 2.0 * f * rest * slow_fast + f * f * fast_fast
    s0 = explained / energy
    return f, s0, explained * s0


def _explained(
    by_slow: Float32Array,
    by_fast: Float32Array,
    products: tuple[FloatArray, FloatArray, FloatArray],
    lower: float,
    upper: float,
) -> Float32Array:
    """Return the last of what `_best_fraction` returns, in few passes over the grid of D, (D, V)."""
    slow_slow, slow_fast, fast_fast = products
    one = np.float32
    total = by_slow * (fast_fast - slow_fast).astype(one)
    total += (slow_slow - slow_fast).astype(one) * by_fast
    np.copyto(total, one(np.inf), where=~(total > 0))
    f = slow_slow.astype(one) * by_fast
    f -= slow_fast.astype(one) * by_slow
    f /= total
    np.clip(f, one(lower), one(upper), out=f)
    explained = np.subtract(by_fast, by_slow, out=total)
    explained *= f
    explained += by_slow
    np.maximum(explained, one(0.0), out=explained)
    energy = f * (slow_slow - 2.0 * slow_fast + fast_fast).astype(one)
    energy += (2.0 * (slow_fast - slow_slow)).astype(one)
    energy *= f
    energy += slow_slow.astype(one)
    explained *= explained
    explained /= energy
    return explained


def _parabolic_peak(values: Float32Array) -> tuple[npt.NDArray[np.intp], Float32Array]:
    """Return the place of the maximum along the first axis, and the height of a parabola through it."""
    columns = np.arange(values.shape[1])
    top = np.argmax(values, axis=0)
    if len(values) < 3:
        return top, values[top, columns]
    middle = np.clip(top, 1, len(values) - 2)
    left, centre, right = (values[middle + shift, columns] for shift in (-1, 0, 1))
    height = _vertex(left, centre, right, (top - middle).astype(values.dtype))[1]
    return top, np.maximum(height, values[top, columns])


def _refined(
    top: npt.NDArray[np.intp], points: int, gain_at: Callable[[npt.NDArray[np.intp]], FloatArray]
) -> FloatArray:
    """Return the position of a maximum between grid points, in grid steps, given the gain at any of them."""
    if points < 3:
        return top.astype(np.float64)
    middle = np.clip(top, 1, points - 2)
    left, centre, right = (gain_at(middle + shift) for shift in (-1, 0, 1))
    offset, _ = _vertex(left, centre, right, (top - middle).astype(np.float64))
    # The half step beyond the ends of the grid lies outside the limits.
    return np.clip(middle + offset, 0.0, points - 1.0)


def _vertex(left: Values, centre: Values, right: Values, near: Values) -> tuple[Values, Values]:
    """Return offset from the middle, within half a step of `near`, and height of the vertex of a parabola."""
    bend, slope = left - 2 * centre + right, (right - left) / 2
    bent = bend < 0
    offset = np.where(bent, -slope / np.where(bent, bend, -1), 0).astype(centre.dtype)
    offset = np.clip(offset, near - centre.dtype.type(0.5), near + centre.dtype.type(0.5))
    return offset, centre + slope * offset + bend * offset**2 / 2
