"""Fits by kernels: arrays into their arguments, and minima out of them. Called by `classical.lm.minimise`."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from bids_qmri import catalogue
from bids_qmri.estimators.classical.minimum import Minimum, Penalty
from bids_qmri.estimators.classical.objective import (
    LeastSquares,
    Objective,
    QuickRicianLikelihood,
    RicianLikelihood,
)
from bids_qmri.estimators.compiled.layout import (
    ARGUMENTS,
    CHUNK,
    GRID_ARGUMENTS,
    GROUP,
    START_ARGUMENTS,
    WIDTH,
    Rows,
)
from bids_qmri.estimators.compiled.library import Kernel, kernel
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import information_table
from bids_qmri.physics.protocol import Measurements
from bids_qmri.units import FloatArray

NOTHING = np.zeros(1)

RESULTS = ("theta", "converged", "gradient", "curvature", "moments", "best")


def minimise(
    model: Model,
    objective: Objective,
    protocol: Measurements,
    lower: FloatArray,
    upper: FloatArray,
    prior: Penalty | None,
    start: FloatArray | None,
) -> Minimum | None:
    """Minimise as `classical.lm.minimise` does; None where there is no kernel for it."""
    kind = type(objective)
    if kind not in (LeastSquares, QuickRicianLikelihood, RicianLikelihood) or not objective.signal.size:
        return None
    if len(objective.signal) != protocol.n_measurements:
        # Kernels trust sizes; arrays say what does not fit.
        return None
    declared = _declared(model)
    if declared is None or kind.__name__ not in declared.KERNELS:
        return None
    search = kernel(f"{model.name}.{kind.__name__}")
    if search is None:
        return None
    signal = np.ascontiguousarray(objective.signal.T)
    if start is None:
        start = first_estimate(model, objective.signal, signal, protocol, lower, upper)
    told = declared.told(protocol, lower, upper), own_of(model, protocol)
    return _minimise(search, told, objective, signal, np.array(start, order="C"), (lower, upper), prior)


def _declared(model: Model) -> ModuleType | None:
    """Return what a technique says of its kernels; None if it has none, or the model is not its own."""
    declared = catalogue.module(model.name, "compiled")
    return declared if declared and type(model) is type(catalogue.get_model(model.name)) else None


def own_of(model: Model, protocol: Measurements) -> FloatArray:
    """Return what each voxel's protocol tells a kernel, (V, K) or empty."""
    own = catalogue.part(model.name, "compiled", "own")
    found = None if own is None else own(protocol)
    return np.empty((0, 0)) if found is None else found


def first_estimate(
    model: Model,
    signal: FloatArray,
    by_voxel: FloatArray,
    protocol: Measurements,
    lower: FloatArray,
    upper: FloatArray,
) -> FloatArray:
    """Return the first estimate, (P, V), of signals (N, V), given as (V, N) as well."""
    declared = _declared(model)
    found = kernel(f"{model.name}.start") if declared is not None and "start" in declared.KERNELS else None
    if declared is None or found is None:
        with np.errstate(all="ignore"):
            return model.start(signal, protocol, lower, upper)
    told, rows = declared.told_start(protocol, lower, upper)
    theta, own = np.empty((lower.size, len(by_voxel))), own_of(model, protocol)
    arrays = {
        "signal": by_voxel,
        "own": own,
        "weights": protocol.weights,
        "told": told,
        "lower": lower,
        "upper": upper,
        "theta": theta,
        "work": np.empty(WIDTH * rows),
    }
    numbers = {"voxels": len(by_voxel), "measurements": by_voxel.shape[1], "owned": own.shape[1]}
    _run(found, START_ARGUMENTS, arrays, numbers)
    return theta


def grid_moments(
    signal: FloatArray, atoms: FloatArray, offset: FloatArray, quantities: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Return sums of quantities over posterior masses on a grid, and the node of greatest mass.

    Parameters
    ----------
    signal
        Shape (N, V).
    atoms
        Signals of the nodes, shape (A, N).
    offset
        Added to the squared inner product of both: logarithm of the prior mass, shape (A,).
    quantities
        Shape (T, A).

    Returns
    -------
    Shapes (T, V) and (V,), relative to the greatest mass; None where there is no kernel for it.
    """
    search = kernel("grid.moments")
    if search is None:
        return None
    n, voxels = signal.shape
    # Both are filled up to whole groups, with nodes of no mass.
    count, nodes = (-(-size // GROUP) * GROUP for size in quantities.shape)
    grouped, masses, curves = np.zeros((count, nodes)), np.full(nodes, -np.inf), np.zeros((nodes, n))
    size = len(atoms)
    grouped[: len(quantities), :size], masses[:size], curves[:size] = quantities, offset, atoms
    moments, best = np.empty((count, voxels)), np.empty(voxels)
    arrays = {
        "signal": signal,
        "atoms": curves,
        "offset": masses,
        "quantities": grouped.reshape(-1, GROUP, nodes).transpose(0, 2, 1),
        "moments": moments,
        "best": best,
        "work": np.empty(WIDTH * (n + CHUNK + count + 2)),
    }
    numbers = {"voxels": voxels, "measurements": n, "nodes": nodes, "count": count}
    _run(search, GRID_ARGUMENTS, arrays, numbers)
    return moments[: len(quantities)], best


def _minimise(
    search: Kernel,
    given: tuple[FloatArray, FloatArray],
    objective: Objective,
    signal: FloatArray,
    theta: FloatArray,
    limits: tuple[FloatArray, FloatArray],
    prior: Penalty | None,
) -> Minimum:
    voxels, n = signal.shape
    told, own = given
    count = len(theta)
    rician = isinstance(objective, RicianLikelihood)
    weights = np.ones(n) if objective.weights is None else objective.weights[:, 0]
    converged, gradient = np.empty(voxels), np.empty_like(theta)
    curvature = np.empty((count, count, voxels))
    table = information_table() if rician else NOTHING
    arrays = {
        "signal": signal,
        "own": own,
        "weights": weights,
        "told": told,
        "table": table,
        "lower": limits[0],
        "upper": limits[1],
        "sigma": np.broadcast_to(getattr(objective, "sigma", 0.0), voxels),
        "theta": theta,
        "converged": converged,
        "gradient": gradient,
        "curvature": curvature,
        "work": np.zeros(WIDTH * Rows(count).work(count, n, own.shape[1])),
    }
    numbers = {"voxels": voxels, "measurements": n, "owned": own.shape[1]}
    if prior is not None:
        arrays |= {
            "pull": np.broadcast_to(prior.weight, voxels),
            "centre": prior.centre,
            "precision": prior.precision,
        }
        shared = prior.centre.shape[1] == 1 and prior.precision.shape[1] == 1
        shape = (count, 1 if shared else voxels)
        for name in ("centre", "precision"):
            arrays[name] = np.broadcast_to(arrays[name], shape)
        numbers |= {"held": 1, "by_voxel": 0 if shared else 1}
    _run(search, ARGUMENTS, arrays, numbers)
    return Minimum(theta, converged > 0, gradient, curvature)


def _run(
    search: Kernel, order: tuple[str, ...], arrays: dict[str, FloatArray], numbers: dict[str, int]
) -> None:
    """Call a kernel with arrays of float64 and numbers by name; what is not named is empty, or 0."""
    kept = {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in arrays.items()}
    for name in RESULTS:
        # They are written in place.
        assert name not in kept or kept[name] is arrays[name]
    given = np.array(
        [kept[name].ctypes.data if name in kept else numbers.get(name, 0) for name in order], dtype=np.int64
    )
    search(given.ctypes.data)
