"""Options of what is trained, on what labels, by what loss: the tables that a recipe chooses from.

A table's key ``type`` chooses its part. `rows` of data, network and loss must agree: voxels as features, as signals
and measurements, or as signals with labels. `module` says where the functions of a network are (`run.Trainer`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bids_qmri.errors import UsageError
from bids_qmri.physics.diffusion import B0_THRESHOLD, DiffusionProtocol


@dataclass(frozen=True)
class Anchored:
    """A controlled differential equation over the features of a voxel.

    Parameters
    ----------
    path
        Follow the measurements; otherwise only the context is read.
    anchor
        Correct the fit; otherwise nothing that comes from it is read and the middle of the box is corrected.
    state
        Length H of the state.
    field, readout, spread
        Widths of the hidden layers of the vector field and of the heads.
    looks_ahead
        Whether the vector field reads the point that a step leads to as well: where there are few of them, each
        must be understood by itself.
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
    """A controlled differential equation along a spline, with adaptive solver.

    Parameters
    ----------
    state
        Length of the state.
    field
        Widths of the hidden layers of the vector field; Kuppens et al. have five, and the output as the sixth.
    readout
        Widths of the hidden layers of every head.
    atol, rtol
        Tolerances of the solver at the beginning.
    halved
        Epochs at which both are halved.
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


@dataclass(frozen=True)
class Labels:
    """What a network for one scheme learns to answer.

    Parameters
    ----------
    kind
        ``gt``: the truth; ``mle``: a conventional fit, started at the truth; ``composite``: both.
    weight
        Weight of the fit where `kind` is ``composite``; the truth has the rest.
    likelihood
        Of the fit: ``gaussian`` (least squares), or ``rician`` with the true noise level.
    """

    kind: str = "gt"
    weight: float = 0.5
    likelihood: str = "gaussian"

    def __post_init__(self) -> None:
        for key, words in (("kind", ("gt", "mle", "composite")), ("likelihood", ("gaussian", "rician"))):
            if (seen := getattr(self, key)) not in words:
                raise UsageError(
                    f"is {seen!r}", field=f"recipe: labels.{key}", needed=f"one of {', '.join(words)}"
                )
        if not 0.0 <= self.weight <= 1.0:
            raise UsageError(f"is {self.weight!r}", field="recipe: labels.weight", needed="0 to 1")

    @property
    def share(self) -> float:
        """Weight of the fit, 0 to 1."""
        return {"gt": 0.0, "mle": 1.0, "composite": self.weight}[self.kind]

    @property
    def word(self) -> str:
        """What names of networks say of them."""
        return self.kind if self.kind == "composite" else f"nn{self.kind}"


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

    def table(self) -> dict[str, Any]:
        """Return what cards say of it."""
        scheme = self.protocol()
        return {
            "bvals": scheme.bvals.tolist(),
            "bvecs": [] if scheme.bvecs is None else scheme.bvecs.round(8).tolist(),
            "b0_threshold": scheme.b0_threshold,
            "digest": scheme.digest(),
        }

    def rounded(self) -> dict[str, Any]:
        """Return what identifies it: directions are divided by their length, last digits vary by computer."""
        return {
            "bvals": np.round(self.bvals, 1).tolist(),
            "bvecs": (np.round(self.bvecs, 4) + 0.0).tolist(),
            "b0_threshold": self.b0_threshold,
        }


NETWORKS: dict[str, type] = {"anchored": Anchored, "spline": Spline, "heads": Heads, "perceptron": Perceptron}
LOSSES: dict[str, type] = {
    "anchored": AnchoredLoss,
    "precision": PrecisionLoss,
    "study": StudyLoss,
    "squares": SquaredLoss,
}
