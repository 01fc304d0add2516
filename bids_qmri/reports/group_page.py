"""The page of one model over all participants: useful as it is, and more so with its script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from bids_qmri.bids.participants import Participants
from bids_qmri.completion.standing import Standing
from bids_qmri.qc.definitions import MASK
from bids_qmri.reports.group_figures import acquisition, draw_distribution
from bids_qmri.reports.group_flags import OUTLIER_LIMIT
from bids_qmri.reports.group_metrics import OWN, SAME, Shown, first_set, shown_metrics
from bids_qmri.reports.group_outliers import outliers_in_words
from bids_qmri.reports.group_payload import payload
from bids_qmri.reports.group_table import GroupTable
from bids_qmri.reports.page import number, render
from bids_qmri.reports.repeatability import Line as RepeatLine
from bids_qmri.reports.repeatability import row_of

MOST_ROWS = 300
"""Fits up to which the page lists all of them without its script; of more, those with outliers."""

SCRIPTS = ("group-data.js", "group-plots.js", "group-table.js", "group-download.js", "group.js")

_IN_LIST = ("fraction_ok", "fraction_at_bound", "rmse_median", "snr")


@dataclass(frozen=True)
class Summary:
    """Distribution of one metric by one estimator: number of fits, percentiles, number of outliers."""

    title: str
    description: str
    estimator: str
    fits: int
    numbers: tuple[float | None, ...]
    outliers: int | None


@dataclass(frozen=True)
class Line:
    """One fit in the list."""

    href: str
    acquisition: str
    estimator: str
    region: str
    numbers: tuple[float | None, ...]
    outliers: str


def group_page(
    group: GroupTable,
    people: Participants,
    absent: Sequence[Standing] = (),
    repeats: Sequence[RepeatLine] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return the page.

    Parameters
    ----------
    group
        All fits of a model.
    people
        What is known of the participants.
    absent
        Participants who are not complete.
    repeats, notes
        How repeats agree, and what cannot be told of them.
    """
    shown = shown_metrics(group)
    data, left_out = payload(group, shown, people)
    own = [one for one in shown if one.group == OWN]
    determined = [one for one in shown if one.group == "Determined"]
    core = [one for one in shown if one.group in (SAME, OWN, "Determined", "Fit", "Images")]
    listed = [*own, *determined, *(one for one in shown if one.name in _IN_LIST)]
    flags = group.flags()
    rows = _listed_rows(group, flags)
    unusual, more_unusual = outliers_in_words(group, shown)
    return render(
        "group.html",
        scripts=SCRIPTS,
        title=group.table.title,
        lead=_lead(group, flags),
        table=f"group_{group.table.model}.tsv",
        dictionary=f"group_{group.table.model}.json",
        limit=number(OUTLIER_LIMIT),
        data=Markup(data),
        left_out=[one.name for one in left_out],
        figures=[draw_distribution(group, one) for one in first_set(shown)],
        same=SAME if any(one.group == SAME for one in shown) else "",
        own=OWN,
        unusual=unusual,
        more_unusual=more_unusual,
        summaries=list(_summaries(group, core)),
        columns=[one.heading for one in listed],
        lines=[_line(group, row, listed, flags[row], shown) for row in rows],
        absent=absent,
        repeats=[row_of(one) for one in repeats],
        notes=notes,
        whole=len(rows) == len(group.pages),
    )


def _lead(group: GroupTable, flags: Sequence[Sequence[str]]) -> str:
    fits = sum(region == MASK for region in group.labels["region"])
    participants = len(set(group.labels["participant_id"]))
    outliers = len({group.labels["participant_id"][row] for row, names in enumerate(flags) if names})
    texts = [
        f"{many:,} {noun}{'' if many == 1 else 's'}"
        for many, noun in ((fits, "fit"), (participants, "participant"))
    ]
    return f"{' of '.join(texts)}, {outliers:,} with outliers"


def _listed_rows(group: GroupTable, flags: Sequence[Sequence[str]]) -> list[int]:
    """Return all rows, or of many those with the most outliers."""
    if len(flags) <= MOST_ROWS:
        return list(range(len(flags)))
    flagged = [row for row, names in enumerate(flags) if names]
    return sorted(flagged, key=lambda row: -len(flags[row]))[:MOST_ROWS]


def _summaries(group: GroupTable, shown: Sequence[Shown]) -> Iterable[Summary]:
    """Yield one line per metric and estimator, over whole masks."""
    labels = np.array(group.labels["estimator"])
    whole = np.array([region == MASK for region in group.labels["region"]])
    for one in shown:
        values = group.metrics[one.name] * 10.0**-one.exponent
        for estimator in sorted(set(labels.tolist())):
            rows = np.flatnonzero(whole & (labels == estimator) & ~np.isnan(values))
            if rows.size:
                found = tuple(
                    _plain(value) for value in np.percentile(values[rows], (50, 25, 75, 5, 95)).tolist()
                )
                judged = group.outliers.get(one.name)
                outliers = None if judged is None else int(np.count_nonzero(judged[rows]))
                heading = f"{one.heading}, same voxels" if one.group == SAME else one.heading
                yield Summary(heading, one.description, estimator, rows.size, found, outliers)


def _line(
    group: GroupTable, row: int, listed: Sequence[Shown], flags: Sequence[str], shown: Sequence[Shown]
) -> Line:
    titles = {one.name: one.title for one in shown}
    values = [float(group.metrics[one.name][row]) * 10.0**-one.exponent for one in listed]
    return Line(
        href=group.pages[row],
        acquisition=acquisition(group, row),
        estimator=group.labels["estimator"][row],
        region=group.labels["region"][row],
        numbers=tuple(None if math.isnan(value) else _plain(value) for value in values),
        outliers=", ".join(titles[name] for name in flags),
    )


def _plain(value: float) -> float:
    """Return a large number without its decimals, which pages then write without a power of ten."""
    return round(value) if 1e4 <= abs(value) < 1e7 else value
