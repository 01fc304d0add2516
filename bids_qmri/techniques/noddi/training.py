"""What networks for NODDI are trained on: voxels of any multi-shell scheme, and signals of one scheme.

Table ``[data]`` of recipes, types ``shells`` and ``scheme``; called by `training`. Diffusivities in mm^2/s.
One scheme: Rot et al., doi:10.48550/arXiv.2507.12632; fits as labels: doi:10.59275/j.melba.2024-geb5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import UsageError
from bids_qmri.estimators.classical.objective import LeastSquares, RicianLikelihood
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import VoxelNoise, add_rician_noise
from bids_qmri.physics.prior import EVEN, Bell, Prior, quantile
from bids_qmri.physics.protocol import Range
from bids_qmri.physics.sampling import log_uniform
from bids_qmri.techniques.noddi.encoding import encode
from bids_qmri.techniques.noddi.fit import descend
from bids_qmri.techniques.noddi.model import Noddi, noddi_signal
from bids_qmri.techniques.noddi.ncde import expected
from bids_qmri.techniques.noddi.sampling import Ranges
from bids_qmri.techniques.noddi.zonal import QUANTITIES, fit_zonal, network_inputs, sort_shells
from bids_qmri.units import FloatArray

CHUNK = 4096
"""Signals that are simulated at a time."""

LEAST_DIRECTIONS = 6
"""Weighted volumes with directions that a scheme needs for any of the parameters to be determined."""


@dataclass(frozen=True)
class Shells:
    """Voxels of random schemes, as the network for any of them reads them.

    Parameters
    ----------
    groups, validation_groups, curves
        Schemes drawn for training and for validation, and voxels of each.
    snr
        Range of the signal-to-noise ratio at b = 0, log-uniform per voxel.
    fwf_low, fwf_low_share
        The free-water fraction is uniform from 0 to 1, and in this share of voxels from 0 to `fwf_low`.
    sigma_error, sigma_exact, sigma_unknown
        Standard deviation of the logarithm of the error of the sigma that the network is told, and shares of
        the schemes in which it is exact, and in which it is not known.
    bell_share, bell_width
        Share of the schemes whose truth is expected in bells (`physics.prior`), and range of their widths.
    scatter_share, scatter
        Share of the schemes in which images scatter more than thermal noise makes them, and range of the
        ratio at b = 0.
    d_par, d_iso, diffusivity_share
        Ranges of the diffusivities in a share of the schemes; in others they are those of the model.
    """

    rows: ClassVar[str] = "features"
    takes: ClassVar[str] = "Ranges"

    groups: int
    validation_groups: int
    curves: int
    snr: Range
    fwf_low: float
    fwf_low_share: float
    sigma_error: float
    sigma_exact: float
    sigma_unknown: float
    bell_share: float
    bell_width: Range
    scatter_share: float
    scatter: Range
    d_par: Range
    d_iso: Range
    diffusivity_share: float

    def draw(self, model: Noddi, ranges: Ranges, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
        """Draw a scheme and its voxels: what the network reads, and what it should answer, by voxel."""
        protocol, d_par, d_iso = ranges.draw(rng), model.d_par, model.d_iso
        if rng.random() < self.diffusivity_share:
            d_par, d_iso = rng.uniform(*self.d_par), rng.uniform(*self.d_iso)
        snr = log_uniform(self.snr, self.curves, rng)
        prior = self._bells(rng) if rng.random() < self.bell_share else EVEN
        truth = self._truth(model, prior, rng)
        direction = random_directions(self.curves, rng)
        ndi, odi, fwf = truth
        clean = noddi_signal(ndi, odi, fwf, direction, protocol, d_par=d_par, d_iso=d_iso)
        ratio = np.ones(self.curves)
        if rng.random() < self.scatter_share:
            ratio = log_uniform(self.scatter, self.curves, rng)
        moving = np.sqrt(1.0 - 1.0 / ratio**2) / snr
        moved = np.abs(clean * (1.0 + moving * rng.standard_normal(clean.shape)))
        signal = add_rician_noise(moved, 1.0 / (snr * ratio), rng).T
        shells = sort_shells(protocol)
        zonal = fit_zonal(signal, shells, d_par)
        told = self._told(VoxelNoise(1.0 / (snr * ratio), 1.0 / snr), rng).over(zonal.s0)
        mean, sd = expected(model, prior)
        path, context = network_inputs(zonal, shells, told, (d_par, d_iso), (mean, sd))
        shape = truth.T.shape
        anchor = {name: np.broadcast_to(row, shape) for name, row in (("centre", mean), ("width", sd))}
        anchor["free"] = np.ones(shape)
        return {"path": path, "context": context, **anchor, "truth": truth.T, "snr": snr}

    def _bells(self, rng: np.random.Generator) -> Prior:
        """Draw where each quantity is expected."""
        widths = log_uniform(self.bell_width, len(QUANTITIES), rng)
        # Most tissue holds little free water.
        centres = rng.uniform(0.0, 1.0, len(QUANTITIES)) * np.array([1.0, 1.0, rng.choice([0.2, 1.0])])
        bells = (Bell(float(c), float(w)) for c, w in zip(centres, widths, strict=True))
        return Prior(tuple(zip(QUANTITIES, bells, strict=True)))

    def _truth(self, model: Noddi, prior: Prior, rng: np.random.Generator) -> FloatArray:
        """Draw the quantities, (3, V)."""
        truth = np.stack(
            [quantile(prior, p, rng.random(self.curves), *p.bounds) for p in model.parameters[:3]]
        )
        if not prior.bells:
            truth[2] *= np.where(rng.random(self.curves) < self.fwf_low_share, self.fwf_low, 1.0)
        return truth

    def _told(self, noise: VoxelNoise, rng: np.random.Generator) -> VoxelNoise:
        """Return the noise that the network is told."""
        chance = rng.random()
        if chance < self.sigma_unknown:
            return VoxelNoise.thermal(np.full(noise.scatter.shape, np.nan))
        if chance < self.sigma_unknown + self.sigma_exact:
            return noise
        wrong = np.exp(self.sigma_error * rng.standard_normal(noise.scatter.shape))
        return VoxelNoise(noise.floor * wrong, noise.scatter * wrong)

    def coverage(self, model: Noddi, ranges: Ranges) -> dict[str, Any]:
        """Return what training covered, `directions` and `bvals` of single shells."""
        found: dict[str, Any] = {**ranges.coverage(), "snr": list(self.snr)}
        for name in ("d_par", "d_iso"):
            (low, high), usual = getattr(self, name), getattr(model, name)
            found[name] = [min(usual, low), max(usual, high)]
        return found | {"bounds": {name: [0.0, 1.0] for name in QUANTITIES}}


@dataclass(frozen=True)
class Signals:
    """Signals of one scheme, divided by their mean at b = 0, as Rot et al. simulate them.

    So many signals, of which a share is held out for validation, of one signal-to-noise ratio at b = 0, with
    parameters that are uniform within their ranges.
    """

    rows: ClassVar[str] = "labels"
    takes: ClassVar[str] = "Scheme"
    quantities: ClassVar[tuple[str, ...]] = ("odi", "ndi", "fwf")
    normalisation: ClassVar[str] = "mean b0"

    count: int
    validation: float
    snr: float
    ndi: Range
    odi: Range
    fwf: Range

    def __post_init__(self) -> None:
        ranges = [getattr(self, name) for name in self.quantities]
        if not self.snr > 0:
            raise UsageError(f"is {self.snr!r}", field="recipe: data.snr", needed="above 0")
        if not all(0 <= low < high <= 1 for low, high in ranges):
            raise UsageError(f"is {ranges!r}", field="recipe: data", needed="ranges within 0 and 1")

    def require(self, scheme: DiffusionProtocol) -> None:
        """Refuse a scheme that the parameters cannot be learnt from, by a `UsageError`."""
        weighted = ~scheme.b0_mask
        wrong = ""
        if scheme.bvecs is None or np.count_nonzero(weighted) < LEAST_DIRECTIONS:
            wrong = f"{np.count_nonzero(weighted)} weighted volumes or no directions"
        elif not np.any(scheme.b0_mask):
            wrong = f"no b-value is {scheme.b0_threshold:g} s/mm^2 or less"
        elif np.ptp(scheme.bvals[weighted]) < 0.2 * scheme.bvals.max():
            wrong = f"one shell, b = {scheme.bvals.max():g}"
        if wrong:
            needed = f"images at b = 0, and {LEAST_DIRECTIONS} directions or more at two b-values or more"
            raise UsageError(wrong, field="recipe: scheme", needed=needed)

    def simulate(
        self, model: Noddi, scheme: DiffusionProtocol, rng: np.random.Generator
    ) -> dict[str, npt.NDArray[Any]]:
        """Return M signals, (M, N), with ``truth`` and ``direction``, (M, 3), and ``sigma``, (M,)."""
        low, high = np.array([getattr(self, name) for name in self.quantities]).T
        truth = rng.uniform(low, high, (self.count, len(self.quantities)))
        direction = random_directions(self.count, rng)
        signal = np.empty((self.count, scheme.n_measurements), dtype=np.float32)
        sigma = np.empty(self.count)
        for part in (slice(first, first + CHUNK) for first in range(0, self.count, CHUNK)):
            odi, ndi, fwf = truth[part].T
            given = {"d_par": model.d_par, "d_iso": model.d_iso}
            clean = noddi_signal(ndi, odi, fwf, direction[part], scheme, **given)
            noisy = add_rician_noise(clean.T, 1.0 / self.snr, rng)
            s0 = noisy[:, scheme.b0_mask].mean(axis=1)
            signal[part], sigma[part] = noisy / s0[:, None], 1.0 / (self.snr * s0)
        return {"signal": signal, "truth": truth, "direction": direction, "sigma": sigma}

    def fit(
        self, model: Noddi, scheme: DiffusionProtocol, found: Mapping[str, npt.NDArray[Any]], likelihood: str
    ) -> FloatArray:
        """Return estimates of the likelihood fit of every signal, started at the truth, (M, 3).

        `found` is what `simulate` returned, or some of it: signals divided by their mean at b = 0 already,
        which the fit takes for S0. Likelihoods: ``gaussian``, and ``rician`` with the true noise level.
        """
        weighted = ~scheme.b0_mask
        assert scheme.bvecs is not None
        images = DiffusionProtocol(scheme.bvals[weighted], scheme.bvecs[weighted])
        encoding = encode(images, model.d_par, model.d_iso)
        columns = np.flatnonzero(weighted)[encoding.order]
        signal = np.ascontiguousarray(found["signal"][:, columns].T, dtype=np.float64)
        objective: LeastSquares | RicianLikelihood = LeastSquares(signal)
        if likelihood == "rician":
            objective = RicianLikelihood(signal, found["sigma"])
        places = [[p.name for p in model.parameters].index(name) for name in self.quantities]
        lower, upper = model.limits()
        start = np.zeros((lower.size, signal.shape[1]))
        start[places] = found["truth"].T
        start = np.clip(start, lower[:, None], upper[:, None])
        minimum, _ = descend(model, objective, encoding, found["direction"].T, (lower, upper), start)
        return np.asarray(minimum.theta[places].T)

    def coverage(self, model: Noddi, scheme: DiffusionProtocol) -> dict[str, Any]:
        """Return what training covered."""
        bounds = {name: list(getattr(self, name)) for name in self.quantities}
        return {"snr": [self.snr, self.snr], "bounds": bounds}


def random_directions(count: int, rng: np.random.Generator) -> FloatArray:
    """Draw unit vectors evenly over the sphere, (V, 3)."""
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction


DATA: dict[str, type] = {"shells": Shells, "scheme": Signals}
"""Types of the table ``[data]`` that recipes for this technique may choose."""
