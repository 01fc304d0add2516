"""The first page of an output folder: who is where, group pages, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bids_qmri import __version__, catalogue
from bids_qmri.bids.derivatives import write_atomic
from bids_qmri.completion.standing import MEANING, labels_of, standing_of
from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.cautions import warnings_of
from bids_qmri.reports.page import count, render
from bids_qmri.reports.records import find_records

NAME = "index.html"


@dataclass(frozen=True)
class Entry:
    """A participant: address of the page if there is one, state, one line, how many warnings the page has."""

    participant: str
    href: str
    state: str
    why: str
    warnings: str


@dataclass(frozen=True)
class GroupPage:
    """Address of a group page, and what its technique is called."""

    href: str
    title: str


def write_index(
    output_dir: Path, expected: Iterable[str] = (), warnings: Mapping[str, int] | None = None
) -> Path:
    """Write ``index.html``, which leads to all pages.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    expected
        Labels, without ``sub-``, of participants who should be there.
    warnings
        How many each page has, by label; None: counted from the quality files.

    Returns
    -------
    Path
        The page.
    """
    entries = [_entry(output_dir, label, warnings) for label in labels_of(output_dir, expected)]
    states = Counter(entry.state for entry in entries)
    text = render(
        "index.html",
        title=output_dir.name,
        lead=", ".join(f"{states[state]} {state}" for state in MEANING if states[state]),
        people=count(len(entries), "participant"),
        groups=[_group(path) for path in sorted(output_dir.glob("group_*.html"))],
        entries=entries,
        meaning={state: MEANING[state] for state in MEANING if states[state]},
        version=__version__,
    )
    path = output_dir / NAME
    write_atomic(path, text.encode("utf-8"))
    return path


def _entry(output_dir: Path, label: str, warnings: Mapping[str, int] | None) -> Entry:
    standing = standing_of(output_dir, label)
    page = output_dir / f"sub-{label}.html"
    href = quote(page.name) if page.is_file() else ""
    many = len(warnings_of(find_records(output_dir, label))) if warnings is None else warnings.get(label, 0)
    return Entry(label, href, standing.state, standing.why, count(many, "warning") if many else "")


def _group(path: Path) -> GroupPage:
    model = path.stem.removeprefix("group_")
    known = model in catalogue.model_names()
    return GroupPage(quote(path.name), output_table(model).title if known else path.name)
