"""Quality of the measured images themselves: noise from repetitions, decay with b, agreement within shells.

Images are seen block by block while they are fitted; only sums are kept, and two numbers per voxel. Of large
blocks voxels at equal distances are a sample that is large enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.qc.metrics import Metrics, median, ratio
from bids_qmri.units import FloatArray

SAMPLED = 2048
"""Voxels of a block that are looked at: a tenth of the time of a fit would be too much for its quality."""

FEWEST_IN_SHELL = 3
"""Images per b-value from which the mean of the others is a fair reference."""


@dataclass(frozen=True, eq=False)
class SeriesDesign:
    """What is known of the images of a series before any is read.

    Parameters
    ----------
    n_measurements
        Number of images N.
    reference
        Images whose mean is the reference signal.
    equal
        True if the reference images differ by noise alone.
    shell
        Shell of each image, (N,); None where the series has none.
    bvals
        b-value of each shell in s/mm^2, increasing, (S,).
    """

    n_measurements: int
    reference: npt.NDArray[np.intp]
    equal: bool
    shell: npt.NDArray[np.intp] | None = None
    bvals: FloatArray | None = None


class SeriesTally:
    """Sums over voxels from which the metrics of a series follow.

    Parameters
    ----------
    design
        Which image is what.
    """

    def __init__(self, design: SeriesDesign) -> None:
        self.design = design
        n = design.n_measurements
        self._count = 0
        self._image, self._square, self._cross = np.zeros(n), np.zeros(n), np.zeros(n)
        self._shells = [] if design.shell is None else [np.flatnonzero(design.shell == s) for s in range(n)]
        self._shells = [members for members in self._shells if members.size]
        self._shell_sum, self._shell_square = np.zeros(len(self._shells)), np.zeros(len(self._shells))
        self._level: list[npt.NDArray[np.float32]] = []
        self._variance: list[npt.NDArray[np.float32]] = []

    def add(self, signal: FloatArray) -> None:
        """Take the signals of some voxels as they were read, (v, N), if finite throughout."""
        part = signal[:: max(len(signal) // SAMPLED, 1)]
        data = part[np.all(np.isfinite(part), axis=1)]
        self._count += len(data)
        reference = data[:, self.design.reference]
        self._level.append(reference.mean(axis=1).astype(np.float32))
        if self.design.equal and reference.shape[1] > 1:
            self._variance.append(reference.var(axis=1, ddof=1).astype(np.float32))
        if not self._shells:
            return
        self._image += data.sum(axis=0)
        self._square += np.einsum("vn,vn->n", data, data)
        for place, members in enumerate(self._shells):
            part = data[:, members]
            mean = part.mean(axis=1)
            self._cross[members] += mean @ part
            self._shell_sum[place] += mean.sum()
            self._shell_square[place] += mean @ mean

    def metrics(self, sigma: float | None) -> Metrics:
        """Return the metrics.

        Parameters
        ----------
        sigma
            Noise level from residuals, None if unknown.
        """
        level = median(np.concatenate(self._level)) if self._level else None
        variance = median(np.concatenate(self._variance)) if self._variance else None
        repeats = None if variance is None else float(np.sqrt(variance * _mean_over_median(self.design)))
        steps = np.diff(self.decay()) if len(self._shells) > 1 else np.empty(0)
        known = bool(steps.size) and bool(np.all(np.isfinite(steps)))
        correlation = self.correlation()
        found = correlation[np.isfinite(correlation)]
        return {
            "sigma": sigma,
            "sigma_repeats": repeats,
            "signal_median": level,
            "snr": ratio(level, sigma if sigma is not None else repeats),
            "shell_decay_rises": int(np.count_nonzero(steps > 0)) if known else None,
            "shell_decay_max_step": float(steps.max()) if known else None,
            "shell_correlation_median": float(np.median(found)) if found.size else None,
            "shell_correlation_min": float(found.min()) if found.size else None,
        }

    def shells(self) -> dict[str, Any] | None:
        """Return b-values, mean signal over that of the lowest b-value, and numbers of images, by shell."""
        decay = self.decay()
        if self.design.bvals is None or not np.all(np.isfinite(decay)) or not decay.size:
            return None
        return {
            "BValues": [float(f"{b:.6g}") for b in self.design.bvals],
            "NormalisedSignal": [float(f"{value:.6g}") for value in decay],
            "Images": [int(members.size) for members in self._shells],
        }

    def decay(self) -> FloatArray:
        """Return the mean signal of each shell over that of the first, (S,)."""
        if not self._shells or not self._shell_sum[0] > 0:
            return np.full(len(self._shells), np.nan)
        return np.asarray(self._shell_sum / self._shell_sum[0])

    def correlation(self) -> FloatArray:
        """Return how each image correlates with the mean of the others of its shell, (N,), NaN if alone."""
        found = np.full(self.design.n_measurements, np.nan)
        for place, members in enumerate(self._shells):
            if members.size >= FEWEST_IN_SHELL and self._count > 1:
                found[members] = self._with_others(place, members)
        return found

    def _with_others(self, place: int, members: npt.NDArray[np.intp]) -> FloatArray:
        """Return the correlation of the images of one shell, each with the mean of the others."""
        n = members.size
        centre = self._shell_sum[place] / self._count
        own = self._square[members] / self._count - (self._image[members] / self._count) ** 2
        mean = self._shell_square[place] / self._count - centre**2
        joint = self._cross[members] / self._count - centre * self._image[members] / self._count
        # The mean of the others is (n mean - own) / (n - 1); the factor cancels.
        covariance = n * joint - own
        variance = n**2 * mean - 2 * n * joint + own
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(covariance / np.sqrt(own * variance))


def _mean_over_median(design: SeriesDesign) -> float:
    """Return the mean over the median of the variance of normal noise (chi-squared, Wilson and Hilferty)."""
    freedom = len(design.reference) - 1
    return float((1 - 2 / (9 * freedom)) ** -3)
