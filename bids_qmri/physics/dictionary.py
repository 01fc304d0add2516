"""First estimates from a small dictionary: the signals of a coarse parameter grid of one scan.

Called by `start` of the models whose signal is proportional to an amplitude.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray


def grid(lower: float, upper: float, points: int, *, logarithmic: bool = False) -> FloatArray:
    """Return grid values at cell centres between two limits; one value where the limits are equal.

    Parameters
    ----------
    lower, upper
        Limits; a logarithmic grid spans three decades below `upper` where `lower` is smaller than that.
    points
        Number of cells.
    logarithmic
        Cells of equal ratio instead of equal width.
    """
    if lower == upper:
        return np.array([lower])
    centres = (np.arange(points) + 0.5) / points
    if logarithmic:
        lower = max(lower, 1e-3 * upper)
        return np.asarray(lower * (upper / lower) ** centres)
    return lower + (upper - lower) * centres


def nearest_atom(
    model: Model, signal: FloatArray, protocol: Protocol, grids: dict[str, FloatArray]
) -> FloatArray:
    """Return the grid point whose signal, freely scaled, is nearest to each measured signal.

    Least squares over a scale factor is the largest normalised correlation, one matrix product for all
    voxels, so this is a global search over the grid.

    Parameters
    ----------
    model
        A model with an amplitude.
    signal
        Measured signals, shape (N, V).
    protocol
        Protocol that all voxels share.
    grids
        Grid values by parameter name, for every parameter except the amplitude.

    Returns
    -------
    FloatArray
        Parameters, shape (P, V); the amplitude is the best scale factor, never negative.
    """
    names = [p.name for p in model.parameters]
    mesh = np.meshgrid(*[grids.get(name, np.ones(1)) for name in names], indexing="ij")
    theta = np.stack([axis.ravel() for axis in mesh])
    root = np.sqrt(protocol.weights)[:, None]
    atoms = root * model.signal(theta, protocol)
    norm = np.sqrt(np.sum(atoms**2, axis=0))
    correlation = (atoms / norm).T @ (root * signal)
    best = np.argmax(correlation, axis=0)
    start = theta[:, best]
    nearest = correlation[best, np.arange(signal.shape[1])]
    start[names.index(str(model.amplitude))] = np.maximum(nearest / norm[best], 0.0)
    return start
