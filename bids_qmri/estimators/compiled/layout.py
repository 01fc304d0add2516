"""Where numbers stand: arguments of kernels, and rows of their work array. Read by kernels and by `call`.

A kernel takes the address of a list of int64: addresses of arrays of float64, then numbers.
"""

from __future__ import annotations

WIDTH = 8
"""Voxels per vector: two registers of AVX2, whose latencies then overlap."""

ARGUMENTS = (
    *("signal", "own", "weights", "told", "table", "lower", "upper", "sigma", "pull", "centre", "precision"),
    *("theta", "converged", "gradient", "curvature", "work"),
    *("voxels", "measurements", "owned", "held", "by_voxel"),
)
"""Of `minimiser`. `signal`, (V, N), and `own`, (V, owned), what each voxel's protocol tells; `told` is what
all share. `sigma` and `pull` (weight of the prior), (V,); `centre` and `precision`, (P, 1) or (P, V);
`table`, of the information; results as in `Minimum`. `held`: 1 with a prior; `by_voxel`: 1 if it has V
columns."""

START_ARGUMENTS = (
    *("signal", "own", "weights", "told", "lower", "upper", "theta", "work"),
    *("voxels", "measurements", "owned"),
)
"""Of the kernels of first estimates; `theta`, (P, V), is what they find."""

GRID_ARGUMENTS = (
    *("signal", "atoms", "offset", "quantities", "moments", "best", "work"),
    *("voxels", "measurements", "nodes", "count"),
)
"""Of `grid.moments`: signals (N, V), atoms (A, N), logarithms of prior masses (A,), quantities (count / 4,
A, 4); what is found is (count, V), and the node of greatest mass, (V,)."""

GROUP = 4
"""Sums that are made at a time: they stay in registers, and share what is read."""

CHUNK = 64
"""Nodes whose masses are in the L1 cache at a time."""

LEAST_MASS = -25.0
"""Logarithm of the mass, relative to the greatest so far, below which a node does not count."""

POSITION = {name: i for i, name in enumerate(ARGUMENTS)}
GRID_POSITION = {name: i for i, name in enumerate(GRID_ARGUMENTS)}
START_POSITION = {name: i for i, name in enumerate(START_ARGUMENTS)}


class Rows:
    """Rows of the work array of a minimiser of a number of parameters; rows of measurements come last."""

    def __init__(self, count: int) -> None:
        self._next = 0
        self.theta, self.trial, self.step = (self._take(count) for _ in range(3))
        self.scale, self.inverse, self.own_scale = (self._take(count) for _ in range(3))
        self.gradient, self.trial_gradient = (self._take(count) for _ in range(2))
        self.lower, self.upper, self.free, self.stopped = (self._take(count) for _ in range(4))
        self.centre, self.precision = (self._take(count) for _ in range(2))
        self.curvature, self.trial_curvature = (self._take(count**2) for _ in range(2))
        self.scratch = self._take(count**2 + count)
        self.cost, self.trial_cost, self.damping, self.floor, self.promise = (self._take(1) for _ in range(5))
        self.fresh, self.finished, self.passed, self.restarted, self.voxel = (self._take(1) for _ in range(5))
        self.sigma, self.pull = (self._take(1) for _ in range(2))
        self.fixed = self._next

    def _take(self, size: int) -> int:
        first = self._next
        self._next += size
        return first

    def work(self, count: int, measurements: int, owned: int) -> int:
        """Return how many rows there are in all."""
        return self.fixed + measurements * (count + 4) + owned
