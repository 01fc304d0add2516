"""Fine-tuning of anchored networks: features as in the application, physics of any model.

The same functions as `tuning_study`, which `finetune` calls by the rows of a recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.estimators.networks.features import Float32Array, make_features
from bids_qmri.estimators.networks.ncde import Ncde
from bids_qmri.estimators.posterior.box import box, boxed
from bids_qmri.physics.protocol import IntArray
from bids_qmri.training.loss import BOX_CENTRE, BOX_WIDTH
from bids_qmri.training.measured import MeasuredScan
from bids_qmri.training.physics_loss import Target, measured_loss
from bids_qmri.training.pool import Pool, Rows, make_pool
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.start import Start
from bids_qmri.units import FloatArray

STREAMS = 20, 21, 22
"""Random streams of simulations to tune with, to stop by, and to be judged by: new to every network."""


@dataclass(frozen=True)
class ReadRows(Rows):
    """What a network reads of measured voxels; position and width of the anchor, each (V, K)."""

    path: Float32Array
    context: Float32Array
    centre: Float32Array
    width: Float32Array


def least_measurements(recipe: Recipe) -> int:
    """Return how many different measurements networks of a recipe read at least."""
    return int(recipe.protocol.coverage()["measurements"][0])


def read(recipe: Recipe, scan: MeasuredScan) -> tuple[Rows, IntArray]:
    """Return what a network reads of a scan, and which of its voxels can be read."""
    found = make_features(
        recipe.forward,
        scan.signal,
        scan.protocol,
        sigma=scan.told,
        bounds=scan.bounds,
        prior=scan.prior,
    )
    arrays: dict[str, Any] = {
        "path": found.path,
        "context": found.context,
        "centre": found.centre.T,
        "width": found.width.T,
    }
    usable = np.flatnonzero(found.usable)
    return ReadRows.of(arrays).take(usable), usable


def loss(
    recipe: Recipe, network: nn.Module, rows: Any, scan: MeasuredScan, kept: IntArray, target: Target
) -> Tensor:
    """Return the physics-informed loss of what a network answers to `rows` of all measurements of `scan`."""
    model = recipe.forward
    shift, _ = network(torch.from_numpy(rows.path), torch.from_numpy(rows.context))
    centre: Any = BOX_CENTRE
    width: Any = BOX_WIDTH
    if recipe.network.anchor:
        centre, width = torch.from_numpy(rows.centre), torch.from_numpy(rows.width)
    inside = (centre + width * shift).clamp(0.0, 1.0).double()
    lower, upper = (torch.from_numpy(ends) for ends in box(model, scan.bounds))
    values = lower + inside * (upper - lower)
    theta = torch.ones((len(values), len(model.parameters)), dtype=torch.float64)
    places = boxed(model)
    theta = theta.index_copy(1, torch.tensor(places), values[:, : len(places)])
    return measured_loss(model, theta, scan.signal, scan.protocol, scan.noise, kept, target)


def simulated(recipe: Recipe, groups: int, held_out: int, processes: int) -> tuple[Pool, Pool, Pool]:
    """Return simulations to tune with, in `groups` of curves, to stop by, and to be judged by."""
    tune, stop, judge = STREAMS
    return (
        make_pool(recipe, tune, groups, processes),
        make_pool(recipe, stop, held_out, processes),
        make_pool(recipe, judge, held_out, processes),
    )


def estimate(start: Start, scan: MeasuredScan) -> dict[str, FloatArray]:
    """Return maps (V,) of a network on disk, as the application makes them."""
    told: Any = {"sigma": scan.told, "bounds": scan.bounds, "prior": scan.prior}
    return Ncde(network=start.file).fit(start.recipe.forward, scan.signal, scan.protocol, **told).maps
