"""One page per participant, made only from what lies in the output folder.

Called at the end of every participant, after failures too, and alone with ``--reports-only``.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bids_qmri import __version__
from bids_qmri.bids.derivatives import write_atomic
from bids_qmri.reports.cautions import find_cautions, warnings_of
from bids_qmri.reports.colours import palette
from bids_qmri.reports.methods import describe_methods
from bids_qmri.reports.page import count, render
from bids_qmri.reports.problems import read_crashes, read_problems, read_remarks
from bids_qmri.reports.records import Record, find_records
from bids_qmri.reports.sections import DrawAll, Section, make_sections, place

SCRIPTS = ("volumes.js", "readout.js", "viewer.js", "fold.js", "copy.js")


@dataclass(frozen=True)
class Link:
    """Another page of the same participant."""

    address: str
    text: str


def write_subject_page(
    output_dir: Path,
    participant: str,
    *,
    problems: Sequence[str] | None = None,
    by_session: bool = False,
    draw_all: DrawAll = map,
) -> Path:
    """Write ``sub-<label>.html`` and the figures beside the maps.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    participant
        Label without ``sub-``.
    problems
        What went wrong, one line each; None: as the last run left them.
    by_session
        Write every session to a page of its own, ``sub-<label>_ses-<label>.html``, that the first one links.
    draw_all
        Applies the drawing of one fit to all; a pool's `map` draws in several processes.

    Returns
    -------
    Path
        The first page.
    """
    records = find_records(output_dir, participant)
    said = read_problems(output_dir, participant) if problems is None else list(problems)
    sessions = sorted({record.entities["ses"] for record in records if "ses" in record.entities})
    alone = sessions if by_session else []
    links = [_session_link(participant, session) for session in alone]
    for session, link in zip(alone, links, strict=True):
        own = [record for record in records if record.entities.get("ses") == session]
        text = _page(
            output_dir, participant, own, said, draw_all, title=link.text, links=[_back(participant)]
        )
        write_atomic(output_dir / f"{link.text}.html", text.encode("utf-8"))
    rest = [record for record in records if not alone or "ses" not in record.entities]
    title = f"sub-{participant}"
    text = _page(output_dir, participant, rest, said, draw_all, title=title, links=links)
    path = output_dir / f"{title}.html"
    write_atomic(path, text.encode("utf-8"))
    return path


def _session_link(participant: str, session: str) -> Link:
    name = f"sub-{participant}_ses-{session}"
    return Link(quote(f"{name}.html"), name)


def _back(participant: str) -> Link:
    return Link(quote(f"sub-{participant}.html"), f"sub-{participant}")


def _page(
    output_dir: Path,
    participant: str,
    records: Sequence[Record],
    problems: Sequence[str],
    draw_all: DrawAll,
    *,
    title: str,
    links: Sequence[Link],
) -> str:
    sections = make_sections(records, draw_all)
    return render(
        "subject.html",
        scripts=SCRIPTS,
        title=title,
        links=links,
        lead=_lead(records, links),
        problems=list(problems),
        crashes=read_crashes(output_dir, participant) if problems else [],
        cautions=warnings_of(records),
        notes=[caution for caution in find_cautions(records) if not caution.grave],
        remarks=read_remarks(output_dir, participant),
        sections=sections,
        palettes=_palettes(sections),
        about=_about(records, sections),
        methods=describe_methods(_runs(records)) if records else None,
    )


def _runs(records: Iterable[Record]) -> list[tuple[str, str]]:
    return [(record.table.model, record.estimator) for record in records]


def _lead(records: Sequence[Record], links: Sequence[Link]) -> str:
    if not records:
        return "One page per session" if links else "No maps"
    acquisitions = len({place(record) for record in records})
    return f"{count(acquisitions, 'acquisition')}, {count(len(records), 'fit')}"


def _palettes(sections: Sequence[Section]) -> dict[str, str]:
    """Return the colours of all levels by colour map, as one hexadecimal text each."""
    pictures = [
        picture
        for section in sections
        for fit in section.fits
        for picture in (*fit.figures.quality, *(one for row in fit.figures.maps for one in row.pictures))
    ]
    names = sorted({str(picture.viewer["cmap"]) for picture in pictures} - {""})
    return {name: palette(name).tobytes().hex() for name in names}


def _about(records: Sequence[Record], sections: Sequence[Section]) -> tuple[tuple[str, str], ...]:
    versions = sorted({str(record.fields.get("SoftwareVersion", "unknown")) for record in records})
    facts = {"Maps made by": f"bids_qmri {', '.join(versions)}"} if records else {}
    seconds = [fit.figures.data.seconds for section in sections for fit in section.fits]
    known = [one for one in seconds if one is not None]
    if known:
        facts["Time of all fits"] = f"{sum(known):.1f} s"
    facts["Page made by"] = f"bids_qmri {__version__}, Python {platform.python_version()}"
    return tuple(facts.items())
