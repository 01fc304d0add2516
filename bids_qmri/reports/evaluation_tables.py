"""Tables of an evaluation in long format, with their data dictionaries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from bids_qmri.estimators.determined import NARROW
from bids_qmri.evaluation.agreement import Agreement
from bids_qmri.evaluation.scores import REFERENCES, Score

MISSING = "n/a"

UNITS_SQUARED = "In the square of unit."

SCORES: Mapping[str, str] = {
    "participant_id": "Label of the participant.",
    "region": "Voxels of the row: a region of the segmentation, all regions together, or mask.",
    "estimator": "Label of the estimator, or name of the network's file.",
    "subset": "Sub-protocol: the measurements that it keeps, or random for the mean over several.",
    "measurements": "Different measurements that it keeps.",
    "quantity": "Name of the parameter.",
    "unit": "Unit of the parameter.",
    "reference": "What estimates are compared with: "
    + "; ".join(f"{name}, {text}" for name, text in REFERENCES.items())
    + ".",
    "mse": f"Mean squared error over voxels. {UNITS_SQUARED}",
    "bias": "Mean of the error, estimate minus reference. In unit.",
    "variance": f"Variance of the error over voxels. {UNITS_SQUARED}",
    "ratio": "Mean squared error over that of least squares in the same voxels.",
    "se": "Standard deviation of ratio as an estimate, from voxels as if these were independent.",
    "voxels": "Voxels in which all estimators and references have a value.",
    "determined": "Share of voxels in which the sub-protocol determines the quantity by this estimator: a "
    f"standard deviation of at most {NARROW:g} of that of a guess within the default limits, at no limit; "
    "n/a where nobody can tell.",
}

AGREEMENT: Mapping[str, str] = {
    "participant_id": SCORES["participant_id"],
    "region": SCORES["region"],
    "estimator": SCORES["estimator"],
    "against": "Label of the conventional fit that it is compared with.",
    "quantity": SCORES["quantity"],
    "unit": SCORES["unit"],
    "mean": "Mean over voxels of the estimator, from all measurements. In unit.",
    "sd": "Standard deviation over voxels of the estimator. In unit.",
    "against_mean": "Mean over voxels of the conventional fit. In unit.",
    "against_sd": "Standard deviation over voxels of the conventional fit. In unit.",
    "bias": "Mean of the difference, estimator minus conventional fit. In unit.",
    "difference_sd": "Standard deviation of the difference over voxels. In unit.",
    "correlation": "Pearson's correlation.",
    "r2": "1 - sum (x - y)^2 / sum (y - mean y)^2 of estimates x and those y of the conventional fit.",
    "voxels": "Voxels in which all estimators have a value.",
    "determined": "Share of voxels in which all measurements determine the quantity by the estimator; n/a "
    "where nobody can tell.",
    "against_determined": "The same by the conventional fit.",
}


def score_rows(scores: Iterable[Score], units: Mapping[str, str]) -> list[list[str]]:
    """Return the cells of the table of errors, in the order of `SCORES`."""
    return [
        [
            *(f"sub-{s.participant}", s.region, s.estimator, s.subset, str(s.length), s.quantity),
            *(units[s.quantity], s.reference),
            *map(_number, (s.mse, s.bias, s.variance, s.ratio.value, s.ratio.se)),
            str(s.voxels),
            _number(s.determined),
        ]
        for s in scores
    ]


def agreement_rows(found: Iterable[Agreement], units: Mapping[str, str]) -> list[list[str]]:
    """Return the cells of the table of agreement, in the order of `AGREEMENT`."""
    numbers = ("mean", "sd", "against_mean", "against_sd", "bias", "difference_sd", "correlation", "r2")
    return [
        [
            *(f"sub-{a.participant}", a.region, a.estimator, a.against, a.quantity, units[a.quantity]),
            *(_number(getattr(a, name)) for name in numbers),
            str(a.voxels),
            *map(_number, (a.determined, a.against_determined)),
        ]
        for a in found
    ]


def as_tsv(columns: Iterable[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as tab-separated values."""
    return "".join("\t".join(row) + "\n" for row in [list(columns), *rows])


def dictionary(columns: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the data dictionary of a table."""
    return {name: {"Description": text} for name, text in columns.items()}


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else MISSING
