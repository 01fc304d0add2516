"""Measured voxels to train with: scans as they are fitted, and parts of their protocols."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.estimators.networks.coverage import n_different
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.prior import EVEN, Prior
from bids_qmri.physics.protocol import IntArray, Protocol
from bids_qmri.physics.sampling import choose_measurements
from bids_qmri.units import FloatArray

HASH_DIGITS = 16
"""Of what stands for a participant on cards."""


@dataclass(frozen=True, eq=False)
class MeasuredScan:
    """Voxels of one scan with what an estimator is told of them.

    Parameters
    ----------
    participant, scan
        Label without ``sub-``, and the entities of the acquisition.
    signal
        As fitted, (V, N), all usable.
    protocol, noise
        What was played out, and the noise of a single image.
    bounds, physical
        Limits of estimators with a prior, and those of least squares; None: the model's.
    prior
        Where the truth is expected within `bounds`.
    """

    participant: str
    scan: str
    signal: FloatArray
    protocol: Protocol
    noise: VoxelNoise
    bounds: Bounds | None = None
    physical: Bounds | None = None
    prior: Prior = EVEN

    def take(self, voxels: IntArray) -> MeasuredScan:
        """Return some of the voxels."""
        protocol, noise = self.protocol.take(voxels), self.noise.take(voxels)
        return replace(self, signal=self.signal[voxels], protocol=protocol, noise=noise)

    def only(self, kept: IntArray) -> MeasuredScan:
        """Return some of the measurements; noise and prior stay what the whole scan tells."""
        return replace(
            self, signal=np.ascontiguousarray(self.signal[:, kept]), protocol=self.protocol.chosen(kept)
        )

    @property
    def told(self) -> Noise:
        """The noise as estimators take it."""
        return Noise(self.noise.floor, self.noise.scatter)

    def digest(self) -> str:
        """Return a hash of signals, protocol and noise."""
        sha = hashlib.sha256(self.protocol.digest().encode())
        for array in (self.signal, self.noise.floor, self.noise.scatter):
            sha.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return sha.hexdigest()


def data_hash(scans: Sequence[MeasuredScan]) -> str:
    """Return a hash of the voxels of several scans, in whatever order."""
    return hashlib.sha256("".join(sorted(scan.digest() for scan in scans)).encode()).hexdigest()


def participant_hashes(scans: Sequence[MeasuredScan]) -> dict[str, str]:
    """Return what stands for each participant on a card, by label: a hash of data; labels can be guessed."""
    labels = dict.fromkeys(scan.participant for scan in scans)
    return {
        label: data_hash([scan for scan in scans if scan.participant == label])[:HASH_DIGITS]
        for label in labels
    }


def lengths_of(model: Model, protocol: Protocol, least: int) -> range:
    """Return the numbers of measurements of parts of a protocol that determine a model.

    Parameters
    ----------
    model, protocol
        What is fitted, and what was played out.
    least
        Number of measurements that a network reads at least.
    """
    first = max(least, 1 if model.amplitude is None else len(model.parameters))
    return range(min(first, protocol.n_measurements), protocol.n_measurements + 1)


def draw_part(
    model: Model, protocol: Protocol, count: int, least: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Draw so many measurements of a protocol, by Table 2 of Kuppens et al. where it has the technique.

    Where what is left does not suit the model, such as echoes with gaps, the first ones are taken.
    """
    if count >= protocol.n_measurements:
        return np.arange(protocol.n_measurements)
    choose = catalogue.part(model.name, "sampling", "choose") or choose_measurements
    kept: IntArray = choose(protocol, count, rng)
    part = protocol.chosen(kept)
    if model.obstacle(part) or n_different(part) < least:
        return np.arange(count)
    return kept
