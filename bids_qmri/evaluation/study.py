"""What is asked of the scans of a study, and what they show: data alone, from workflows to pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.prior import PriorChoice
from bids_qmri.estimators.base import Estimator
from bids_qmri.estimators.posterior.box import quantities
from bids_qmri.evaluation.agreement import Agreement
from bids_qmri.evaluation.answers import Maps
from bids_qmri.evaluation.scores import Regions, Score
from bids_qmri.physics.model import Bounds, Model

WHOLE, EVERY_REGION = "mask", "all regions"
"""Names of the voxels of a scan without regions, and of all regions of a segmentation together."""


@dataclass(frozen=True)
class Question:
    """What is asked of every scan.

    Parameters
    ----------
    model
        What is fitted.
    estimators
        By label; `base` among them.
    base
        Label of least squares, that others are compared with.
    conventional
        Labels of those that agreement is told with.
    bounds
        Limits that a person wants.
    prior
        Where estimators that have a prior expect the truth.
    subsets
        Fixed sub-protocols instead of those of the technique.
    seed
        Of random sub-protocols.
    most
        About how many voxels of a scan are taken, evenly spread; 0: all.
    notes
        What a person should know of what is asked.
    """

    model: Model
    estimators: Mapping[str, Estimator]
    base: str
    conventional: tuple[str, ...]
    bounds: Bounds = field(default_factory=dict)
    prior: PriorChoice = "scan"
    subsets: tuple[tuple[float, ...], ...] = ()
    seed: int = 0
    most: int = 5000
    notes: tuple[str, ...] = ()

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of what is judged: parameters that go to files, without the amplitude, and derived ones."""
        internal = {p.name for p in self.model.parameters if p.internal}
        return tuple(name for name in quantities(self.model) if name not in internal)


@dataclass(frozen=True, eq=False)
class Example:
    """Maps of one slice.

    Parameters
    ----------
    participant
        Whose.
    mask
        Voxels of the slice, (X, Y, Z).
    affine
        Of the image.
    voxels
        Numbers of these voxels in Fortran order, (v,).
    columns
        Names of sub-protocols; the first is that of all measurements.
    maps
        Estimates by label of the estimator, one entry for each column; None where there are none.
    """

    participant: str
    mask: npt.NDArray[np.bool_]
    affine: npt.NDArray[np.float64]
    voxels: npt.NDArray[np.intp]
    columns: tuple[str, ...]
    maps: Mapping[str, tuple[Maps | None, ...]]


@dataclass(frozen=True, eq=False)
class Found:
    """What one scan showed.

    Parameters
    ----------
    participant, scan
        Label, and entities of the acquisition.
    measurements, images
        Different measurements, and images.
    voxels
        By region.
    scores, agreements
        Random sub-protocols pooled.
    pairs
        Estimates from all measurements by label, of the voxels of `regions`.
    regions
        Voxels of each region.
    example
        Maps of a slice, if they were asked for.
    notes
        What a person should know.
    """

    participant: str
    scan: str
    measurements: int
    images: int
    voxels: Mapping[str, int]
    scores: tuple[Score, ...]
    agreements: tuple[Agreement, ...]
    pairs: Mapping[str, Maps]
    regions: Regions
    example: Example | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """What a study shows.

    Parameters
    ----------
    question
        What was asked.
    found
        What each scan showed, one of each participant.
    notes
        Who was left out, and why.
    failed
        Whether that was an error, and not only a scan that cannot be evaluated.
    """

    question: Question
    found: tuple[Found, ...]
    notes: tuple[str, ...]
    failed: bool = False
