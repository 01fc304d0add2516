"""The forward models in torch, every curve with a protocol of its own, for the physics term of the loss.

Signals (V, N) of parameters (V, M) in the order and units of `models`, at measurements (V, N) or (1, N) in
degrees, s/mm^2, or s after arrival of the bolus. Double precision: the arterial input is a difference of
nearly equal terms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bids_qmri.physics.arterial_input import RATA
from bids_qmri.units import SECONDS_PER_MINUTE

POLE = 1e-4
"""Distance in 1/min that rates keep from those of the input, where the closed form divides zero by zero."""


def signal(model_name: str, theta: Tensor, measured: Tensor, repetition_time: float) -> Tensor:
    """Return the noise-free signals of a model; `repetition_time`, in s, is read for VFA alone."""
    parameters, v = theta.double(), measured.double()
    if model_name == "vfa":
        return _vfa(parameters, v, repetition_time)
    return _ivim(parameters, v) if model_name == "ivim" else _etofts(parameters, v)


def _vfa(theta: Tensor, degrees: Tensor, repetition_time: float) -> Tensor:
    t1, m0 = theta.T[..., None]
    flip, e1 = torch.deg2rad(degrees), torch.exp(-repetition_time / t1)
    curves: Tensor = m0 * torch.sin(flip) * (1.0 - e1) / (1.0 - e1 * torch.cos(flip))
    return curves


def _ivim(theta: Tensor, b: Tensor) -> Tensor:
    d, dstar, f, s0 = theta.T[..., None]
    curves: Tensor = s0 * ((1.0 - f) * torch.exp(-b * d) + f * torch.exp(-b * dstar))
    return curves


def _etofts(theta: Tensor, time: Tensor) -> Tensor:
    kep, ve, vp, t0 = theta.T[..., None]
    minutes = (time - t0) / SECONDS_PER_MINUTE
    plasma, tissue = _input(minutes, None), _input(minutes, kep)
    curves: Tensor = vp * plasma + kep * ve * tissue
    return curves


def _input(t: Tensor, kep: Tensor | None) -> Tensor:
    """Return the input of Rata et al. (`models.aif.rata`), convolved with exp(-kep t) unless that is None."""
    amplitude, washout, recirculation, onset, first, slow, spread, second = RATA
    bolus = spread * _dispersed(t, first, spread, kep)
    tail = washout * _dispersed(t - onset, second, slow, kep)
    if kep is None:
        later = t - onset
        again = torch.where(
            (later >= 0) & (later <= 2 * torch.pi / second), 1 - torch.cos(second * later), 0.0
        )
    else:
        again = _decaying_cosine(t - onset, second, kep)
    return amplitude * (bolus + recirculation * again + tail)


def _dispersed(t: Tensor, m: float, rate: float, kep: Tensor | None) -> Tensor:
    """Return one raised cosine convolved with one exponential, or with two."""
    once = _decaying_cosine(t, m, torch.full_like(t[:, :1], rate))
    if kep is None:
        return once
    away = torch.where((kep - rate).abs() < POLE, rate + POLE, kep)
    return (once - _decaying_cosine(t, m, away)) / (away - rate)


def _decaying_cosine(t: Tensor, m: float, k: Tensor) -> Tensor:
    """Return 1 - cos(m t), one period of it, convolved with exp(-k t)."""
    inside = t.clamp(0.0, 2 * torch.pi / m)
    decay = torch.exp(-k * inside)
    oscillation = (k * torch.cos(m * inside) + m * torch.sin(m * inside) - k * decay) / (k**2 + m**2)
    return ((1.0 - decay) / k - oscillation) * torch.exp(-k * (t - inside).clamp(min=0.0))
