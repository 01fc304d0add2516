"""NODDI by a network for any multi-shell protocol: a controlled differential equation over the shells.

No fit takes part. The path begins without diffusion weighting and visits the shells in the order of b; what
each says about the voxel is linear in its signals (`zonal`). Controlled differential equations: Kidger et al.
2020, arXiv:2005.08926; for quantitative MRI: Kuppens et al., doi:10.48550/arXiv.2412.20844.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Estimator, FitResult, Selection, Status
from bids_qmri.estimators.classical.noise import require_positive
from bids_qmri.estimators.networks.coverage import outside_ranges
from bids_qmri.estimators.networks.network_file import Network, load_network, require_shipped_network
from bids_qmri.estimators.threads import in_threads
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.prior import EVEN, Prior, moments
from bids_qmri.physics.protocol import Protocol, Range
from bids_qmri.techniques.noddi.encoding import Encoding, encode
from bids_qmri.techniques.noddi.model import Noddi, evaluate
from bids_qmri.techniques.noddi.multishell import FEWEST_DIRECTIONS, LOWEST_B, on_full_shells
from bids_qmri.techniques.noddi.shell_noise import shell_sigma
from bids_qmri.techniques.noddi.zonal import (
    QUANTITIES,
    ShellGroups,
    ZonalFit,
    fit_zonal,
    network_inputs,
    sort_shells,
)
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]

BLOCK_VOXELS = 4096
"""Voxels per block: their features stay in the cache, and the threads share out the blocks."""

LEAST_WIDTH = 1e-3
"""Least standard deviation of a prior."""

NOISE_SAMPLE = 20_000
"""Voxels that the noise is estimated from, evenly spread over those given."""

WORDS = {
    **DiffusionProtocol.words,
    "shells": ("shells", ""),
    "directions": ("directions of a shell", ""),
    "b0": ("images at b = 0", ""),
    "d_par": ("diffusivity along neurites", " mm^2/s"),
    "d_iso": ("diffusivity of free water", " mm^2/s"),
}
"""How messages name the properties of `extremes`, and their units."""


Expected = tuple[FloatArray, FloatArray]
"""Mean and standard deviation of the prior of the quantities, each (3,)."""

DOUBT, FAR = 1.5, 2.5
"""Standard deviations from the mean of the prior at which an even one is asked; and, its own standard
deviation included, believed."""


def expected(model: Model, prior: Prior) -> Expected:
    """Return mean and standard deviation of the prior of the quantities, each (3,).

    Shift and spread of the network refer to these.
    """
    lower, upper = model.limits()
    mean, sd = moments(prior, model, tuple(lower), tuple(upper))
    return mean[: len(QUANTITIES)], np.maximum(sd[: len(QUANTITIES)], LEAST_WIDTH)


@dataclass(frozen=True)
class NoddiNcde(Estimator):
    """A network for any multi-shell protocol.

    Maps of NDI, ODI, FWF; s0, the mean at b = 0; the unit direction in the frame of the gradients, with a z
    component that is not negative; and ``misfit``, the variance around functions of the angle to one axis
    over that of the noise: near 1 for a single bundle, more where bundles cross. Status OUT_OF_RANGE where
    the network was not trained for the protocol or the diffusivities (`notes` then say so), or so much noise.
    A noise level of NaN is one that is not known: the network then leans on the residual of the voxel.
    Estimates are cut to the limits, of which the network knows what the prior says.

    Parameters
    ----------
    network
        File of a network; None takes the one that comes with the package.
    threads
        Blocks of voxels that are computed at a time.
    """

    label = "ncde"
    description = (
        "Neural controlled differential equation along the b-value, trained on simulated signals of many "
        "multi-shell protocols; inputs invariant to rotation, direction and noise by linear fits of every "
        "shell, standard deviations by the same network."
    )
    reference = "Kuppens et al. 2024, doi:10.48550/arXiv.2412.20844"
    needs_noise = True
    has_prior = True

    network: Path | None = None
    threads: int = 1

    def network_file(self, model: Model) -> Path:
        return self.network or require_shipped_network(model.name)

    def prepare(self, model: Model, protocol: Protocol) -> Selection | None:
        """Take the images at b = 0 and on full shells."""
        assert isinstance(protocol, DiffusionProtocol)
        kept, part = on_full_shells(protocol)
        left_out = protocol.n_measurements - kept.size
        note = (
            f"{left_out} of {protocol.n_measurements} images left out of {model.name} {self.label}, on no "
            f"shell of {FEWEST_DIRECTIONS} directions from b = {LOWEST_B:g} s/mm^2 up"
        )
        return Selection(kept, part, note if left_out else "")

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        assert isinstance(model, Noddi)
        assert isinstance(protocol, DiffusionProtocol)
        loaded = load_network(self.network_file(model), model)
        shells = sort_shells(protocol)
        data = np.asarray(signal)
        told = _noise(data, protocol, noise, model.d_par)
        problems = self.untrained(model, protocol)
        encoding = encode(protocol, model.d_par, model.d_iso)
        work = partial(
            _estimate, loaded, model, data, shells, encoding, told, dict(bounds or {}), expected(model, prior)
        )
        blocks = [slice(first, first + BLOCK_VOXELS) for first in range(0, max(len(data), 1), BLOCK_VOXELS)]
        parts = list(in_threads(work, blocks, self.threads))
        name = loaded.card["name"]
        return _joined(parts, [f"outside what the network {name} was trained for: {p}" for p in problems])

    def untrained(self, model: Model, protocol: Protocol, bounds: Bounds | None = None) -> list[str]:
        assert isinstance(model, Noddi)
        assert isinstance(protocol, DiffusionProtocol)
        coverage = load_network(self.network_file(model), model).card["coverage"]
        return outside_ranges(coverage, extremes(sort_shells(protocol), model), WORDS)


def extremes(shells: ShellGroups, model: Noddi) -> dict[str, Range]:
    """Return smallest and largest value of what a card states the coverage of."""
    bvals, counts = shells.bvals, shells.counts
    return {
        "shells": (len(bvals),) * 2,
        "bvals": (float(bvals[0]), float(bvals[-1])),
        "largest_b": (float(bvals[-1]),) * 2,
        "directions": (int(counts.min()), int(counts.max())),
        "b0": (len(shells.b0),) * 2,
        "d_par": (model.d_par,) * 2,
        "d_iso": (model.d_iso,) * 2,
    }


def _noise(
    data: npt.NDArray[Any], protocol: DiffusionProtocol, noise: Noise | None, d_par: float
) -> VoxelNoise:
    """Return the noise of a single image, NaN where it is not known."""
    if noise is None:
        sample = data[:: max(len(data) // NOISE_SAMPLE, 1)]
        usable = _usable(sample, protocol.b0_mask)
        sigma = shell_sigma(sample[usable], protocol, d_par) if usable.any() else np.nan
        noise = Noise(sigma, sigma)
    found = noise.spread(len(data))
    known = np.isfinite(found.scatter)
    require_positive(found.take(known))
    return found


def _usable(signal: npt.NDArray[Any], b0: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which voxels are finite and have a positive mean at b = 0, (V,)."""
    return np.asarray(np.all(np.isfinite(signal), axis=1) & (signal[:, b0].mean(axis=1) > 0))


def _estimate(
    network: Network,
    model: Noddi,
    data: npt.NDArray[Any],
    shells: ShellGroups,
    encoding: Encoding,
    noise: VoxelNoise,
    bounds: Mapping[str, Range],
    prior: Expected,
    voxels: slice,
) -> FitResult:
    """Return the estimates of a block of voxels."""
    signal = np.array(data[voxels], dtype=np.float64)
    usable = _usable(signal, shells.b0)
    signal[~usable] = 1.0
    zonal = fit_zonal(signal, shells, model.d_par)
    least, largest = network.card["coverage"]["snr"]
    relative = noise.take(voxels).over(zonal.s0)
    # With less noise than ever seen, the most certain answer that was learnt is the right one to give.
    told = VoxelNoise(*(np.maximum(level, 1.0 / largest) for level in (relative.floor, relative.scatter)))
    answer, uncertain = _answer(network, model, zonal, shells, told, prior)
    # What the network does not answer with finite numbers is no estimate.
    usable &= np.all(np.isfinite(answer) & np.isfinite(uncertain), axis=0)
    answer[:, ~usable] = 0.5
    status = np.full(usable.size, Status.OK, dtype=np.uint8)
    maps, sd = {}, {}
    for k, name in enumerate(QUANTITIES):
        low, high = bounds.get(name, (0.0, 1.0))
        value = answer[k]
        status[(value <= low) | (value >= high)] = Status.AT_BOUND
        maps[name] = np.clip(value, low, high)
        sd[name] = uncertain[k]
    maps["s0"] = zonal.s0
    upwards = np.where(zonal.direction[2] < 0, -zonal.direction, zonal.direction)
    maps |= {f"direction_{axis}": row.copy() for axis, row in zip("xyz", upwards, strict=True)}
    maps["misfit"] = np.square(zonal.noise / relative.scatter)
    # In single precision, which is far more than a residual has.
    curve = evaluate(
        encoding, np.stack([maps[name] for name in QUANTITIES]), zonal.direction.astype(np.float32)
    )
    residual = _root_mean_square(signal.T.astype(np.float32)[encoding.order], zonal.s0, curve)
    status[relative.scatter * least > 1.0] = Status.OUT_OF_RANGE
    status[~usable] = Status.UNUSABLE
    for values in (*maps.values(), *sd.values(), residual):
        values[~usable] = np.nan
    return FitResult(maps, sd, residual, status)


def _answer(
    network: Network,
    model: Noddi,
    zonal: ZonalFit,
    shells: ShellGroups,
    noise: VoxelNoise,
    prior: Expected,
) -> tuple[FloatArray, FloatArray]:
    """Return estimates and standard deviations, each (3, V).

    A quantity that the data put far outside its prior is that of an even prior: a network has not learned the
    tails of a bell as well as its core.
    """
    path, context = network_inputs(zonal, shells, noise, (model.d_par, model.d_iso), prior)
    value, sd = _values(network, path, context, prior)
    even = expected(model, EVEN)
    doubtful = np.flatnonzero(np.any(np.abs(value - prior[0][:, None]) > DOUBT * prior[1][:, None], axis=0))
    if doubtful.size and np.any(prior[1] < even[1]):
        path, context = path[doubtful], context[doubtful]
        context[:, -2 * len(QUANTITIES) :] = np.concatenate([even[0], np.log(even[1])])
        other, other_sd = _values(network, path, context, even)
        far = np.abs(other - prior[0][:, None]) > FAR * np.hypot(prior[1][:, None], other_sd)
        value[:, doubtful] = np.where(far, other, value[:, doubtful])
        sd[:, doubtful] = np.where(far, other_sd, sd[:, doubtful])
    return value, sd


def _values(
    network: Network, path: npt.NDArray[Any], context: npt.NDArray[Any], prior: Expected
) -> tuple[FloatArray, FloatArray]:
    """Return what the network answers, in the unit of the quantities, each (3, V)."""
    shift, spread = network.run(path, context)
    mean, width = (part[:, None] for part in prior)
    return mean + width * shift.T.astype(np.float64), width * spread.T.astype(np.float64)


def _root_mean_square(signal: Float32Array, s0: FloatArray, curve: npt.NDArray[Any]) -> FloatArray:
    """Return the root mean square difference of signals, (N, V), from s0 times a curve; overwrites both."""
    # Over s0: in their own unit, the squares of signals could leave the range of single precision.
    signal *= (1.0 / s0).astype(np.float32)
    signal -= curve
    signal *= signal
    return np.asarray(s0 * np.sqrt(np.mean(signal, axis=0, dtype=np.float64)))


def _joined(parts: list[FitResult], notes: list[str]) -> FitResult:
    """Join the blocks; where the whole protocol is outside, so is every voxel."""
    status = np.concatenate([part.status for part in parts])
    if notes:
        status[status != Status.UNUSABLE] = Status.OUT_OF_RANGE
    return FitResult(
        {name: np.concatenate([part.maps[name] for part in parts]) for name in parts[0].maps},
        {name: np.concatenate([part.sd[name] for part in parts]) for name in parts[0].sd},
        np.concatenate([part.residual for part in parts]),
        status,
        tuple(notes),
    )
