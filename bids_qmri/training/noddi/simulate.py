"""Simulated voxels of random schemes, as the network reads them, with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_qmri.techniques.noddi.zonal import fit_zonal, network_inputs, sort_shells
from bids_qmri.techniques.noddi.model import D_ISO, D_PAR, noddi_signal
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.training.boxes import log_uniform
from bids_qmri.training.loss import BOX_CENTER, BOX_WIDTH
from bids_qmri.training.noddi.recipe import ShellRecipe, SignalOptions
from bids_qmri.training.noddi.schemes import random_scheme
from bids_qmri.training.pool import Rows
from bids_qmri.units import FloatArray


@dataclass(frozen=True)
class Voxels:
    """Noisy signals of one scheme, with what made them.

    Parameters
    ----------
    truth
        NDI, ODI and FWF, (3, V).
    direction
        Unit vectors, (V, 3).
    signal
        Magnitudes where the noise-free signal at b = 0 is 1, (V, N).
    sigma
        Noise in the same unit, (V,).
    """

    truth: FloatArray
    direction: FloatArray
    signal: FloatArray
    sigma: FloatArray


def simulate_voxels(
    protocol: DiffusionProtocol,
    truth: FloatArray,
    snr: FloatArray,
    rng: np.random.Generator,
    *,
    d_par: float = D_PAR,
    d_iso: float = D_ISO,
) -> Voxels:
    """Simulate voxels with neurites in random directions.

    Parameters
    ----------
    protocol
        Diffusion weightings with directions.
    truth
        NDI, ODI and FWF, (3, V).
    snr
        Signal-to-noise ratio of each voxel at b = 0, (V,).
    rng
        Source of randomness.
    d_par, d_iso
        Diffusivities in mm^2/s.
    """
    direction = rng.standard_normal((truth.shape[1], 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    ndi, odi, fwf = truth
    clean = noddi_signal(ndi, odi, fwf, direction, protocol, d_par=d_par, d_iso=d_iso)
    return Voxels(truth, direction, add_rician_noise(clean, 1.0 / snr, rng).T, 1.0 / snr)


def random_rows(recipe: ShellRecipe, rng: np.random.Generator) -> Rows:
    """Draw a scheme and its voxels, and return what the network reads and what it should answer."""
    options = recipe.signals
    protocol = random_scheme(recipe.protocol, rng)
    d_par, d_iso = D_PAR, D_ISO
    if rng.random() < options.diffusivity_share:
        d_par, d_iso = rng.uniform(*options.d_par), rng.uniform(*options.d_iso)
    snr = log_uniform(options.snr, options.voxels, rng)
    truth = rng.uniform(0.0, 1.0, (3, options.voxels))
    truth[2] *= np.where(rng.random(options.voxels) < options.fwf_low_share, options.fwf_low, 1.0)
    voxels = simulate_voxels(protocol, truth, snr, rng, d_par=d_par, d_iso=d_iso)
    shells = sort_shells(protocol)
    zonal = fit_zonal(voxels.signal, shells, d_par)
    sigma = _told(voxels.sigma, options, rng) / zonal.s0
    path, context = network_inputs(zonal, shells, sigma, d_par, d_iso)
    shape = truth.T.shape
    return Rows(
        path,
        context,
        np.full(shape, BOX_CENTER, np.float32),
        np.full(shape, BOX_WIDTH, np.float32),
        truth.T.astype(np.float32),
        np.ones(shape, np.float32),
        snr.astype(np.float32),
    )


def _told(sigma: FloatArray, options: SignalOptions, rng: np.random.Generator) -> FloatArray:
    """Return the noise that the network is told, (V,)."""
    chance = rng.random()
    if chance < options.sigma_unknown:
        return np.full(sigma.shape, np.nan)
    if chance < options.sigma_unknown + options.sigma_exact:
        return sigma
    return np.asarray(sigma * np.exp(options.sigma_error * rng.standard_normal(sigma.shape)))
