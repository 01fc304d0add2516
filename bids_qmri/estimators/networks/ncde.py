"""Networks that correct a fit: neural controlled differential equations, and others of the same inputs.

The features of a voxel (`features`) hold an anchor, the maximum of its posterior. A network answers with how
far the truth lies from there and with its own uncertainty, both in units of the anchor's standard deviation,
within the limits that it is told. Controlled differential equations: Kidger et al. 2020, arXiv:2005.08926;
for quantitative MRI: Kuppens et al., doi:10.48550/arXiv.2412.20844.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.estimators.classical.asymptotic import checked_signal
from bids_qmri.estimators.classical.noise import residual_sigma, voxel_noise
from bids_qmri.estimators.networks.coverage import (
    box_of,
    outside,
    require_length,
    require_same,
    voxels_outside,
)
from bids_qmri.estimators.networks.features import Features, make_features
from bids_qmri.estimators.networks.network_file import (
    Network,
    kind_of_card,
    load_network,
    read_card,
    require_shipped_network,
)
from bids_qmri.estimators.posterior.box import box, boxed, quantities
from bids_qmri.estimators.threads import in_threads
from bids_qmri.physics.limits import BOUND_TOLERANCE
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.prior import EVEN, Prior, moments
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

BLOCK_VOXELS = 4096
"""Voxels per block: their features stay in the cache, and the threads share out the blocks."""

DOUBT, FAR = 1.5, 2.5
"""Standard deviations from the mean of the prior at which an even one is asked; and, its own standard
deviation included, believed."""

BOX_ANCHOR = 0.5, 0.29
"""Position and width in box units where a network has no fit to start from: those of a uniform density."""


@dataclass(frozen=True)
class _Estimate:
    """Of some voxels: quantities and their standard deviations, (K, V); the others are (V,)."""

    values: FloatArray
    sd: FloatArray
    amplitude: FloatArray
    residual: FloatArray
    status: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Ncde(Estimator):
    """A network that corrects the maximum of the posterior, for any protocol.

    Derived quantities are estimates of their own. The amplitude is the one that fits best, without standard
    deviation. Status OUT_OF_RANGE where the network was not trained for the protocol, the limits or the
    noise, which `notes` says in words where it concerns all voxels. Without a noise level, one is estimated
    for all the voxels given from magnitudes, and one per voxel from its least-squares residuals for
    concentrations.

    Parameters
    ----------
    network
        Its file; None takes the one that comes with the package.
    threads
        Blocks of voxels that are computed at a time.
    """

    label = "ncde"
    description = (
        "Neural controlled differential equation over the measurements, trained on simulated signals of "
        "many protocols, that corrects the maximum of the posterior within bounds; standard deviations by "
        "the same network."
    )
    reference = "Kuppens et al. 2024, doi:10.48550/arXiv.2412.20844"
    needs_noise = True
    has_prior = True

    network: Path | None = None
    threads: int = 1

    def network_file(self, model: Model) -> Path:
        return self.network or require_shipped_network(model.name)

    def limits(self, model: Model, given: Bounds, asked: Bounds) -> Bounds:
        prior = dict(super().limits(model, given, {}))
        if self.network is not None:
            # One's own network may know less than all that tissue can be.
            prior = cut_to(prior, read_card(self.network)["coverage"].get("bounds", {}))
        return super().limits(model, prior, asked)

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        loaded = load_network(self.network_file(model), model)
        problems = self.untrained(model, protocol, bounds)
        data, usable = checked_signal(model, signal, protocol)
        told = _noise(model, data, protocol, usable, noise, bounds)
        work = partial(_estimate, loaded, model, data, protocol, told, bounds, prior)
        parts = list(in_threads(work, _blocks(len(data)), self.threads))
        name = loaded.card["name"]
        return _result(
            model, parts, [f"outside what the network {name} was trained for: {p}" for p in problems]
        )

    def untrained(self, model: Model, protocol: Protocol, bounds: Bounds | None = None) -> list[str]:
        card = load_network(self.network_file(model), model).card
        if kind_of_card(card) == "protocol":
            require_same(str(card["name"]), card["protocol"], protocol)
        require_length(str(card["name"]), card["coverage"], protocol)
        return outside(card["coverage"], protocol, box_of(model, *model.limits(bounds)))


@dataclass(frozen=True)
class Mlp(Ncde):
    """A network for one protocol: like `Ncde`, and it knows no limits but those of its training.

    Parameters
    ----------
    network
        Its file.
    """

    label = "mlp"
    description = (
        "Neural network for one protocol, trained on simulated signals of it; standard deviations by the "
        "same network."
    )
    has_prior = False
    needs_file = True

    def network_file(self, model: Model) -> Path:
        if self.network is None:
            raise InputError(
                "no network is given",
                field="network",
                needed="the file of a network for this protocol",
                fix=f"train one (bids_qmri-train --list), and give it by --network, or use {Ncde.label}",
            )
        return self.network

    def limits(self, model: Model, given: Bounds, asked: Bounds) -> Bounds:
        trained = read_card(self.network_file(model))["coverage"]["bounds"]
        own = {name: (low, high) for name, (low, high) in trained.items()}
        return Estimator.limits(self, model, dict(given) | own, asked)


def cut_to(limits: Bounds, trained: Bounds) -> dict[str, tuple[float, float]]:
    """Return limits within those of a training; what is fixed, or lies outside altogether, stays."""
    found = dict(limits)
    for name, (low, high) in limits.items():
        least, most = trained.get(name, (low, high))
        if low < high and max(low, least) < min(high, most):
            found[name] = max(low, least), min(high, most)
    return found


def _noise(
    model: Model,
    data: FloatArray,
    protocol: Protocol,
    usable: npt.NDArray[np.bool_],
    noise: Noise | None,
    bounds: Bounds | None,
) -> VoxelNoise:
    """Return the noise of a single image: one for the scan, or of each voxel for concentrations."""
    if noise is not None or model.amplitude is not None:
        return voxel_noise(model, data, protocol, usable, noise, bounds)
    return VoxelNoise.thermal(residual_sigma(model, data, protocol, bounds=bounds))


def _blocks(n_voxels: int) -> Iterator[slice]:
    """Yield slices that cover all voxels, one at least."""
    for first in range(0, max(n_voxels, 1), BLOCK_VOXELS):
        yield slice(first, min(first + BLOCK_VOXELS, n_voxels))


def _estimate(
    network: Network,
    model: Model,
    data: FloatArray,
    protocol: Protocol,
    told: VoxelNoise,
    bounds: Bounds | None,
    prior: Prior,
    voxels: slice,
) -> _Estimate:
    """Return the estimates of a block of voxels."""
    signal, noise, part = data[voxels], told.take(voxels), protocol.take(voxels)
    limits = box(model, bounds)
    ask = partial(_ask, network, model, bounds)
    usable, inside, spread = ask(prior, signal, part, noise)
    if prior.bells:
        inside, spread = _without_contradicted(
            ask, model, bounds, prior, (signal, part, noise), inside, spread
        )
    span = limits[1] - limits[0]
    values = limits[0][:, None] + span[:, None] * inside
    sd = np.where(span > 0, span, np.nan)[:, None] * spread
    with np.errstate(all="ignore"):
        amplitude, curve = _curve(model, values, signal.T, part, noise.floor)
        residual = np.sqrt(np.mean((signal.T - curve) ** 2, axis=0))
        snr = (np.max(curve, axis=0) if model.amplitude is None else amplitude) / noise.scatter
    free = span[: len(boxed(model)), None] > 0
    fitted = inside[: len(free)]
    touched = np.any(free & (np.abs(fitted - 0.5) >= 0.5 - BOUND_TOLERANCE), axis=0)
    status = np.where(touched, Status.AT_BOUND, Status.OK).astype(np.uint8)
    status[voxels_outside(network.card["coverage"], part, snr)] = Status.OUT_OF_RANGE
    # What the network does not answer with finite numbers is no estimate, of whichever quantity.
    failed = ~usable | ~np.isfinite(residual) | ~np.all(np.isfinite(inside) & np.isfinite(spread), axis=0)
    status[failed] = Status.UNUSABLE
    for array in (values, sd, amplitude, residual):
        array[..., failed] = np.nan
    return _Estimate(values, sd, amplitude, residual, status)


Ask = Callable[
    [Prior, FloatArray, Protocol, VoxelNoise], tuple[npt.NDArray[np.bool_], FloatArray, FloatArray]
]
"""Takes a prior, signals, their protocol and noise; returns usable voxels and what `_answer` does."""


def _ask(
    network: Network,
    model: Model,
    bounds: Bounds | None,
    prior: Prior,
    signal: FloatArray,
    protocol: Protocol,
    noise: VoxelNoise,
) -> tuple[npt.NDArray[np.bool_], FloatArray, FloatArray]:
    given = Noise(noise.floor, noise.scatter)
    features = make_features(model, signal, protocol, sigma=given, bounds=bounds, prior=prior)
    return features.usable, *_answer(network, features)


def _without_contradicted(
    ask: Ask,
    model: Model,
    bounds: Bounds | None,
    prior: Prior,
    given: tuple[FloatArray, Protocol, VoxelNoise],
    inside: FloatArray,
    spread: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return answers in which parameters that the data put far outside their bells are expected evenly.

    A maximum under a Gaussian stands in for a bell, whose tails it has not. Where the answer lies far out, an
    even prior is asked; what lies far out under that as well has its bell taken away.
    """
    lower, upper = model.limits(bounds)
    names = [model.parameters[i].name for i in boxed(model)]
    mean, sd = (x[boxed(model)] for x in moments(prior, model, tuple(lower), tuple(upper)))
    width = np.where(upper > lower, upper - lower, np.inf)[boxed(model)]
    mean, sd = ((mean - lower[boxed(model)]) / width)[:, None], (sd / width)[:, None]
    belled = np.array([prior.of(name) is not None for name in names])[:, None]
    count = len(names)
    doubtful = np.flatnonzero(np.any(belled & (np.abs(inside[:count] - mean) > DOUBT * sd), axis=0))
    if not doubtful.size:
        return inside, spread
    signal, protocol, noise = given
    _, even, even_sd = ask(EVEN, signal[doubtful], protocol.take(doubtful), noise.take(doubtful))
    far = belled & (np.abs(even[:count] - mean) > FAR * np.hypot(sd, even_sd[:count]))
    inside, spread = inside.copy(), spread.copy()
    # Voxels by the parameters whose bells are taken away, one bit each.
    patterns = (1 << np.arange(count)) @ far
    for pattern in np.flatnonzero(np.bincount(patterns)):
        voxels = doubtful[patterns == pattern]
        if pattern:
            told = prior.without([name for k, name in enumerate(names) if pattern >> k & 1])
            _, inside[:, voxels], spread[:, voxels] = ask(
                told, signal[voxels], protocol.take(voxels), noise.take(voxels)
            )
    return inside, spread


def _answer(network: Network, features: Features) -> tuple[FloatArray, FloatArray]:
    """Return the network's estimates and standard deviations in box units, each (K, V)."""
    shift, spread = network.run(features.path, features.context)
    centre: FloatArray | float
    width: FloatArray | float
    if network.card["anchor"] == "map":
        centre, width = features.centre, features.width
    else:
        centre, width = BOX_ANCHOR
    inside = np.clip(centre + width * shift.T.astype(np.float64), 0.0, 1.0)
    return inside, width * spread.T.astype(np.float64)


def _curve(
    model: Model, values: FloatArray, signal: FloatArray, protocol: Protocol, sigma: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the amplitude that fits best, (V,), 1 if there is none, and the curve with it, (N, V)."""
    theta = np.ones((len(model.parameters), values.shape[1]))
    theta[boxed(model)] = values[: len(boxed(model))]
    curve = model.signal(theta, protocol)
    if model.amplitude is None:
        return np.ones(values.shape[1]), curve
    # The mean of a magnitude, squared, exceeds the signal's square by sigma squared, where there is signal.
    unbiased = np.sqrt(np.maximum(signal**2 - sigma**2, 0.0))
    weighted = protocol.weights[:, None] * curve
    amplitude = np.einsum("nv,nv->v", weighted, unbiased) / np.einsum("nv,nv->v", weighted, curve)
    return amplitude, amplitude * curve


def _result(model: Model, parts: list[_Estimate], notes: list[str]) -> FitResult:
    """Join the blocks; where the whole protocol is outside, so is every voxel."""
    values, sd = (np.concatenate([getattr(p, name) for p in parts], axis=1) for name in ("values", "sd"))
    amplitude, residual, status = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("amplitude", "residual", "status")
    )
    maps = dict(zip(quantities(model), values, strict=True))
    if model.amplitude is not None:
        maps[model.amplitude] = amplitude
    if notes:
        status[status != Status.UNUSABLE] = Status.OUT_OF_RANGE
    order = [p.name for p in (*model.parameters, *model.derived)]
    return FitResult(
        {name: maps[name] for name in order},
        dict(zip(quantities(model), sd, strict=True)),
        residual,
        status,
        tuple(notes),
    )
