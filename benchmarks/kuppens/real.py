"""Measured data, subsampled as in Figs 6 and 8 of the study, against estimates from all measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.bids.acquisition import ReadOptions
from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimation.preparation import prepare
from bids_qmri.estimators.base import FitResult, get_estimator
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.evaluation.answers import Answer, Sample
from bids_qmri.evaluation.scores import Ratio, Score
from bids_qmri.evaluation.scores import pooled as pooled_scores
from bids_qmri.evaluation.study import Question
from bids_qmri.evaluation.subsets import choose_subsets
from bids_qmri.physics.model import Bounds
from bids_qmri.workflows.evaluate import densest
from bids_qmri.workflows.evaluate_one import answers_in, opened_sample, score_subset
from kuppens.cells import SCALE, SEED, TABLE1, UNIT
from kuppens.designs import WIDE
from kuppens.rows import Row, rows_of
from kuppens.text import text

ESTIMATORS = ("lsq", "map", "bayes", "ncde")
"""Of the package, asked as `bids_qmri-evaluate` asks them."""

NOT_HERE = ("bayes-exact", "mlp")
"""Too slow for so many voxels; made for another protocol."""

SUBSETS = {"vfa": ((2.0, 6.0, 20.0), (2.0, 6.0, 14.0, 20.0), (2.0, 6.0, 10.0, 14.0, 20.0))}
"""In place of the fixed ones of the study, whose largest angle was not measured."""

WORD = {"vfa": "flips", "ivim": "b"}
"""What subsets are of."""


@dataclass(frozen=True)
class Comparison:
    """Errors of one estimator against a reference, over the voxels that all estimators answer.

    Parameters
    ----------
    reference
        ``"own"``: the estimator's own answer to all measurements; ``"lsq"``: that of least squares;
        ``"rest"``: that of least squares to the measurements that are not in the subset.
    mse, bias, variance
        In the unit of the quantity.
    lsq
        Mean squared error of least squares.
    ratio
        Its mean squared error over that of lsq.
    """

    data: str
    model: str
    box: str
    length: int
    subset: str
    quantity: str
    reference: str
    row: str
    mse: float
    bias: float
    variance: float
    lsq: float
    ratio: Ratio
    voxels: int


@dataclass(frozen=True)
class Scan:
    """The series of one participant; about `most` of its voxels, evenly spread, None for all."""

    name: str
    model: str
    data: Path
    most: int | None


def scans(data: Path, most: int | None) -> list[Scan]:
    """Return the flip-angle series and the three IVIM series."""
    named = [("vfadce", "vfa"), *((f"ivim{i}", "ivim") for i in (1, 2, 3))]
    return [Scan(f"sub-{name}", model, data, most) for name, model in named]


def compare(scan: Scan, networks: Path | None) -> list[Comparison]:
    """Compare estimates from subsets of the measurements with those from all, as `bids_qmri-evaluate`."""
    found: list[Comparison] = []
    model = get_model(scan.model)
    rois = scan.data / "derivatives" / "rois"
    options = ReadOptions(derivatives={"rois": rois, "masks": rois}, motion=False)
    acquisition, _ = densest(scan.data, scan.name.removeprefix("sub-"), scan.model, options)
    assert acquisition is not None
    for name, limits in (("Table 1", TABLE1[scan.model]), ("wide", WIDE[scan.model])):
        asked = question(scan, limits)
        with opened_sample(acquisition, options, asked) as (opened, sample, regions):
            answers = answers_in(opened, sample, asked)
            told = opened.noise(model, opened.prepare(model, asked.estimators["lsq"], limits))
            answers |= _others(scan.model, replace(sample, noise=told), limits, networks)
            protocol = opened.acquisition.protocol
        first = next(iter(regions))
        every, notes = {first: regions[first]}, {}
        full = {label: answer(None) for label, answer in answers.items()}
        for subset in choose_subsets(scan.model, protocol, asked.subsets, asked.seed):
            of_subset = scan.name.removeprefix("sub-"), subset, answers, full, asked, protocol, every, notes
            found += [_comparison(scan, name, score) for score in score_subset(*of_subset)]
    return found


def question(scan: Scan, limits: Bounds) -> Question:
    """Return what is asked of a scan: estimators of the package, an even prior within the limits."""
    return Question(
        get_model(scan.model),
        {label: get_estimator(scan.model, label) for label in ESTIMATORS},
        base="lsq",
        conventional=("lsq",),
        bounds=limits,
        prior="box",
        subsets=SUBSETS.get(scan.model, ()),
        seed=SEED,
        most=scan.most or 0,
    )


def _others(model: str, sample: Sample, limits: Bounds, networks: Path | None) -> dict[str, Answer]:
    """Return what the rows of the benchmark answer that are no estimators of the package."""
    rows = [row for row in rows_of(model, networks) if row.name not in (*NOT_HERE, *ESTIMATORS)]
    return {row.name: partial(_answer, row, get_model(model), sample, limits) for row in rows}


def _answer(row: Row, model: Any, sample: Sample, limits: Bounds, kept: Sequence[int] | None) -> FitResult:
    part = sample.of(kept)
    how = prepare(model, Lsq(), part.scan, limits)
    signal, protocol = how.convert(part.signal, part.voxels)
    assert part.noise is not None
    sigma = np.broadcast_to(part.noise.at(part.voxels).scatter, part.voxels.shape)
    answer = row.fit(model, signal, protocol, sigma=sigma, bounds=limits)
    if answer is None:
        raise InputError(f"{row.name} cannot be used for this protocol")
    return answer


def _comparison(scan: Scan, box: str, score: Score) -> Comparison:
    unit = "random" if score.subset == "random" else f"{WORD[scan.model]} {score.subset}"
    where = scan.name, scan.model, box, score.length, unit, score.quantity, score.reference, score.estimator
    return Comparison(*where, score.mse, score.bias, score.variance, score.lsq, score.ratio, score.voxels)


def pooled(found: Sequence[Comparison]) -> list[Comparison]:
    """Average the random subsets of every length; the middle of the range has no reference of its own."""
    kept = [c for c in found if not (c.row == "constant" and c.reference == "own")]
    groups: dict[tuple[Any, ...], list[Comparison]] = {}
    for c in kept:
        groups.setdefault(_key(c), []).append(c)
    return [_mean(group) for group in groups.values()]


def _mean(group: Sequence[Comparison]) -> Comparison:
    """Return the mean, as `bids_qmri.evaluation.scores` takes it."""
    first = group[0]
    scores = [
        Score("", "", c.row, c.subset, c.length, c.quantity, c.reference, *_numbers(c), c.voxels)
        for c in group
    ]
    (mean,) = pooled_scores(scores)
    return replace(
        first, **{name: getattr(mean, name) for name in ("mse", "bias", "variance", "lsq", "ratio")}
    )


def _numbers(c: Comparison) -> tuple[Any, ...]:
    return c.mse, c.bias, c.variance, c.lsq, c.ratio


def _key(c: Comparison) -> tuple[Any, ...]:
    return c.data, c.model, c.box, c.length, c.subset, c.quantity, c.reference, c.row


def table(found: Sequence[Comparison]) -> list[str]:
    """Return a line per scan, limits, subset and quantity; ratios over lsq."""
    rows = list(dict.fromkeys(c.row for c in found if c.row != "lsq"))
    heads = [f"{row} ÷ lsq" for row in rows]
    lines = [
        f"| data | limits | subset | | reference | MSE lsq | {' | '.join(heads)} "
        "| bias lsq, ncde | variance lsq, ncde |",
        "|" + "---|" * (len(rows) + 8),
    ]
    for key in dict.fromkeys(_key(c)[:7] for c in found):
        group = {c.row: c for c in found if _key(c)[:7] == key}
        lsq, net, quantity = group["lsq"], group.get("ncde"), key[5]
        scale = SCALE.get(quantity, 1.0)
        cells = [key[0], key[2], f"{key[3]}: {key[4]}", UNIT[quantity], key[6], f"{scale**2 * lsq.mse:.3g}"]
        cells += [text(group[row].ratio if row in group else None) for row in rows]
        for name, power in (("bias", 1), ("variance", 2)):
            both = [f"{scale**power * getattr(c, name):.2g}" for c in (lsq, net) if c is not None]
            cells.append(", ".join(both))
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]
