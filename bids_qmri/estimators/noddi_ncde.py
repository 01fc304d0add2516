"""NODDI by a network for any multi-shell protocol: a controlled differential equation over the shells.

No fit takes part. The path begins without diffusion weighting and visits the shells in the order of b; what
each says about the voxel is linear in its signals (`zonal`). Controlled differential equations: Kidger et al.
2020, arXiv:2005.08926; for quantitative MRI: Kuppens et al., doi:10.48550/arXiv.2412.20844.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.coverage import Range, outside_ranges
from bids_qmri.estimators.network_file import Network, load_network, require_shipped_network
from bids_qmri.estimators.shell_noise import shell_sigma
from bids_qmri.estimators.zonal import (
    QUANTITIES,
    ShellGroups,
    fit_zonal,
    network_inputs,
    sort_shells,
)
from bids_qmri.models.base import Bounds
from bids_qmri.models.encoding import Encoding, encode
from bids_qmri.models.noddi import Noddi, evaluate
from bids_qmri.protocol import DiffusionProtocol
from bids_qmri.units import FloatArray

BLOCK_VOXELS = 4096
"""Voxels per block: their features stay in the cache, and the threads share out the blocks."""

NOISE_SAMPLE = 20_000
"""Voxels that the noise is estimated from, evenly spread over those given."""

CENTER, WIDTH = 0.5, 0.29
"""What shift and spread of the network refer to: mean and standard deviation of a uniform density."""


def fit(
    model: Noddi,
    signal: npt.ArrayLike,
    protocol: DiffusionProtocol,
    *,
    sigma: float | FloatArray | None = None,
    bounds: Bounds | None = None,
    network: Path | None = None,
    threads: int = 1,
) -> FitResult:
    """Estimate NDI, ODI and FWF by a trained network.

    Parameters
    ----------
    model
        Holds the diffusivities.
    signal
        Measured signals, shape (V, N), in any order of the images.
    protocol
        Diffusion weightings on shells, with directions and images at b = 0.
    sigma
        Noise standard deviation of a single image in the unit of the signal, one number or (V,), NaN where it
        is not known: the network then leans on the residual of the voxel. None estimates one for all the
        voxels given (`shell_sigma`).
    bounds
        Limits to which estimates are cut; the network does not know them.
    network
        File of a network; None takes the one that comes with the package.
    threads
        Blocks of voxels that are computed at a time.

    Returns
    -------
    FitResult
        Maps of NDI, ODI, FWF; s0, the mean at b = 0; the unit direction in the frame of the gradients, with a
        z component that is not negative; and ``misfit``, the variance around functions of the angle to one
        axis over that of the noise: near 1 for a single bundle, more where bundles cross. Status OUT_OF_RANGE
        where the network was not trained for the protocol or the diffusivities (`notes` then say so), or so
        much noise.

    Raises
    ------
    InputError
        If the network cannot be used, the shape does not fit the protocol, the protocol has no shells,
        directions or images at b = 0, or the noise is not positive.
    """
    loaded = load_network(require_shipped_network(model.name) if network is None else network, model)
    shells = sort_shells(protocol)
    data = np.asarray(signal)
    if data.ndim != 2 or data.shape[1] != protocol.n_measurements:
        raise InputError(
            f"signals have shape {data.shape}",
            needed=f"(voxels, {protocol.n_measurements}), one column per image",
        )
    noise = _noise(data, protocol, sigma, model.d_par)
    problems = outside_ranges(loaded.card["coverage"], extremes(shells, model))
    encoding = encode(protocol, model.d_par, model.d_iso)
    work = partial(_estimate, loaded, model, data, shells, encoding, noise, dict(bounds or {}))
    blocks = [slice(first, first + BLOCK_VOXELS) for first in range(0, max(len(data), 1), BLOCK_VOXELS)]
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(work, blocks))
    name = loaded.card["name"]
    return _joined(parts, [f"outside what the network {name} was trained for: {p}" for p in problems])


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
    data: npt.NDArray[Any], protocol: DiffusionProtocol, sigma: float | FloatArray | None, d_par: float
) -> FloatArray:
    """Return the noise of a single image, (V,), NaN where it is not known."""
    if sigma is None:
        sample = data[:: max(len(data) // NOISE_SAMPLE, 1)]
        usable = _usable(sample, protocol.b0_mask)
        sigma = shell_sigma(sample[usable], protocol, d_par) if usable.any() else np.nan
    noise = np.broadcast_to(np.asarray(sigma, dtype=np.float64), (len(data),))
    if np.any(noise <= 0):
        raise InputError(
            f"the smallest noise standard deviation is {np.nanmin(noise):g}",
            field="sigma",
            needed="numbers above 0",
        )
    return noise


def _usable(signal: npt.NDArray[Any], b0: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which voxels are finite and have a positive mean at b = 0, (V,)."""
    return np.asarray(np.all(np.isfinite(signal), axis=1) & (signal[:, b0].mean(axis=1) > 0))


def _estimate(
    network: Network,
    model: Noddi,
    data: npt.NDArray[Any],
    shells: ShellGroups,
    encoding: Encoding,
    noise: FloatArray,
    bounds: Mapping[str, Range],
    voxels: slice,
) -> FitResult:
    """Return the estimates of a block of voxels."""
    signal = np.array(data[voxels], dtype=np.float64)
    usable = _usable(signal, shells.b0)
    signal[~usable] = 1.0
    zonal = fit_zonal(signal, shells, model.d_par)
    least, largest = network.card["coverage"]["snr"]
    relative = noise[voxels] / zonal.s0
    # With less noise than ever seen, the most certain answer that was learnt is the right one to give.
    told = np.maximum(relative, 1.0 / largest)
    shift, spread = network.run(*network_inputs(zonal, shells, told, model.d_par, model.d_iso))
    status = np.full(usable.size, Status.OK, dtype=np.uint8)
    maps, sd = {}, {}
    for k, name in enumerate(QUANTITIES):
        low, high = bounds.get(name, (0.0, 1.0))
        value = CENTER + WIDTH * shift[:, k].astype(np.float64)
        status[(value <= low) | (value >= high)] = Status.AT_BOUND
        maps[name] = np.clip(value, low, high)
        sd[name] = WIDTH * spread[:, k].astype(np.float64)
    maps["s0"] = zonal.s0
    upwards = np.where(zonal.direction[2] < 0, -zonal.direction, zonal.direction)
    maps |= {f"direction_{axis}": row.copy() for axis, row in zip("xyz", upwards, strict=True)}
    maps["misfit"] = np.square(zonal.noise / relative)
    curve = evaluate(encoding, np.stack([maps[name] for name in QUANTITIES]), zonal.direction)
    residual = _root_mean_square(np.ascontiguousarray(signal.T)[encoding.order], zonal.s0 * curve)
    status[relative * least > 1.0] = Status.OUT_OF_RANGE
    status[~usable] = Status.UNUSABLE
    for values in (*maps.values(), *sd.values(), residual):
        values[~usable] = np.nan
    return FitResult(maps, sd, residual, status)


def _root_mean_square(signal: FloatArray, curve: FloatArray) -> FloatArray:
    """Return the root mean square difference of signals, (N, V), over the first axis."""
    difference = signal - curve
    return np.asarray(np.sqrt(np.einsum("nv,nv->v", difference, difference) / len(difference)))


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
