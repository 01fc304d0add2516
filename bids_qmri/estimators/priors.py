"""Limits that estimators with a prior take unless told otherwise: what human tissue can be, at 1.5 to 7 T.

Least squares keeps to physical bounds, where a wide range costs nothing. An estimator that answers with the
middle of its range where the data say nothing (`map`, `bayes`, `ncde`) is the better the closer that range is
to the truth, and wrong where the truth lies outside. So the range is no wider than tissue, and no narrower.
"""

from __future__ import annotations

from bids_qmri.models.base import Bounds, Model

LABELS = ("map", "bayes", "ncde")
"""Estimators with a prior of their own choice."""

PRIOR: dict[str, tuple[float, float]] = {
    # Tissue full of contrast agent has some 50 ms; cerebrospinal fluid at most 4.5 s.
    "t1": (0.05, 5.0),
    # Free water of 37 degrees diffuses at 3e-3 mm^2/s; pulsation of fluid adds to it.
    "d": (0.0, 4e-3),
    # From the slowest flow that can be told from diffusion; faster than 0.2 all signal is gone at b = 20.
    "dstar": (5e-3, 0.2),
    # Liver and kidney reach 0.4; above 0.7 it is a vessel.
    "f": (0.0, 0.7),
    # 1 / kep from 12 s, a frame or two, to 100 min, longer than any scan.
    "kep": (0.01, 5.0),
    # Below 1 % there is nothing to exchange with.
    "ve": (0.01, 1.0),
    # Spleen and placenta reach 0.3; above that it is a vessel.
    "vp": (0.0, 0.3),
}
"""Limits by parameter. Amplitudes have none, their unit is the scanner's; delays count from where an arterial
input is made to start."""

LONGEST_PRIOR_DELAY = 9.0
"""Seconds that blood takes at most from the artery of the input to the tissue."""


def prior_box(model: Model, limits: Bounds | None = None) -> Bounds:
    """Return the limits of all parameters but the amplitude for an estimator with a prior.

    Parameters
    ----------
    model
        Forward model.
    limits
        What replaces the model's physical bounds; the prior is cut to these, and what they fix stays fixed.

    Examples
    --------
    >>> from bids_qmri.models.etofts import TOFTS
    >>> prior_box(TOFTS)
    {'kep': (0.01, 5.0), 've': (0.01, 1.0), 'vp': (0.0, 0.0), 't0': (0.0, 0.0)}
    """
    physical = {p.name: p.bounds for p in model.parameters if p.name != model.amplitude} | dict(limits or {})
    return {
        name: (max(low, PRIOR[name][0]), min(high, PRIOR[name][1]))
        if name in PRIOR and low < high
        else (low, high)
        for name, (low, high) in physical.items()
    }
