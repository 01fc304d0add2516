"""Equation 6: parameters within their ranges against the truth, and their curve against the signal."""

from __future__ import annotations

import torch
from torch import Tensor

from bids_qmri.training.kuppens import physics
from bids_qmri.training.kuppens.curves import Batch
from bids_qmri.training.kuppens.recipe import StudyRecipe


def study_loss(recipe: StudyRecipe, coefficients: Tensor, batch: Batch) -> Tensor:
    """Return the weighted sum of both terms, averaged over curves.

    Parameters
    ----------
    recipe
        Model, ranges and weights.
    coefficients
        Outputs of a network, (V, M).
    batch
        What it read, and the truth.
    """
    inside = torch.sigmoid(coefficients)
    supervised = ((inside - batch.truth) ** 2).mean()
    curve = predicted(recipe, inside, batch.measured)
    reconstruction = ((batch.signal - curve) ** 2).mean()
    weights = recipe.loss
    return weights.supervised * supervised + weights.physics * reconstruction.float()


def predicted(recipe: StudyRecipe, inside: Tensor, measured: Tensor) -> Tensor:
    """Return the noise-free curves (V, N) of parameters (V, M) given within their ranges."""
    limits = torch.tensor(recipe.ranges, dtype=torch.float64)
    theta = limits[:, 0] + inside.double() * (limits[:, 1] - limits[:, 0])
    return physics.signal(recipe.model, theta, measured, recipe.acquisition.repetition_time)
