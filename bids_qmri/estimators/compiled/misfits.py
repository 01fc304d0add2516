"""Misfits of `classical.objective` over lanes. Source of kernels.

Each takes signal, prediction and sigma, and the table of the information; it returns cost, score and
curvature of one measurement.
"""

from __future__ import annotations

from typing import Any

from bids_qmri.estimators.compiled.bessel import bessel_ratio_and_log, information
from bids_qmri.estimators.compiled.functions import inline, log
from bids_qmri.estimators.compiled.lanes import spread, sqrt


@inline
def least_squares(signal: Any, prediction: Any, sigma: Any, table: Any) -> Any:
    """Return those of `LeastSquares`."""
    difference = signal - prediction
    return difference * difference, difference, spread(1.0)


@inline
def quick_rician(signal: Any, prediction: Any, sigma: Any, table: Any) -> Any:
    """Return those of `QuickRicianLikelihood`."""
    variance = sigma * sigma
    inverse = 1.0 / variance
    argument = signal * (prediction * inverse)
    root = sqrt(argument * argument + 2.25)
    divisor = root + 0.5
    power = prediction * prediction
    cost = power + signal * signal - variance * (2.0 * root - log(divisor))
    score = signal * (argument / divisor) - prediction
    relative = power * inverse
    return cost, score, relative / (0.5 + sqrt(relative * relative + 0.25))


@inline
def rician(signal: Any, prediction: Any, sigma: Any, table: Any) -> Any:
    """Return those of `RicianLikelihood`."""
    variance = sigma * sigma
    argument = signal * prediction / variance
    ratio, log_i0 = bessel_ratio_and_log(argument)
    cost = prediction * prediction - 2.0 * variance * log_i0 + signal * signal
    return cost, signal * ratio - prediction, information(prediction / sigma, table)


MISFITS = {"LeastSquares": least_squares, "QuickRicianLikelihood": quick_rician, "RicianLikelihood": rician}
"""By the name of the class of the objective."""
