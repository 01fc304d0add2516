"""Options of what is trained, on what labels, by what loss: the tables that a recipe chooses from.

A table's key ``type`` chooses its part. `rows` of data, network and loss must agree (`pool`): features,
signals with measurements, or signals with labels. `module` is where the functions of a network are (`run`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bids_qmri.errors import UsageError
from bids_qmri.physics.diffusion import B0_THRESHOLD, DiffusionProtocol


@dataclass(frozen=True)
class Anchored:
    """A controlled differential equation over the features of a voxel, with a state of length H.

    Parameters
    ----------
    path
        Follow the measurements; otherwise only the context is read.
    anchor
        Correct the fit; otherwise nothing that comes from it is read and the middle of the box is corrected.
    field, readout, spread
        Widths of the hidden layers of the vector field and of the heads.
    looks_ahead
        Whether the vector field reads the point that a step leads to as well: where there are few of them,
        each must be understood by itself.
    """

    rows: ClassVar[str] = "features"
    module: ClassVar[str] = "bids_qmri.training.anchored"

    path: bool
    anchor: bool
    state: int
    field: tuple[int, ...]
    readout: tuple[int, ...]
    spread: tuple[int, ...]
    looks_ahead: bool = False


@dataclass(frozen=True)
class Spline:
    """A controlled differential equation along a spline, whose solver has tolerances `atol` and `rtol`.

    `state` is the length of the state, `field` and `readout` are widths of hidden layers, and `halved` the
    epochs at which the tolerances are.
    """

    rows: ClassVar[str] = "signals"
    module: ClassVar[str] = "bids_qmri.training.spline"

    state: int
    field: tuple[int, ...]
    readout: tuple[int, ...]
    atol: float
    rtol: float
    halved: tuple[int, ...]


@dataclass(frozen=True)
class Heads:
    """Parallel perceptrons, one per parameter; `spread` are the hidden widths of those of the spread."""

    rows: ClassVar[str] = "signals"
    module: ClassVar[str] = "bids_qmri.training.heads"

    hidden: tuple[int, ...]
    spread: tuple[int, ...]


@dataclass(frozen=True)
class Perceptron:
    """Widths of the hidden layers, and the alpha of their exponential linear units."""

    rows: ClassVar[str] = "labels"
    module: ClassVar[str] = "bids_qmri.training.perceptron"

    hidden: tuple[int, ...]
    elu: float


NETWORKS: dict[str, type] = {"anchored": Anchored, "spline": Spline, "heads": Heads, "perceptron": Perceptron}


@dataclass(frozen=True)
class AnchoredLoss:
    """Errors over the width of the anchor, weighed by this power of the signal-to-noise ratio.

    Ratios are drawn log-uniformly; a power of 1 makes the prior of the amplitude uniform.
    """

    rows: ClassVar[str] = "features"

    snr_power: float = 0.0


@dataclass(frozen=True)
class PrecisionLoss:
    """Errors over the standard deviation that the network states."""

    rows: ClassVar[str] = "features"


@dataclass(frozen=True)
class StudyLoss:
    """Weights of the two terms of equation 6 of Kuppens et al.: of the truth, and of the curve."""

    rows: ClassVar[str] = "signals"

    supervised: float
    physics: float


@dataclass(frozen=True)
class SquaredLoss:
    """Mean squared error of the labels."""

    rows: ClassVar[str] = "labels"


LOSSES: dict[str, type] = {"anchored": AnchoredLoss, "precision": PrecisionLoss}
LOSSES |= {"study": StudyLoss, "squares": SquaredLoss}


@dataclass(frozen=True)
class Labels:
    """What a network for one scheme learns to answer.

    ``gt``: the truth; ``mle``: a conventional fit, started at the truth; ``composite``: both, the fit with so
    much weight. Its likelihood is ``gaussian`` (least squares), or ``rician`` with the true noise level.
    """

    kind: str = "gt"
    weight: float = 0.5
    likelihood: str = "gaussian"

    def __post_init__(self) -> None:
        words = {"kind": ("gt", "mle", "composite"), "likelihood": ("gaussian", "rician")}
        needed = {key: f"one of {', '.join(known)}" for key, known in words.items()} | {"weight": "0 to 1"}
        wrong = [key for key, known in words.items() if getattr(self, key) not in known]
        wrong += [] if 0.0 <= self.weight <= 1.0 else ["weight"]
        for key in wrong:
            seen = getattr(self, key)
            raise UsageError(f"is {seen!r}", field=f"recipe: labels.{key}", needed=needed[key])

    @property
    def share(self) -> float:
        """Weight of the fit, 0 to 1."""
        return {"gt": 0.0, "mle": 1.0, "composite": self.weight}[self.kind]


@dataclass(frozen=True)
class Scheme:
    """b-values in s/mm^2, unit directions, and the b-value up to which there is no weighting."""

    bvals: tuple[float, ...]
    bvecs: tuple[tuple[float, float, float], ...] = ()
    b0_threshold: float = B0_THRESHOLD

    def protocol(self) -> DiffusionProtocol:
        """Return the protocol."""
        bvecs = np.array(self.bvecs) if self.bvecs else None
        return DiffusionProtocol(np.array(self.bvals), bvecs, b0_threshold=self.b0_threshold)

    def table(self, b_digits: int = 12, digits: int = 8) -> dict[str, Any]:
        """Return its values, rounded: directions of unit length differ by computer in their last digits."""
        return {
            "bvals": np.round(self.bvals, b_digits).tolist(),
            "bvecs": (np.round(self.bvecs, digits) + 0.0).tolist(),
            "b0_threshold": self.b0_threshold,
        }
