"""What a technique declares so that networks can be trained for it; read by `training`, from its recipes.

Subclasses stand in ``sampling.py`` (or ``protocol.py``) of a technique's folder under the names that recipes
know: `Ranges`, `Varied`, `Fixed`. They are frozen dataclasses whose fields are the keys of a recipe's table
``[protocol]``. Whatever is random comes from the generator that is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import UsageError
from bids_qmri.physics.protocol import IntArray, Protocol, Range
from bids_qmri.units import FloatArray


def log_uniform(limits: Range, count: int, rng: np.random.Generator) -> FloatArray:
    """Draw numbers evenly on a logarithmic scale, shape (V,)."""
    return np.asarray(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), count)))


def choose_measurements(protocol: Protocol, count: int, rng: np.random.Generator) -> IntArray:
    """Draw some of the measurements of a protocol, in their order: the first, the last, and any between.

    What a technique's ``sampling.choose`` does where a publication says how.
    """
    between = rng.permutation(np.arange(1, protocol.n_measurements - 1))[: max(count - 2, 0)]
    return np.sort(np.concatenate([[0, protocol.n_measurements - 1], between]).astype(np.intp))


def nearest(values: FloatArray, wanted: FloatArray) -> IntArray:
    """Return the numbers of the values nearest to those wanted, none twice, in increasing order."""
    kept: list[int] = []
    for value in wanted:
        order = np.argsort(np.abs(values - value), kind="stable")
        kept.append(int(next(i for i in order if i not in kept)))
    return np.sort(np.array(kept, dtype=np.intp))


class Ranges(ABC):
    """Broad protocols, that networks for any protocol are trained with."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, paper_share: float) -> Protocol:
        """Draw a protocol, with probability `paper_share` one that a publication prescribes."""

    def per_voxel(self, protocol: Protocol, count: int, rng: np.random.Generator) -> Protocol:
        """Return the protocol of `count` voxels, some of it different in each of them."""
        return protocol

    @abstractmethod
    def coverage(self) -> dict[str, list[float]]:
        """Return smallest and largest value of what `Protocol.extremes` states, and of ``measurements``."""


class Study:
    """What networks of Kuppens et al. (doi:10.48550/arXiv.2412.20844) are told of a technique.

    The entries of the context whose sum is the logarithm of the `unit` that features divide signals by, empty
    where the amplitude is divided out anyway; two parameters of each derived quantity, of which all are
    `products`.
    """

    unit: ClassVar[tuple[str, ...]] = ()
    products: ClassVar[tuple[tuple[str, str], ...]] = ()

    def first(self, measured: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the first signal over the amplitude that it stands for, of the first of the measurements."""
        return np.ones_like(measured)

    def scales(self, protocol: Protocol) -> dict[str, float]:
        """Return what estimates are multiplied by, by parameter, for a protocol that is not that of training.

        Raises
        ------
        InputError
            If networks of the study cannot know such a protocol.
        """
        return {}

    def curve(self, xp: Any, theta: Any, measured: Any) -> Any:
        """Return noise-free signals, (V, N), for the physics term of a loss; all in double precision.

        Parameters
        ----------
        xp
            Functions by the names of numpy: numpy itself, or a library that differentiates.
        theta, measured
            Parameters, (V, P), and measurements, (V, N) or (1, N), the first of `Protocol.values`.
        """
        needed = f"0, or a method curve of {type(self).__name__} in {type(self).__module__}"
        raise UsageError("there are no curves", field="recipe: loss.physics", needed=needed)


class Varied(Study, ABC):
    """Protocols of Table 2; `lengths` are the smallest and largest number of measurements."""

    lengths: ClassVar[tuple[int, int]]

    @abstractmethod
    def draw(self, rng: np.random.Generator, length: int) -> FloatArray:
        """Draw measurements, (N,), in increasing order."""


class Fixed(Study, ABC):
    """One protocol, the only one of a network."""

    @abstractmethod
    def protocol(self) -> Any:
        """Return the protocol."""
