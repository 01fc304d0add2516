"""The controlled differential equation of Kuppens et al.: a spline through the measurements, adaptive solver.

It answers with one coefficient per parameter, whose logistic function is the parameter within its range
(equation 5). It is not exported to ONNX: a network belongs to the solver that it was trained with, and an
adaptive one lets the result of a voxel depend, within the tolerance, on those computed with it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torchcde  # type: ignore[import-untyped]
from torch import Tensor, nn

from bids_qmri.training.anchored import LEAST_SCALE
from bids_qmri.training.loss import study_loss
from bids_qmri.training.parts import Spline
from bids_qmri.training.pool import Pool, SignalRows
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.schedules import halvings
from bids_qmri.training.validate import digits

ENDING = "-weights.npz"

TEST_BATCH = 1024
"""Curves that the solver follows at a time when a network is tested."""


class ParallelHeads(nn.Module):
    """One perceptron per output, all with the same inputs and widths of hidden layers, ELU between layers."""

    def __init__(self, inputs: int, hidden: Sequence[int], heads: int) -> None:
        super().__init__()
        sizes = list(pairwise([inputs, *hidden, 1]))
        self.weights = nn.ParameterList(_uniform(heads, i, o, inputs=i) for i, o in sizes)
        self.biases = nn.ParameterList(_uniform(heads, 1, o, inputs=i) for i, o in sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (V, M) of inputs (V, I)."""
        y = x.expand(len(self.weights[0]), -1, -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = torch.baddbmm(bias, nn.functional.elu(y) if i else y, weight)
        return y[..., 0].T


def _uniform(*shape: int, inputs: int) -> nn.Parameter:
    """Return weights as `nn.Linear` begins with."""
    return nn.Parameter((2.0 * torch.rand(shape) - 1.0) / math.sqrt(inputs))


class StudyNcde(nn.Module):
    """Natural cubic spline through (signal, measurement), adaptive solver, one head per parameter.

    The solver chooses its steps for all curves of a batch together: the result for a curve depends on
    the others by as much as the tolerance.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, options: Spline, parameters: int) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("scale", torch.ones(2))
        self.first = nn.Linear(2, options.state)
        sizes = list(pairwise([options.state, *options.field, 2 * options.state]))
        layers = [layer for i, o in sizes for layer in (nn.Linear(i, o), nn.ReLU())]
        self.field = nn.Sequential(*layers[:-1], nn.Tanh())
        self.heads = ParallelHeads(options.state, options.readout, parameters)

    def forward(self, signal: Tensor, measured: Tensor, halved: int) -> Tensor:
        """Return the coefficients (V, P) of normalised signals and measurements, (V, N).

        The tolerances of the solver have been halved so many times.
        """
        path = self.spline(signal, measured)
        state = torchcde.cdeint(
            X=path,
            func=self.vector_field,
            z0=self.first(path.evaluate(path.interval[0])),
            t=path.interval,
            adjoint=False,
            method="dopri5",
            atol=self.options.atol / 2**halved,
            rtol=self.options.rtol / 2**halved,
        )
        answer: Tensor = self.heads(state[:, -1])
        return answer

    def spline(self, signal: Tensor, measured: Tensor) -> torchcde.CubicSpline:
        """Return the path through the measurements, at 0, 1, 2, ... of its own time."""
        points = (torch.stack([signal, measured.expand_as(signal)], dim=2) - self.mean) / self.scale
        return torchcde.CubicSpline(torchcde.natural_cubic_coeffs(points))

    def vector_field(self, _: Tensor, state: Tensor) -> Tensor:
        """Return f of states (V, H), shape (V, H, 2)."""
        slope: Tensor = self.field(state)
        return slope.reshape(-1, self.options.state, 2)


def build(recipe: Recipe, pool: Pool) -> StudyNcde:
    """Return an untrained network whose inputs are scaled to those of a pool."""
    network = StudyNcde(recipe.network, len(recipe.forward.parameters))
    pairs = [(rows.signal.ravel(), rows.measured.ravel()) for rows in map(tensors, pool.values())]
    points = torch.cat([torch.stack(pair, dim=1) for pair in pairs])
    network.mean.copy_(points.mean(dim=0))
    network.scale.copy_(points.std(dim=0).clamp(min=LEAST_SCALE))
    return network


def tensors(rows: SignalRows) -> Any:
    """Return rows whose fields are tensors."""
    return SignalRows(*(torch.from_numpy(x) for x in (rows.signal, rows.measured, rows.truth)))  # type: ignore[arg-type]


def loss(recipe: Recipe, steps: int) -> Callable[[nn.Module, SignalRows, int], Tensor]:
    """Return what a network of a recipe is trained to lower, by network, rows and step of `steps`."""

    def of_rows(network: nn.Module, rows: SignalRows, step: int) -> Tensor:
        batch = tensors(rows)
        halved = halvings(recipe.network.halved, step, steps)
        return study_loss(recipe, network(batch.signal, batch.measured, halved), batch)

    return of_rows


def accuracy(recipe: Recipe, network: nn.Module, held_out: Pool) -> dict[str, Any]:
    """Return mean squared errors on unseen curves, over those of the middle of the range, by parameter."""
    errors, prior = [], []
    with torch.inference_mode():
        for rows in held_out.values():
            for part in rows.parts(TEST_BATCH):
                batch = tensors(part)
                inside = torch.sigmoid(network(batch.signal, batch.measured, len(recipe.network.halved)))
                errors.append((inside - batch.truth) ** 2)
                prior.append((0.5 - batch.truth) ** 2)
    ratio = torch.cat(errors).mean(dim=0) / torch.cat(prior).mean(dim=0)
    names = [p.name for p in recipe.forward.parameters]
    return {n: {"mse_over_prior": digits(value)} for n, value in zip(names, ratio.tolist(), strict=True)}


def fields(recipe: Recipe) -> dict[str, Any]:
    """Return what the card says of networks of this kind."""
    return {"quantities": [p.name for p in recipe.forward.parameters]}


def content(_: Recipe, network: nn.Module, card: Mapping[str, Any]) -> bytes:
    """Return the weights as the bytes of a .npz file."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {name: value.numpy() for name, value in network.state_dict().items()}
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()
