"""Simulated curves of random protocols within random boxes, any model: equations 7 and 8 of Kuppens et al.

Magnitudes get Rician noise of standard deviation amplitude / SNR; the noise level relative to an image therefore
depends on the protocol. Concentrations get Gaussian noise of standard deviation max(curve) / SNR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.networks.features import make_features
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.protocol import Range
from bids_qmri.physics.sampling import Ranges, log_uniform
from bids_qmri.training.boxes import BoxRange, fix_some, random_box, table1_box, targets, uniform_truth
from bids_qmri.training.table import require_keys
from bids_qmri.units import FloatArray


@dataclass(frozen=True)
class Group:
    """Curves of one protocol.

    Parameters
    ----------
    protocol
        What was played out, with what differs between voxels.
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


@dataclass(frozen=True)
class Curves:
    """What curves are simulated.

    Parameters
    ----------
    groups, validation_groups
        Protocols drawn for training and for validation.
    curves
        Curves per protocol.
    paper_share
        Share of the protocols that a publication prescribes; the others are broad.
    table1_share
        Share of the boxes that are Table 1 of Kuppens et al.: `Parameter.training`; the others are random.
    snr
        Range of the signal-to-noise ratio, log-uniform per curve.
    amplitude
        Range of the amplitude, log-uniform per curve; keeps sigma from telling it.
    sigma_error
        Standard deviation of the logarithm of the error of the sigma that estimates are given.
    sigma_exact
        Share of the protocols in which that sigma is exact.
    boxes
        Where limits may lie, by parameter but the amplitude.
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

    def check(self, model: Model) -> None:
        """Refuse boxes of other parameters than those of the model."""
        expected = {p.name for p in model.parameters if p.name != model.amplitude}
        require_keys(set(self.boxes), expected, expected, "data.boxes.")

    def draw(self, model: Model, ranges: Ranges, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
        """Draw a group: features and targets of its usable curves, by field of `pool.FeatureRows`."""
        return features_of(model, self.group(model, ranges, rng))

    def group(self, model: Model, ranges: Ranges, rng: np.random.Generator) -> Group:
        """Draw a protocol, a box and the curves of one group."""
        protocol: Any = ranges.draw(rng, self.paper_share)
        box = table1_box(model) if rng.random() < self.table1_share else random_box(self.boxes, rng)
        box = fix_some(box, self.boxes, rng)
        protocol = ranges.per_voxel(protocol, self.curves, rng)
        theta = uniform_truth(model, box, self.amplitude, self.curves, rng)
        snr = log_uniform(self.snr, self.curves, rng)
        signal, sigma = simulate(model, theta, protocol, snr, rng)
        error = 0.0 if rng.random() < self.sigma_exact else self.sigma_error
        told = sigma * np.exp(error * rng.standard_normal(self.curves))
        return Group(protocol, box, theta, signal, told, snr)

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
    found = make_features(model, group.signal, group.protocol, sigma=group.sigma, bounds=group.box)
    truth, free = targets(model, group.theta, group.box)
    return {
        name: values[found.usable]
        for name, values in {
            "path": found.path,
            "context": found.context,
            "center": found.center.T,
            "width": found.width.T,
            "truth": truth.T,
            "free": np.broadcast_to(free, truth.T.shape),
            "snr": group.snr,
        }.items()
    }


def simulate(
    model: Model, theta: FloatArray, protocol: Any, snr: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return noisy signals (V, N) and the noise standard deviation of a single image (V,).

    Parameters
    ----------
    model
        Forward model.
    theta
        True parameters, shape (P, V).
    protocol
        What is played out; its weights are numbers of images averaged.
    snr
        Signal-to-noise ratio of every curve, (V,).
    rng
        Source of the noise.
    """
    clean = model.signal(theta, protocol)
    if model.amplitude is None:
        sigma = clean.max(axis=0) / snr
        noise = rng.standard_normal(clean.shape) / np.sqrt(protocol.weights)[:, None]
        return np.ascontiguousarray((clean + sigma * noise).T), sigma
    sigma = theta[[p.name for p in model.parameters].index(model.amplitude)] / snr
    return np.ascontiguousarray(_mean_magnitude(clean, sigma, protocol.weights, rng).T), sigma


def _mean_magnitude(
    clean: FloatArray, sigma: FloatArray, images: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Average as many noisy magnitudes of every measurement as `images` says, (N,)."""
    total = np.zeros_like(clean)
    for image in range(int(images.max())):
        rows = images > image
        total[rows] += add_rician_noise(clean[rows], sigma, rng)
    return np.asarray(total / images[:, None])
