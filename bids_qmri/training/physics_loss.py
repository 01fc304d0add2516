"""Measured signals against those that estimates predict: a loss that needs no truth.

Any model's curve can be differentiated by torch, for every model has an analytic Jacobian. What is compared
decides what is learned. Over the measurements that a network read, the noise in its answer and in the signal
are the same, and the loss is least for the answer of least squares. Over those that it did not read, the
noises are independent, and the loss is least for the answer that predicts best, which a prior makes better.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.protocol import IntArray, Protocol
from bids_qmri.units import FloatArray

Target = Literal["read", "all", "rest"]
"""Measurements that count: those that the network read, all of the voxel, or those that it did not read."""

LEAST_ERROR = 0.02
"""Error of the model over the root mean square signal, below which noise does not count as less."""

LEAST_ENERGY = 1e-30


class Curve(torch.autograd.Function):
    """Signals (V, N) of parameters (V, P) by a model's numpy, differentiated by its own Jacobian."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, model: Model, protocol: Protocol) -> Tensor:
        signal, jacobian = model.signal_and_jacobian(theta.detach().numpy().T, protocol)
        ctx.jacobian = jacobian
        return torch.from_numpy(np.ascontiguousarray(signal.T))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return torch.from_numpy(np.einsum("vn,pnv->vp", gradients[0].numpy(), ctx.jacobian)), None, None


def curve(theta: Tensor, model: Model, protocol: Protocol) -> Tensor:
    """Return noise-free signals, (V, N), of parameters, (V, P), both in double precision."""
    found: Tensor = Curve.apply(theta, model, protocol)  # type: ignore[no-untyped-call]
    return found


def expected_magnitude(clean: Tensor, floor: Tensor) -> Tensor:
    """Return the mean of Rician magnitudes, (V, N), of signals, (V, N), and a floor, (V, 1).

    Formula as in doi:10.1016/j.jmr.2006.01.016; the same as `physics.noise.rician_moments`.
    """
    x = (clean / floor) ** 2 / 4.0
    i0e, i1e = torch.special.i0e, torch.special.i1e
    mean = (1.0 + 2.0 * x) * i0e(x) + 2.0 * x * i1e(x)
    return math.sqrt(math.pi / 2.0) * floor * mean


def compared(kept: IntArray, count: int, target: Target) -> IntArray:
    """Return the numbers of the measurements that count; all where nothing is left that was not read."""
    if target == "read":
        return kept
    rest = np.setdiff1d(np.arange(count), kept)
    return rest if target == "rest" and rest.size else np.arange(count)


def predicted_signals(
    model: Model,
    theta: Tensor,
    signal: FloatArray,
    protocol: Protocol,
    noise: VoxelNoise,
    kept: IntArray,
) -> Tensor:
    """Return the signals, (V, N), that estimates predict, as magnitudes where they are measured as such.

    The amplitude is the one that fits the measurements that were read best, as in the application.

    Parameters
    ----------
    model, protocol
        What is fitted, and all that was played out, N measurements.
    theta
        Estimates, (V, P), in double precision; an amplitude is 1.
    signal, noise
        Measured, (V, N), and the noise of a single image.
    kept
        Measurements that the network read.
    """
    shape = curve(theta, model, protocol)
    if model.amplitude is None:
        return shape
    data, weights = torch.from_numpy(signal)[:, kept], torch.from_numpy(np.array(protocol.weights))[kept]
    floor = torch.from_numpy(np.array(noise.floor))[:, None]
    unbiased = (data**2 - floor**2).clamp(min=0.0).sqrt()
    weighted = weights * shape[:, kept]
    energy = (weighted * shape[:, kept]).sum(dim=1, keepdim=True).clamp(min=LEAST_ENERGY)
    predicted = (weighted * unbiased).sum(dim=1, keepdim=True) / energy * shape
    return expected_magnitude(predicted, floor) if model.magnitude and not model.signed else predicted


def measured_loss(
    model: Model,
    theta: Tensor,
    signal: FloatArray,
    protocol: Protocol,
    noise: VoxelNoise,
    kept: IntArray,
    target: Target,
) -> Tensor:
    """Return the mean squared distance of measured and predicted signals, in units of their scatter.

    Parameters as of `predicted_signals`; `target` says which measurements count.
    """
    some = compared(kept, signal.shape[1], target)
    data, weights = torch.from_numpy(signal), torch.from_numpy(np.array(protocol.weights))
    error = (data - predicted_signals(model, theta, signal, protocol, noise, kept))[:, some] ** 2
    scatter = torch.from_numpy(np.array(noise.scatter))[:, None]
    unit = scatter**2 / weights[some] + LEAST_ERROR**2 * (data**2).mean(dim=1, keepdim=True)
    return (error / unit).mean()
