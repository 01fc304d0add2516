"""Simulated curves of random protocols within random boxes, any model: equations 7 and 8 of Kuppens et al.

Magnitudes get Rician noise of standard deviation amplitude / SNR; the noise level relative to an image
therefore depends on the protocol. Concentrations get Gaussian noise of standard deviation max(curve) / SNR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.networks.features import make_features
from bids_qmri.estimators.posterior.box import box as quantity_box
from bids_qmri.estimators.posterior.box import boxed, to_box
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, add_rician_noise
from bids_qmri.physics.prior import EVEN, Bell, Prior, quantile
from bids_qmri.physics.protocol import Protocol, Range
from bids_qmri.physics.sampling import Ranges, log_uniform
from bids_qmri.training.table import require_keys
from bids_qmri.units import FloatArray

EVEN_SHARE = 0.15
"""Of the parameters that have no bell although others have."""

LEAST_CENTRE = 0.02
"""Of the upper limit, that the bell of a logarithmic parameter is centred at, at least."""

OVERSHOOT = 0.15
"""Share by which draws of a limit overshoot either end of its range, where they are cut: ends get mass."""


@dataclass(frozen=True)
class BoxRange:
    """Where the lower and the upper limit of one parameter may lie, in its unit: a prior that networks read.

    Evenly on a scale that may be `logarithmic`. In a share `fixed` of the boxes, those of Table 1 included,
    both limits equal the lower end of `lower`.
    """

    lower: Range
    upper: Range
    logarithmic: bool = False
    fixed: float = 0.0


@dataclass(frozen=True)
class Group:
    """Curves of one protocol: noisy signals, (V, N), and true parameters, (P, V), drawn from `box`.

    `noise` and `prior` are what estimators are told, `snr` is the true signal-to-noise ratio, (V,).
    """

    protocol: Protocol
    box: Bounds
    theta: FloatArray
    signal: FloatArray
    noise: Noise
    snr: FloatArray
    prior: Prior = EVEN


@dataclass(frozen=True)
class Curves:
    """What curves are simulated.

    Parameters
    ----------
    groups, validation_groups, curves
        Protocols drawn for training and for validation, and curves of each.
    paper_share, table1_share
        Shares of the protocols that a publication prescribes, and of the boxes that are Table 1 of Kuppens et
        al. (`Parameter.training`); the others are broad.
    snr, amplitude
        Ranges of both, log-uniform per curve; the amplitude varies so that sigma does not tell it.
    sigma_error, sigma_exact
        Standard deviation of the logarithm of the error of the sigma that estimates are given, and share of
        the protocols in which there is none.
    boxes
        Where limits may lie, by parameter but the amplitude.
    bell_share, bell_width
        Share of the protocols whose truth is expected in bells within the box (`physics.prior`) instead of
        evenly, and range of the width of a bell, log-uniform: of a logarithmic parameter that of the
        logarithm, of others over the width of the box.
    scatter_share, scatter
        Share of the protocols in which images scatter more than thermal noise makes them, and range of the
        ratio, log-uniform per curve.
    """

    rows: ClassVar[str] = "features"
    takes: ClassVar[str] = "Ranges"

    groups: int
    validation_groups: int
    curves: int
    paper_share: float
    table1_share: float
    snr: Range
    amplitude: Range
    sigma_error: float
    sigma_exact: float
    boxes: Mapping[str, BoxRange]
    bell_share: float = 0.0
    bell_width: Range = (0.03, 0.5)
    scatter_share: float = 0.0
    scatter: Range = (1.0, 6.0)

    def check(self, model: Model) -> None:
        """Refuse boxes of other parameters than those of the model."""
        expected = {p.name for p in model.parameters if p.name != model.amplitude}
        require_keys(set(self.boxes), expected, expected, "data.boxes.")

    def draw(self, model: Model, ranges: Ranges, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
        """Draw a group: features and targets of its usable curves, by field of `pool.FeatureRows`."""
        return features_of(model, self.group(model, ranges, rng))

    def group(self, model: Model, ranges: Ranges, rng: np.random.Generator) -> Group:
        """Draw a protocol, a box and the curves of one group."""
        protocol: Protocol = ranges.draw(rng, self.paper_share)
        box = table1_box(model) if rng.random() < self.table1_share else random_box(self.boxes, rng)
        box = fix_some(box, self.boxes, rng)
        protocol = ranges.per_voxel(protocol, self.curves, rng)
        prior = self.bells(model, box, rng) if rng.random() < self.bell_share else EVEN
        theta = draw_truth(model, box, prior, self.amplitude, self.curves, rng)
        snr = log_uniform(self.snr, self.curves, rng)
        ratio = np.ones(self.curves)
        if rng.random() < self.scatter_share:
            ratio = log_uniform(self.scatter, self.curves, rng)
        signal, sigma = simulate(model, theta, protocol, snr, rng, ratio)
        error = 0.0 if rng.random() < self.sigma_exact else self.sigma_error
        floor, scatter = (
            level * np.exp(error * rng.standard_normal(self.curves)) for level in (sigma / ratio, sigma)
        )
        # Where nothing but thermal noise is known of, both are one number.
        told = Noise(np.where(ratio > 1.0, np.minimum(floor, scatter), scatter), scatter)
        return Group(protocol, box, theta, signal, told, snr, prior)

    def bells(self, model: Model, box: Bounds, rng: np.random.Generator) -> Prior:
        """Draw a bell for most of the parameters, somewhere in the box."""
        found = []
        for parameter in model.parameters:
            low, high = box.get(parameter.name, (0.0, 0.0))
            if low >= high or rng.random() < EVEN_SHARE:
                continue
            width = float(log_uniform(self.bell_width, 1, rng)[0])
            if parameter.logarithmic:
                centre = np.exp(rng.uniform(*np.log([max(low, high * LEAST_CENTRE), high])))
            else:
                centre, width = rng.uniform(low, high), width * (high - low)
            found.append((parameter.name, Bell(float(centre), width)))
        return Prior(tuple(found))

    def coverage(self, model: Model, ranges: Ranges) -> dict[str, Any]:
        """Return the ranges of protocols, noise and boxes that training covered, in the units of cards."""
        return {
            **ranges.coverage(),
            "snr": list(self.snr),
            "fixed": [name for name, span in self.boxes.items() if span.fixed > 0],
            "bounds": {name: [span.lower[0], span.upper[1]] for name, span in self.boxes.items()},
        }


def features_of(model: Model, group: Group) -> dict[str, npt.NDArray[Any]]:
    """Return features and targets of the usable curves of a group, by field of `pool.FeatureRows`."""
    read = make_features(
        model, group.signal, group.protocol, sigma=group.noise, bounds=group.box, prior=group.prior
    )
    truth, free = targets(model, group.theta, group.box)
    found: dict[str, npt.NDArray[Any]]
    found = {"path": read.path, "context": read.context, "centre": read.centre.T, "width": read.width.T}
    found |= {"truth": truth.T, "free": np.broadcast_to(free, truth.T.shape), "snr": group.snr}
    return {name: values[read.usable] for name, values in found.items()}


def simulate(
    model: Model,
    theta: FloatArray,
    protocol: Protocol,
    snr: FloatArray,
    rng: np.random.Generator,
    scatter: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return noisy signals (V, N) and the standard deviation of the scatter of a single image (V,).

    Parameters
    ----------
    model, protocol
        Forward model, and what is played out; its weights are numbers of images averaged.
    theta, snr
        True parameters, (P, V), and signal-to-noise ratios, (V,).
    rng
        Source of the noise.
    scatter
        Scatter of magnitudes over their thermal noise, (V,); None: nothing else scatters.
    """
    clean = model.signal(theta, protocol)
    if model.amplitude is None:
        sigma = clean.max(axis=0) / snr
        noise = rng.standard_normal(clean.shape) / np.sqrt(protocol.weights)[:, None]
        return np.ascontiguousarray((clean + sigma * noise).T), sigma
    sigma = theta[[p.name for p in model.parameters].index(model.amplitude)] / snr
    floor = sigma if scatter is None else sigma / scatter
    return np.ascontiguousarray(_mean_magnitude(clean, floor, sigma, protocol.weights, rng).T), sigma


def _mean_magnitude(
    clean: FloatArray, floor: FloatArray, scatter: FloatArray, images: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Average as many noisy magnitudes of every measurement as `images` says, (N,).

    What scatters beside thermal noise changes the signal by a share that is the same at all strengths.
    """
    total = np.zeros_like(clean)
    moving = np.sqrt(np.maximum(scatter**2 - floor**2, 0.0))
    typical = np.sqrt(np.mean(clean**2, axis=0))
    for image in range(int(images.max())):
        rows = images > image
        moved = clean[rows]
        if np.any(moving > 0):
            moved = np.abs(moved * (1.0 + moving / typical * rng.standard_normal(moved.shape)))
        total[rows] += add_rician_noise(moved, floor, rng)
    return np.asarray(total / images[:, None])


def table1_box(model: Model) -> Bounds:
    """Return the ranges of Table 1 of Kuppens et al., for all parameters but the amplitude."""
    return {p.name: p.training for p in model.parameters if p.name != model.amplitude}


def random_box(ranges: Mapping[str, BoxRange], rng: np.random.Generator) -> Bounds:
    """Draw limits of every parameter named in `ranges`."""
    return {
        name: (_between(span.lower, span.logarithmic, rng), _between(span.upper, span.logarithmic, rng))
        for name, span in ranges.items()
    }


def fix_some(box: Bounds, ranges: Mapping[str, BoxRange], rng: np.random.Generator) -> Bounds:
    """Return a box in which parameters are fixed as often as `ranges` say."""
    return {
        name: (span.lower[0], span.lower[0]) if rng.random() < span.fixed else box[name]
        for name, span in ranges.items()
    }


def _between(ends: Range, logarithmic: bool, rng: np.random.Generator) -> float:
    position = float(np.clip(rng.uniform(-OVERSHOOT, 1.0 + OVERSHOOT), 0.0, 1.0))
    if logarithmic:
        return float(ends[0] * (ends[1] / ends[0]) ** position)
    return ends[0] + (ends[1] - ends[0]) * position


def draw_truth(
    model: Model, box: Bounds, prior: Prior, amplitude: Range, count: int, rng: np.random.Generator
) -> FloatArray:
    """Draw parameters from a prior in a box, shape (P, V); amplitudes evenly on a logarithmic scale."""
    theta = np.empty((len(model.parameters), count))
    for row, parameter in zip(theta, model.parameters, strict=True):
        if parameter.name == model.amplitude:
            row[:] = log_uniform(amplitude, count, rng)
        else:
            row[:] = quantile(prior, parameter, rng.random(count), *box[parameter.name])
    return theta


def targets(model: Model, theta: FloatArray, box: Bounds) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the quantities of true parameters in box units, (K, V), and which of them are free, (K,)."""
    lower, upper = quantity_box(model, box)
    values = np.concatenate([theta[boxed(model)], model.derive(theta)[0]])
    return to_box(values, lower, upper), lower < upper
