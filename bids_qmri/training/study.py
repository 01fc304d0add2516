"""Simulated curves of Kuppens et al. (doi:10.48550/arXiv.2412.20844): Tables 1 to 3, equations 7 to 9.

For comparison. What the available text of the study leaves open (widths of layers, repetition time, range of
the delay) is chosen by the recipes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.networks.condense import condense
from bids_qmri.estimators.networks.coverage import extremes
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import Noise, add_rician_noise
from bids_qmri.physics.protocol import Protocol, Range
from bids_qmri.physics.sampling import Fixed, Study, Varied
from bids_qmri.training.curves import Group, features_of, simulate, table1_box
from bids_qmri.training.pool import TRAINING, VALIDATION, FeatureRows, Pool, SignalRows
from bids_qmri.training.progress import progress
from bids_qmri.units import FloatArray


@dataclass(frozen=True)
class _StudyCurves:
    """So many curves to train with, and for validation, with an `snr` that is uniform within its range.

    `amplitude` is the range of that relative to the approximate one that signals are divided by.
    """

    rows: ClassVar[str] = "signals"

    count: int
    validation: int
    snr: Range
    amplitude: Range = (1.0, 1.0)

    def ranges(self, model: Model) -> tuple[Range, ...]:
        """Return Table 1 in the order of the parameters; the amplitude relative to an approximate one."""
        table = table1_box(model)
        return tuple(table.get(p.name, self.amplitude) for p in model.parameters)

    def truth(self, model: Model, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw parameters (P, V) as in Table 1, with an amplitude of 1, and signal-to-noise ratios (V,)."""
        theta = np.ones((len(model.parameters), count))
        for row, parameter, limits in zip(theta, model.parameters, self.ranges(model), strict=True):
            if parameter.name != model.amplitude:
                row[:] = rng.uniform(*limits, count)
        return theta, rng.uniform(*self.snr, count)

    def normalised(
        self, model: Model, study: Study, measured: FloatArray, signal: FloatArray, theta: FloatArray
    ) -> SignalRows:
        """Return signals (V, N) at measurements (V, N) as networks read them, with their truth."""
        scale = approximate_amplitude(model, study, signal, measured)
        limits = np.array(self.ranges(model))
        truth = theta.T.copy()
        if model.amplitude is not None:
            place = [p.name for p in model.parameters].index(model.amplitude)
            truth[:, place] = np.clip(1.0 / scale[:, 0], *self.amplitude)
        truth = (truth - limits[:, 0]) / (limits[:, 1] - limits[:, 0])
        return SignalRows.of({"measured": measured, "signal": signal / scale, "truth": truth})

    def covered(self, model: Model) -> dict[str, Any]:
        """Return what training covered of noise and limits."""
        bounds = {name: list(limits) for name, limits in table1_box(model).items()}
        return {"snr": list(self.snr), "bounds": bounds}


@dataclass(frozen=True)
class VariedCurves(_StudyCurves):
    """Curves of protocols of Table 2; `per_protocol` of each that is drawn."""

    takes: ClassVar[str] = "Varied"

    per_protocol: int = 1

    def pools(self, recipe: Any) -> tuple[Pool, Pool]:
        """Return curves for training and for tests."""
        training, test = (np.random.default_rng([recipe.seed, stream]) for stream in (TRAINING, VALIDATION))
        of_recipe = recipe.forward, recipe.protocol
        held_out = self.simulated(*of_recipe, self.validation, test)
        return self.simulated(*of_recipe, self.count, training), held_out

    def simulated(self, model: Model, study: Varied, count: int, rng: np.random.Generator) -> Pool:
        """Simulate curves, equally many of every number of measurements."""
        first, last = study.lengths
        protocols = -(-count // (self.per_protocol * (last - first + 1)))
        lengths: Iterable[int] = range(first, last + 1)
        found = {}
        for length in progress(lengths, last - first + 1, "simulating curves by length"):
            drawn = np.stack([study.draw(rng, length) for _ in range(protocols)])
            measured = np.repeat(drawn, self.per_protocol, axis=0)
            theta, snr = self.truth(model, len(measured), rng)
            clean = np.asarray(study.curve(np, theta.T, measured))
            found[length] = self.normalised(model, study, measured, _noisy(model, clean, snr, rng), theta)
        return found

    def coverage(self, model: Model, study: Varied) -> dict[str, Any]:
        """Return what training covered."""
        return {"measurements": list(study.lengths)} | self.covered(model)


@dataclass(frozen=True)
class FixedCurves(_StudyCurves):
    """Curves of one protocol."""

    takes: ClassVar[str] = "Fixed"

    def pools(self, recipe: Any) -> tuple[Pool, Pool]:
        """Return curves for training, and for tests as the application presents them to the network."""
        training, test = (np.random.default_rng([recipe.seed, stream]) for stream in (TRAINING, VALIDATION))
        model, study = recipe.forward, recipe.protocol
        rows = self.as_read(model, study, self.group(model, study, self.count, training))
        held_out = FeatureRows.of(features_of(model, self.group(model, study, self.validation, test)))
        return {rows.signal.shape[1]: rows}, {held_out.path.shape[1]: held_out}

    def group(self, model: Model, study: Fixed, count: int, rng: np.random.Generator) -> Group:
        """Simulate curves."""
        theta, snr = self.truth(model, count, rng)
        protocol = study.protocol()
        signal, sigma = simulate(model, theta, protocol, snr, rng)
        return Group(protocol, table1_box(model), theta, signal, Noise(sigma, sigma), snr)

    def as_read(self, model: Model, study: Fixed, group: Group) -> SignalRows:
        """Return curves as the network reads them in the application: repeats averaged."""
        series = condense(group.signal.T, group.protocol)
        measured = np.broadcast_to(measurements(series.protocol), series.signal.T.shape)
        return self.normalised(model, study, measured, series.signal.T, group.theta)

    def coverage(self, model: Model, study: Fixed) -> dict[str, Any]:
        """Return what training covered."""
        found = {name: list(ends) for name, ends in extremes(study.protocol()).items()}
        return found | {"fixed": []} | self.covered(model)


def measurements(protocol: Protocol) -> FloatArray:
    """Return the independent variable of a protocol, (N,), in the unit of cards."""
    return np.asarray(next(iter(protocol.values().values())))


def approximate_amplitude(
    model: Model, study: Study, signal: npt.NDArray[Any], measured: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Return what signals (V, N) are divided by, (V, 1): equation 9; 1 for concentrations."""
    if model.amplitude is None:
        return np.ones_like(signal[:, :1])
    return np.asarray(signal[:, :1] / study.first(measured[:, :1]))


def _noisy(model: Model, clean: FloatArray, snr: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Add the noise of equations 7 and 8 to signals (V, N) of amplitude 1."""
    if model.amplitude is None:
        sigma = clean.max(axis=1) / snr
        return np.asarray(clean + sigma[:, None] * rng.standard_normal(clean.shape))
    return add_rician_noise(clean, 1.0 / snr[:, None], rng)
