"""The quantities that networks estimate, and the box that their limits span.

The K quantities of a model are its parameters without the amplitude, then its derived ones. In box units a
value is 0 at its lower limit and 1 at its upper limit; a quantity with equal limits is fixed, at 0.5.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray


def boxed(model: Model) -> list[int]:
    """Return the places in theta of all parameters but the amplitude."""
    return [i for i, p in enumerate(model.parameters) if p.name != model.amplitude]


def quantities(model: Model) -> tuple[str, ...]:
    """Return the names of the K quantities.

    Examples
    --------
    >>> from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
    >>> quantities(EXTENDED_TOFTS)
    ('kep', 've', 'vp', 't0', 'ktrans')
    """
    return (*(model.parameters[i].name for i in boxed(model)), *(p.name for p in model.derived))


def box(model: Model, bounds: Bounds | None = None) -> tuple[FloatArray, FloatArray]:
    """Return the limits of the K quantities, each (K,); a derived one reaches from corner to corner.

    Raises
    ------
    ValueError
        If a limit of a parameter other than the amplitude is infinite.
    """
    return box_of(model, *model.limits(bounds))


def box_of(model: Model, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the limits of the K quantities, each (K,), from those of the parameters, each (P,)."""
    corners = []
    for corner in (lower, upper):
        finite = np.where(np.isfinite(corner), corner, 1.0)[:, None]
        corners.append(np.concatenate([corner[boxed(model)], model.derive(finite)[0][:, 0]]))
    if not np.all(np.isfinite(corners)):
        raise ValueError(f"limits of {model.name} are not finite: {corners}")
    # A derived quantity may fall where its parameter rises.
    return np.minimum(*corners), np.maximum(*corners)


def to_box(values: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return values (K, V) in box units."""
    width = (upper - lower)[:, None]
    inside = (values - lower[:, None]) / np.where(width > 0, width, 1.0)
    return np.where(width > 0, inside, 0.5)


def from_box(
    model: Model, units: FloatArray, signal: FloatArray, protocol: Protocol, bounds: Bounds | None = None
) -> dict[str, FloatArray]:
    """Return the maps that estimates in box units mean.

    Parameters
    ----------
    model
        Forward model.
    units
        The K quantities in box units, shape (K, V).
    signal
        Measured signals, shape (V, N).
    protocol
        What was played out.
    bounds
        Limits that replace the model's physical ones.

    Returns
    -------
    dict
        Maps (V,) of the quantities, and of the amplitude that fits their curve best.
    """
    lower, upper = box(model, bounds)
    values = lower[:, None] + (upper - lower)[:, None] * units
    maps = dict(zip(quantities(model), values, strict=True))
    if model.amplitude is not None:
        theta = np.array([maps.get(p.name, np.ones(values.shape[1])) for p in model.parameters])
        curve = model.signal(theta, protocol)
        weighted = protocol.weights[:, None] * curve
        energy = np.einsum("nv,nv->v", weighted, curve)
        product = np.einsum("nv,vn->v", weighted, signal)
        maps[model.amplitude] = np.maximum(product, 0.0) / np.where(energy > 0, energy, np.inf)
    return maps


def sd_from_box(model: Model, units: FloatArray, bounds: Bounds | None = None) -> dict[str, FloatArray]:
    """Return maps (V,) of standard deviations given in box units (K, V); NaN for a fixed quantity."""
    lower, upper = box(model, bounds)
    width = np.where(upper > lower, upper - lower, np.nan)
    return dict(zip(quantities(model), width[:, None] * units, strict=True))
