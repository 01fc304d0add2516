"""Outliers of a study in words: whose they are, how far out, and whether the fit is to blame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.qc.definitions import MASK
from bids_qmri.reports.group_figures import acquisition
from bids_qmri.reports.group_flags import Usual, usual_of
from bids_qmri.reports.group_metrics import OWN, Shown
from bids_qmri.reports.group_table import GroupTable
from bids_qmri.reports.page import number, percent, with_unit

MOST_PEOPLE = 10
"""Participants that the page tells of; the table marks all."""
MOST_SENTENCES = 4
"""Of one participant, each of another metric."""
MOST_PLACES = 3
"""Other fits and regions in which a metric is unusual that its sentence names."""

HARDLY = 0.5
"""Share of voxels below which a median is said to be of few."""

RESIDUAL = "rmse_median"


@dataclass(frozen=True)
class Sentence:
    """One metric: the acquisition in which it is furthest out, and what is said of it."""

    who: str
    text: str

    def told(self, name: str) -> str:
        """Return what is said below a participant's name: which of several acquisitions it is."""
        own = self.who.removeprefix(name).removeprefix("_")
        return f"{own}: {self.text}" if own else self.text


@dataclass(frozen=True)
class Told:
    """What is said of one participant, the worst first, and how many sentences more there would be."""

    name: str
    href: str
    sentences: tuple[Sentence, ...]
    more: int


_Place = tuple[float, int, Shown]
"""Minus the distance, row of the table, metric."""


@dataclass(frozen=True)
class _Study:
    """The table with the rows of every estimator and region, and what is usual among them."""

    group: GroupTable
    rows: Mapping[tuple[str, str], npt.NDArray[np.intp]]
    usual: dict[tuple[str, tuple[str, str]], Usual | None]

    def usual_in(self, metric: str, key: tuple[str, str]) -> Usual | None:
        """Return what is usual of a metric by one estimator in one region."""
        if (metric, key) not in self.usual:
            values = self.group.metrics.get(metric)
            self.usual[metric, key] = None if values is None else usual_of(values[self.rows[key]])
        return self.usual[metric, key]


def outliers_in_words(group: GroupTable, shown: Sequence[Shown]) -> tuple[list[Told], int]:
    """Say of every participant with outliers what is unusual.

    Parameters
    ----------
    group
        All fits of a model.
    shown
        The metrics of the page.

    Returns
    -------
    told
        The participants with the largest distances first, no more than `MOST_PEOPLE`.
    more
        How many others have outliers.
    """
    found: dict[str, dict[str, list[_Place]]] = {}
    study = _Study(group, _rows(group), {})
    for one in shown:
        for row in np.flatnonzero(group.outliers.get(one.name, ())).tolist():
            usual = study.usual_in(one.name, _key(group, row))
            if usual is not None:
                distance = abs(float(group.metrics[one.name][row]) - usual.median) / usual.sd
                own = found.setdefault(group.labels["participant_id"][row], {})
                own.setdefault(one.name, []).append((-distance, row, one))
    told = {name: _worst_first(own) for name, own in found.items()}
    names = sorted(told, key=lambda name: (_order(told[name][0][0]), name))
    return [_told(study, name, told[name]) for name in names[:MOST_PEOPLE]], len(names[MOST_PEOPLE:])


def _worst_first(found: Mapping[str, list[_Place]]) -> list[list[_Place]]:
    """Return the places of every metric, the metric that is furthest out first, and its worst place first."""
    return sorted((sorted(places, key=_order) for places in found.values()), key=lambda one: _order(one[0]))


def _order(place: _Place) -> tuple[float, int]:
    return place[:2]


def _told(study: _Study, name: str, metrics: Sequence[list[_Place]]) -> Told:
    sentences = tuple(_sentence(study, places) for places in metrics[:MOST_SENTENCES])
    return Told(name, study.group.pages[metrics[0][0][1]], sentences, len(metrics) - len(sentences))


def _rows(group: GroupTable) -> dict[tuple[str, str], npt.NDArray[np.intp]]:
    found: dict[tuple[str, str], list[int]] = {}
    for row in range(len(group.pages)):
        found.setdefault(_key(group, row), []).append(row)
    return {key: np.array(rows, dtype=np.intp) for key, rows in found.items()}


def _key(group: GroupTable, row: int) -> tuple[str, str]:
    return group.labels["estimator"][row], group.labels["region"][row]


def _sentence(study: _Study, places: Sequence[_Place]) -> Sentence:
    """Say how far a metric lies from the study's median, worst place first, and what else is known of it."""
    distance, row, one = places[0]
    group, key = study.group, _key(study.group, row)
    usual = study.usual_in(one.name, key)
    assert usual is not None
    value, scale = float(group.metrics[one.name][row]), 10.0**-one.exponent
    title = f"{one.title} median" if one.group == OWN else one.title
    side = "above" if value > usual.median else "below"
    who = acquisition(group, row)
    others = [_where(group, place[1], who) for place in places[1:]]
    also = [f"also {'; '.join(others[:MOST_PLACES])}"] * bool(others)
    also += [f"{len(others[MOST_PLACES:])} more"] * bool(others[MOST_PLACES:])
    text = (
        f"{title} {with_unit(number(value * scale), one.unit)} is {_distance(-distance)} {side} the study's "
        f"median {with_unit(number(usual.median * scale), one.unit)} "
        f"({'; '.join([_where(group, row, who), *also])})"
    )
    return Sentence(who, "; ".join([text, *_reasons(study, row, one)]) + ".")


def _where(group: GroupTable, row: int, who: str) -> str:
    """Return estimator and region of a row, and its acquisition if that is not the one that is told of."""
    estimator, region = _key(group, row)
    own = acquisition(group, row)
    return f"{f'{own} ' if own != who else ''}{estimator}, {'whole mask' if region == MASK else region}"


def _distance(distance: float) -> str:
    return f"{distance:,.1f} robust standard deviations"


def _reasons(study: _Study, row: int, one: Shown) -> Iterator[str]:
    """Yield what else is known of a fit whose map is unusual: its residual, and how much is determined."""
    group, key = study.group, _key(study.group, row)
    if one.group != OWN:
        return
    usual, residuals = study.usual_in(RESIDUAL, key), group.metrics.get(RESIDUAL)
    if usual is not None and residuals is not None and not np.isnan(residuals[row]):
        distance = (float(residuals[row]) - usual.median) / usual.sd
        high = bool(group.outliers[RESIDUAL][row])
        yield f"the fit's residual is {_distance(distance) + ' above, too' if high else 'usual'}"
    share = group.metrics[one.determined][row] if one.determined else np.nan
    if share < HARDLY:
        yield f"the data determine it in {percent(float(share))} of the voxels"
