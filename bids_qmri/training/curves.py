"""Groups of simulated curves: one protocol and one box each, with truths, noise levels and noisy signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_qmri.models.base import Bounds
from bids_qmri.protocol import VfaProtocol
from bids_qmri.training.boxes import fix_some, log_uniform, random_box, table1_box, uniform_truth
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.sampler import VfaRanges, sample_protocol
from bids_qmri.training.simulate import simulate
from bids_qmri.units import FloatArray


@dataclass(frozen=True)
class Group:
    """Curves of one protocol.

    Parameters
    ----------
    protocol
        What was played out, B1 included where it varies.
    box
        Limits of all parameters but the amplitude: the prior of the truths.
    theta
        True parameters, (P, V).
    signal
        Noisy signals, (V, N).
    sigma
        Noise standard deviation that estimators are told, (V,).
    snr
        True signal-to-noise ratio, (V,).
    """

    protocol: Any
    box: Bounds
    theta: FloatArray
    signal: FloatArray
    sigma: FloatArray
    snr: FloatArray


def draw_group(recipe: Recipe, rng: np.random.Generator) -> Group:
    """Draw a protocol, a box and the curves of one group as the recipe says."""
    data, model = recipe.data, recipe.forward
    protocol = sample_protocol(recipe.protocol, data.paper_share, rng)
    table1 = rng.random() < data.table1_share
    box = fix_some(table1_box(model) if table1 else random_box(recipe.boxes, rng), recipe.boxes, rng)
    ranges = recipe.protocol
    if isinstance(ranges, VfaRanges) and isinstance(protocol, VfaProtocol) and rng.random() < ranges.b1_share:
        protocol = protocol.with_b1(rng.uniform(*ranges.b1, data.curves))
    theta = uniform_truth(model, box, data.amplitude, data.curves, rng)
    snr = log_uniform(data.snr, data.curves, rng)
    signal, sigma = simulate(model, theta, protocol, snr, rng)
    error = 0.0 if rng.random() < data.sigma_exact else data.sigma_error
    told = sigma * np.exp(error * rng.standard_normal(data.curves))
    return Group(protocol, box, theta, signal, told, snr)
