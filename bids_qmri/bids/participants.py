"""Who took part: participants.tsv, kept beside the maps so that the group level needs no raw data."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bids_qmri.bids.derivatives import write_atomic
from bids_qmri.errors import InputError
from bids_qmri.files import TABLE_LIMIT, is_folder, read_bytes, read_text

LOGGER = logging.getLogger("bids_qmri")

NAME = "participants.tsv"
ID = "participant_id"
NEEDED = "a table in UTF-8"


@dataclass(frozen=True)
class Participants:
    """What is known of participants.

    Parameters
    ----------
    columns
        Names of the columns but for ``participant_id``.
    rows
        Cells in the order of `columns`, by label without ``sub-``.
    """

    columns: tuple[str, ...] = ()
    rows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def copy_participants(bids_dir: Path, output_dir: Path) -> None:
    """Copy the lines of the participants that have a folder in the output dataset, and the dictionary.

    A file that is missing or cannot be read leaves what is there; a file that says the same is left alone.

    Parameters
    ----------
    bids_dir
        Raw dataset; may be gone.
    output_dir
        Root of the output dataset.
    """
    source = bids_dir / NAME
    table = _lines(source)
    if table is None or source.resolve() == (output_dir / NAME).resolve():
        return
    header, *rows = table
    place = header.index(ID)
    kept = [row for row in rows if is_folder(output_dir / row[place])]
    _update(output_dir / NAME, "".join("\t".join(row) + "\n" for row in (header, *kept)).encode("utf-8"))
    dictionary = source.with_suffix(".json")
    if dictionary.is_file():
        try:
            content = read_bytes(dictionary, TABLE_LIMIT)
        except InputError as error:
            LOGGER.warning("%s is not copied: %s", dictionary, error.seen)
            return
        _update(output_dir / dictionary.name, content)


def read_participants(folder: Path) -> Participants:
    """Return what a dataset says of its participants, nothing if it does not.

    Parameters
    ----------
    folder
        Root of the dataset.
    """
    table = _lines(folder / NAME)
    if table is None:
        return Participants()
    header, *rows = table
    place = header.index(ID)
    others = [column for column in range(len(header)) if column != place]
    cells = {row[place].removeprefix("sub-"): tuple(row[column] for column in others) for row in rows}
    return Participants(tuple(header[column] for column in others), cells)


def _lines(path: Path) -> list[list[str]] | None:
    """Return the header and all lines of as many cells; None, with a warning, if that cannot be read."""
    if not path.is_file():
        return None
    try:
        lines = read_text(path, TABLE_LIMIT, needed=NEEDED).split("\n")
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (InputError, csv.Error) as error:
        LOGGER.warning("%s is not used: %s", path, getattr(error, "seen", error))
        return None
    if not rows or ID not in rows[0]:
        LOGGER.warning("%s is not used: it has no column %s", path, ID)
        return None
    # "../.." would be an existing folder too.
    place = rows[0].index(ID)
    whole = [row for row in rows[1:] if len(row) == len(rows[0]) and row[place].startswith("sub-")]
    return [rows[0], *(row for row in whole if "/" not in row[place])]


def _update(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_atomic(path, content)
