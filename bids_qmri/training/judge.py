"""How close estimates from parts of a protocol come to estimates from all of it, before and after tuning.

There is no truth in measured voxels. The references are those of Kuppens et al., section 2.4.2.4: an
estimator's own answer to all measurements, and that of least squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import IntArray
from bids_qmri.training.measured import MeasuredScan, draw_part, lengths_of
from bids_qmri.units import FloatArray

DRAWS = 4
"""Random parts of every length."""

JUDGE_STREAM = 31
"""Random stream of the parts: the same whatever was tuned."""

OWN, LSQ = "own", "lsq"
REFERENCES = OWN, LSQ

Maps = dict[str, FloatArray]
Answer = Callable[[MeasuredScan], Maps]
"""Takes a scan, or part of its measurements; returns maps (V,) by quantity."""


@dataclass(frozen=True)
class Judged:
    """Mean squared errors of one participant, over the parts of one length.

    Parameters
    ----------
    participant, length, quantity, reference
        Of what.
    before, after
        Mean squared error of the network as it was and as it is, in the unit of the quantity, squared.
    """

    participant: str
    length: int
    quantity: str
    reference: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """After over before."""
        return self.after / self.before


def judged_lengths(model: Model, scan: MeasuredScan, least: int) -> list[int]:
    """Return three numbers of measurements, from the fewest possible to one less than all."""
    lengths = lengths_of(model, scan.protocol, least)
    first, last = lengths[0], max(lengths[-1] - 1, lengths[0])
    return sorted({first, (first + last) // 2, last})


def judged_parts(model: Model, scan: MeasuredScan, least: int) -> list[IntArray]:
    """Return the measurements of the parts that a scan is judged by: `DRAWS` of each length, random."""
    rng = np.random.default_rng([JUDGE_STREAM, scan.protocol.n_measurements])
    lengths = judged_lengths(model, scan, least)
    return [draw_part(model, scan.protocol, count, least, rng) for count in lengths for _ in range(DRAWS)]


def squared_errors(
    model: Model, scan: MeasuredScan, parts: Sequence[IntArray], answers: Sequence[Answer]
) -> Iterator[tuple[int, str, str, list[float]]]:
    """Yield length, quantity, reference, and the mean squared error of every estimator.

    Taken over the voxels that all of them answer.
    """
    lsq = Lsq().fit(model, scan.signal, scan.protocol, bounds=scan.physical).maps
    whole = [answer(scan) for answer in answers]
    names = [p.name for p in (*model.parameters, *model.derived) if p.name != model.amplitude]
    for kept in parts:
        found = [answer(scan.only(kept)) for answer in answers]
        for name in names:
            values = np.stack([maps[name] for maps in (*found, *whole, lsq)])
            known = np.all(np.isfinite(values), axis=0)
            if not known.any():
                continue
            some = values[:, known]
            count = len(answers)
            for reference in REFERENCES:
                against = some[count : 2 * count] if reference == OWN else some[-1:]
                yield len(kept), name, reference, list(np.mean((some[:count] - against) ** 2, axis=1))


def judge(
    model: Model, scans: Sequence[MeasuredScan], least: int, before: Answer, after: Answer
) -> list[Judged]:
    """Compare a network with what it was, on the scans of participants that it was not tuned with.

    Parameters
    ----------
    model
        What is fitted.
    scans
        Of these participants.
    least
        Measurements that the network reads at least.
    before, after
        The network as it was, and as it is.
    """
    sums: dict[tuple[str, int, str, str], list[list[float]]] = {}
    for scan in scans:
        for length, name, reference, errors in squared_errors(
            model, scan, judged_parts(model, scan, least), (before, after)
        ):
            sums.setdefault((scan.participant, length, name, reference), []).append(errors)
    means = ((key, np.mean(errors, axis=0)) for key, errors in sums.items())
    # a quantity that is fixed has no error
    return [Judged(*key, float(old), float(new)) for key, (old, new) in means if old > 0]


@dataclass(frozen=True)
class Summary:
    """Mean over participants of the ratio of mean squared errors, with its standard deviation."""

    length: int
    quantity: str
    reference: str
    ratio: float
    error: float
    participants: int


def summarised(found: Sequence[Judged]) -> list[Summary]:
    """Return the mean ratio over participants, by length, quantity and reference."""
    keys = list(dict.fromkeys((one.length, one.quantity, one.reference) for one in found))
    rows = []
    for key in sorted(keys):
        some = np.array([o.ratio for o in found if (o.length, o.quantity, o.reference) == key])
        error = float(some.std(ddof=1) / np.sqrt(some.size)) if some.size > 1 else float("nan")
        rows.append(Summary(*key, float(some.mean()), error, some.size))
    return rows
