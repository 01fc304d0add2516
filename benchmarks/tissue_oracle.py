"""The oracle: the posterior mean under the true distribution of a phantom.

No estimator that sees single voxels and expects nothing of their amplitude has a lower mean squared error.
The prior is a table of truths: voxels of another phantom of the same kind (same anatomy and recipe, other
texture, lesions and vessels), so that no voxel meets its own truth. Every voxel weighs the table by its
likelihood, with the amplitude profiled, which is to say flat in its logarithm:

- magnitudes: Rician with the thermal noise, the amplitude by fixed-point steps of the likelihood. Where all
  images lie above `CLEAR` times the noise: Gaussian on sqrt(S^2 - sigma^2), which hardly differs there;
- concentrations, and scans with physiological scatter: Gaussian with the root mean square of the true scatter
  of the voxel, which is an approximation in series of converted signals.

Neurites: the direction is told, which nobody knows, and `NODDI_VOXELS` voxels are answered, others are NaN.
With `TABLE` entries the mean is exact to a few per cent of the posterior sd; at high SNR, where few entries
weigh, the oracle is a little worse than the true posterior mean. It knows nothing of neighbours.
"""

from __future__ import annotations

import numpy as np

from benchmarks.tissue_base import Noise, Phantom
from bids_qmri.catalogue import get_model
from bids_qmri.estimators.base import FitResult
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import bessel_ratio, log_bessel_i0
from bids_qmri.techniques.noddi.model import COMPONENTS, noddi_signal
from bids_qmri.units import FloatArray

TABLE = {"ivim": 3000, "vfa": 6000, "etofts": 20_000, "noddi": 600}
"""Entries; the more, the more parameters and the fewer bytes of images."""
OTHER_SEED = 30_000
"""Added to the seed for the phantoms of the table; a multiple of 3, so that the volunteer stays the same."""

NODDI_VOXELS = 600
CLEAR = 5.0
STEPS = 3
"""Fixed-point steps for the amplitude; each is downhill."""
BLOCK = 2**21
"""Signal values at a time."""


def oracle(phantom: Phantom, images: FloatArray, noise: Noise | None) -> FitResult:
    """Return posterior means and standard deviations (V,) of what is scored."""
    assert noise is not None
    signal = phantom.voxels(phantom.fitted(images))
    rng = np.random.default_rng([phantom.seed, 8])
    table = truths(phantom, TABLE[phantom.model], rng)
    values = np.stack([table[name] for name in phantom.scored], axis=1)
    curves = None if phantom.model == "noddi" else _curves(phantom, table)
    found = np.full((2, len(signal), len(phantom.scored)), np.nan)
    effective = np.full(len(signal), np.nan)
    asked = np.flatnonzero(np.all(np.isfinite(signal), axis=1))
    if curves is None:
        asked = rng.choice(asked, min(NODDI_VOXELS, asked.size), replace=False)
    step = max(BLOCK // (len(values) * (signal.shape[1] if phantom.magnitude else 1)), 1)
    for first in range(0, asked.size, step):
        part = asked[first : first + step]
        known = _neurites(phantom, table, part) if curves is None else curves
        level = _likelihood(phantom, known, signal[part], noise.floor[part, None], noise.scatter[part, None])
        weight = np.exp(level - level.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        found[0, part] = weight @ values
        found[1, part] = np.sqrt(np.maximum(weight @ values**2 - found[0, part] ** 2, 0.0))
        effective[part] = 1 / np.sum(weight**2, axis=1)
    maps, sd = (dict(zip(phantom.scored, part.T, strict=True)) for part in found)
    tenth, half = np.nanquantile(effective, (0.1, 0.5))
    note = f"oracle: {half:.0f} entries of its table weigh in the median voxel, {tenth:.1f} in one of ten"
    return FitResult(maps, sd, notes=(note,))


def truths(phantom: Phantom, size: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Return the truth of voxels, each (K,), of as many other phantoms of the kind as it takes."""
    from benchmarks.tissue_phantoms import PHANTOMS

    others: list[Phantom] = []
    found = 0
    while found < size:
        others.append(PHANTOMS[phantom.name](phantom.seed + OTHER_SEED + 3 * len(others)))
        found += int(others[-1].mask.sum())
    chosen = rng.choice(found, size, replace=False)
    return {
        name: np.concatenate([other.voxels(other.truth[name]) for other in others])[chosen]
        for name in phantom.truth
    }


def _likelihood(
    phantom: Phantom, curves: FloatArray, signal: FloatArray, floor: FloatArray, scatter: FloatArray
) -> FloatArray:
    """Return log-likelihoods, (v, K), of signals (v, N) by curves (K, N) or (v, K, N)."""
    if not phantom.magnitude or phantom.spoiled is not None:
        return _gaussian(signal, curves, scatter)
    if np.any(scatter > 1.001 * floor):
        return _gaussian(signal, curves, scatter, profiled=True)
    level = _gaussian(np.sqrt(np.maximum(signal**2 - floor**2, 0.0)), curves, floor, profiled=True)
    near = np.any(signal < CLEAR * floor, axis=1)
    level[near] = _rician(signal[near], curves if curves.ndim == 2 else curves[near], floor[near])
    return level


def _curves(phantom: Phantom, table: dict[str, FloatArray]) -> FloatArray:
    """Return signals (K, N) of every entry, of amplitude 1."""
    model = get_model(phantom.model)
    amplitude = {} if model.amplitude is None else {model.amplitude: np.ones_like(table[model.amplitude])}
    predicted = model.predict(table | amplitude, phantom.protocol)
    assert predicted is not None
    return predicted


def _neurites(phantom: Phantom, table: dict[str, FloatArray], part: np.ndarray) -> FloatArray:
    """Return signals (v, K, N) of every entry in the direction of every voxel, S0 = 1."""
    protocol = phantom.protocol
    assert isinstance(protocol, DiffusionProtocol)
    direction = np.stack([phantom.voxels(phantom.truth[axis])[part] for axis in COMPONENTS], axis=1)
    size = table["ndi"].size
    theta = [np.tile(table[name], part.size) for name in ("ndi", "odi", "fwf")]
    signal = noddi_signal(theta[0], theta[1], theta[2], np.repeat(direction, size, axis=0), protocol)
    return signal.T.reshape(part.size, size, -1)


def _products(signal: FloatArray, curves: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return inner products of signals with curves, (v, K), and of curves with themselves."""
    if curves.ndim == 2:
        return signal @ curves.T, np.sum(curves**2, axis=-1)
    return np.einsum("vn,vkn->vk", signal, curves), np.sum(curves**2, axis=-1)


def _gaussian(
    signal: FloatArray, curves: FloatArray, sigma: FloatArray, profiled: bool = False
) -> FloatArray:
    product, energy = _products(signal, curves)
    if profiled:
        return np.asarray(np.maximum(product, 0.0) ** 2 / energy / (2 * sigma**2))
    return np.asarray((product - energy / 2) / sigma**2)


def _rician(signal: FloatArray, curves: FloatArray, sigma: FloatArray) -> FloatArray:
    measured = (signal / sigma)[:, None, :]
    shapes = curves if curves.ndim == 3 else curves[None]
    product, energy = _products(signal / sigma, curves)
    amplitude = np.maximum(product / energy, 1e-6)
    for _ in range(STEPS):
        phase = bessel_ratio(measured * amplitude[..., None] * shapes)
        amplitude = np.sum(phase * measured * shapes, axis=-1) / energy
    mean = amplitude[..., None] * shapes
    return np.asarray(np.sum(log_bessel_i0(measured * mean) - mean**2 / 2, axis=-1))
