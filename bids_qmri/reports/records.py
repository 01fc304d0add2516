"""Quality files of an output dataset: the one record of every fit, from which all reports are made.

A fit writes its quality file last, so what is listed here is complete.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bids_qmri import catalogue
from bids_qmri.bids.names import DATATYPES, derivative_path, parse_name
from bids_qmri.errors import InputError
from bids_qmri.files import TABLE_LIMIT, read_text
from bids_qmri.outputs.tables import MapRow, OutputTable, output_table

LOGGER = logging.getLogger("bids_qmri.reports")


@dataclass(frozen=True)
class Record:
    """One fit.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    entities
        Entities of the acquisition.
    table
        What the model writes.
    estimator
        Label of the estimator.
    fields
        Content of the quality file.
    file
        The quality file, relative to the output dataset.
    """

    output_dir: Path
    entities: Mapping[str, str]
    table: OutputTable
    estimator: str
    fields: Mapping[str, Any]
    file: Path = Path()

    @property
    def participant(self) -> str:
        """Label without ``sub-``."""
        return self.entities["sub"]

    @property
    def acquisition(self) -> str:
        """Entities as one string, as in file names."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items())

    @property
    def page(self) -> str:
        """Address of the participant's page relative to the root of the output dataset."""
        return quote(f"sub-{self.participant}.html")

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """Metrics that are numbers; everything else counts as missing."""
        raw = self.fields.get("Metrics")
        pairs = raw.items() if isinstance(raw, Mapping) else ()
        return {name: value if _is_number(value) else None for name, value in pairs}

    @property
    def notes(self) -> tuple[str, ...]:
        """Decisions a person should read."""
        raw = self.fields.get("Notes", [])
        return tuple(str(note) for note in raw) if isinstance(raw, list) else (str(raw),)

    def path(self, row: MapRow, extension: str) -> Path:
        """Return where the fit wrote a map."""
        parts = row.name_parts(self.estimator)
        return self.output_dir / derivative_path(self.entities, extension=extension, **parts)


def find_records(output_dir: Path, participant: str | None = None) -> list[Record]:
    """Return the fits of one participant, or of all, in the order of their names.

    Files that cannot be read are named in the log and left out.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    participant
        Label without ``sub-``; None for all.
    """
    return list(each_record(output_dir, participant))


def each_record(output_dir: Path, participant: str | None = None) -> Iterator[Record]:
    """Yield what `find_records` returns one by one: a study may hold more than fits into memory."""
    for label in _labels(output_dir) if participant is None else [f"sub-{participant}"]:
        for path in sorted(_quality_files(output_dir / label)):
            record = _read(output_dir, Path(path))
            if record is not None:
                yield record


def _labels(output_dir: Path) -> list[str]:
    if not output_dir.is_dir():
        return []
    return sorted(
        entry.name for entry in os.scandir(output_dir) if entry.name.startswith("sub-") and entry.is_dir()
    )


def _quality_files(folder: Path | str) -> Iterator[str]:
    """Yield the quality files of a participant or session; glob takes ten times as long on a large study."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # gone, or not there yet
    for entry in entries:
        if entry.name in DATATYPES and entry.is_dir():
            with suppress(OSError):
                names = [file.name for file in os.scandir(entry.path) if file.name.endswith("_qc.json")]
                yield from (f"{entry.path}/{name}" for name in names if not name.startswith("."))
        elif entry.name.startswith("ses-") and entry.is_dir():
            yield from _quality_files(entry.path)


def _read(output_dir: Path, path: Path) -> Record | None:
    try:
        entities, _, _ = parse_name(path.name)
        fields = json.loads(read_text(path, TABLE_LIMIT))
    except (InputError, ValueError, RecursionError) as error:
        LOGGER.warning("%s is left out of the report: %s", path, error)
        return None
    table = _tables(catalogue.model_names()).get(entities.pop("model", ""))
    if table is None or not isinstance(fields, Mapping):
        LOGGER.warning("%s is left out of the report: not a quality file of a known model", path)
        return None
    estimator = entities.pop("desc", "")
    # Columns of the table that lies beside are explained in the same file, in lower case.
    settings = {key: value for key, value in fields.items() if key[:1].isupper()}
    return Record(output_dir, entities, table, estimator, settings, path.relative_to(output_dir))


@cache
def _tables(models: tuple[str, ...]) -> dict[str, OutputTable]:
    return {output_table(model).entity: output_table(model) for model in models}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
