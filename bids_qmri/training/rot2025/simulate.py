"""Signals of a scheme, simulated as the paper does: uniform parameters and directions, Rician noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.training.rot2025.recipe import OUTPUTS, SchemeRecipe
from bids_qmri.units import FloatArray

CHUNK = 4096
"""Signals that are simulated at a time."""

SIGNALS = 0
"""Random stream of parameters, directions and noise; others belong to what is done with the signals."""


@dataclass(frozen=True)
class Simulated:
    """M signals of N volumes.

    Parameters
    ----------
    signal
        Signals divided by the mean of those at b = 0, (M, N).
    truth
        Parameters in the order of `OUTPUTS`, (M, 3).
    direction
        Unit vectors of the mean fibre direction, (M, 3).
    sigma
        Standard deviation of the noise in the unit of `signal`, (M,).
    """

    signal: npt.NDArray[np.float32]
    truth: FloatArray
    direction: FloatArray
    sigma: FloatArray


def simulate(recipe: SchemeRecipe, scheme: DiffusionProtocol) -> Simulated:
    """Return the signals that a recipe trains and validates with."""
    rng = np.random.default_rng([recipe.seed, SIGNALS])
    count = recipe.signals.count
    low, high = np.array([getattr(recipe.signals, name) for name in OUTPUTS]).T
    truth = rng.uniform(low, high, (count, len(OUTPUTS)))
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    signal = np.empty((count, scheme.n_measurements), dtype=np.float32)
    sigma = np.empty(count)
    for part in chunks(count):
        noisy, s0 = _measured(recipe, scheme, truth[part], direction[part], rng)
        signal[part] = noisy / s0[:, None]
        sigma[part] = 1.0 / (recipe.signals.snr * s0)
    return Simulated(signal, truth, direction, sigma)


def chunks(count: int) -> Iterator[slice]:
    """Yield slices that cover `count` signals."""
    for first in range(0, count, CHUNK):
        yield slice(first, min(first + CHUNK, count))


def _measured(
    recipe: SchemeRecipe,
    scheme: DiffusionProtocol,
    truth: FloatArray,
    direction: FloatArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return magnitudes (V, N) of S0 = 1, and their mean at b = 0, (V,)."""
    given = dict(zip(OUTPUTS, truth.T, strict=True))
    fixed = recipe.diffusivity
    clean = noddi_signal(
        given["ndi"],
        given["odi"],
        given["fwf"],
        direction,
        scheme,
        d_par=fixed.d_par,
        d_iso=fixed.d_iso,
    )
    noisy = add_rician_noise(clean.T, 1.0 / recipe.signals.snr, rng)
    return noisy, noisy[:, scheme.b0_mask].mean(axis=1)
