"""The two networks of the study: a controlled differential equation, and perceptrons for one protocol.

Both answer with one coefficient per parameter, whose logistic function is the parameter within its range
(equation 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torchcde  # type: ignore[import-untyped]
from torch import Tensor, nn

from bids_qmri.training.kuppens.recipe import NcdeOptions
from bids_qmri.training.network import LEAST_SCALE


class ParallelHeads(nn.Module):
    """One perceptron per output, all with the same input and widths, ELU between layers.

    Parameters
    ----------
    inputs
        Length of the input.
    hidden
        Widths of the hidden layers.
    heads
        Number of outputs.
    """

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

    Parameters
    ----------
    options
        Sizes and tolerances.
    parameters
        Number M of parameters.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, options: NcdeOptions, parameters: int) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("scale", torch.ones(2))
        self.first = nn.Linear(2, options.state)
        sizes = list(pairwise([options.state, *options.field, 2 * options.state]))
        layers = [layer for i, o in sizes for layer in (nn.Linear(i, o), nn.ReLU())]
        self.field = nn.Sequential(*layers[:-1], nn.Tanh())
        self.heads = ParallelHeads(options.state, options.readout, parameters)

    def standardise(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Set the units of signals and measurements to those of examples, pairs of (V, N)."""
        points = torch.cat([torch.stack([x.ravel() for x in pair], dim=1) for pair in batches])
        self.mean.copy_(points.mean(dim=0))
        self.scale.copy_(points.std(dim=0).clamp(min=LEAST_SCALE))

    def forward(self, signal: Tensor, measured: Tensor, halvings: int) -> Tensor:
        """Return the coefficients (V, M).

        Parameters
        ----------
        signal, measured
            Normalised signals and measurements, (V, N).
        halvings
            How often the tolerances of the solver have been halved.
        """
        path = self.spline(signal, measured)
        state = torchcde.cdeint(
            X=path,
            func=self.vector_field,
            z0=self.first(path.evaluate(path.interval[0])),
            t=path.interval,
            adjoint=False,
            method="dopri5",
            atol=self.options.atol / 2**halvings,
            rtol=self.options.rtol / 2**halvings,
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
