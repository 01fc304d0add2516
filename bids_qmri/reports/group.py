"""Tables and pages over all participants, from their quality files alone: raw data is not needed.

Every call reads all quality files that a completion record vouches for, so that tables say what is there: new
participants are appended, changed ones replaced, removed ones leave. Who is not in them is said, and why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bids_qmri import catalogue
from bids_qmri.bids.derivatives import write_atomic, write_sidecar
from bids_qmri.bids.participants import read_participants
from bids_qmri.completion.hashes import fingerprint
from bids_qmri.completion.standing import Standing, labels_of, standing_of
from bids_qmri.errors import NoInputError
from bids_qmri.reports.cautions import warnings_of
from bids_qmri.reports.group_page import group_page
from bids_qmri.reports.group_table import GroupTable, TableBuilder, as_parquet, as_tsv, dictionary
from bids_qmri.reports.index import write_index
from bids_qmri.reports.methods import write_citation
from bids_qmri.reports.records import Record, each_record
from bids_qmri.reports.repeatability import Line, as_text, dictionary_of, repeatability_of
from bids_qmri.reports.variation_maps import may_repeat, persons_of, said_of, write_variation

LOGGER = logging.getLogger("bids_qmri.reports")

TRIES = 3
"""How often a participant is read whose results take their place meanwhile."""


def write_group(
    output_dir: Path, expected: Iterable[str] = (), person_column: str | None = None
) -> list[Path]:
    """Write ``group_<model>.tsv``, its dictionary, ``group_<model>.html``, citations, and ``index.html``.

    ``group_<model>.parquet`` is written too where pyarrow is installed. What an earlier call wrote of models
    that nobody has any more is removed.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    expected
        Labels, without ``sub-``, of participants who should be there.
    person_column
        Column of participants.tsv with one text for all participants that are one person, so that these are
        repeats of each other; None: every participant is another person.

    Returns
    -------
    list of Path
        What was written of the models, in the order of their names, without ``index.html``.

    Raises
    ------
    NoInputError
        No participant has a result.
    UsageError
        There is no such column.
    """
    persons = {} if person_column is None else persons_of(output_dir, person_column)
    builders: dict[str, TableBuilder] = {}
    absent: list[Standing] = []
    repeated: list[Record] = []
    warnings: dict[str, int] = {}
    for label in labels_of(output_dir, expected):
        standing, records = _complete_records(output_dir, label)
        absent += [] if standing.state in ("complete", "nothing") else [standing]
        warnings[label] = len(warnings_of(records))
        for record in records:
            model = record.table.model
            if model not in builders:
                builders[model] = TableBuilder(record.table)
            builders[model].add(record)
            if may_repeat(record, persons):
                repeated.append(replace(record, fields={}))
    for standing in absent:
        LOGGER.warning("sub-%s: %s: %s", standing.participant, standing.state, standing.why)
    if not builders:
        raise NoInputError(
            "no participant has results",
            file=output_dir,
            needed="quality files (*_qc.json) that a completion record vouches for",
            fix="run the participant level first; bids_qmri-status says who is complete",
        )
    _remove_others(output_dir, list(builders))
    groups = {model: builders[model].finish() for model in sorted(builders)}
    maps = write_variation(output_dir, repeated, persons)
    written = [
        path for group in groups.values() for path in _write_model(output_dir, group, absent, persons, maps)
    ]
    runs = {(model, label) for model, group in groups.items() for label in group.labels["estimator"]}
    repeats = bool(maps) or any(_paths(output_dir, model)[4].exists() for model in groups)
    write_index(output_dir, expected, warnings)
    return [*written, *maps, *write_citation(output_dir, sorted(runs), repeats=repeats)]


def _complete_records(output_dir: Path, label: str) -> tuple[Standing, list[Record]]:
    """Return where a participant stands, and the fits that are complete.

    Of one who is being fitted again, or of whom something failed, these are the fits that are in place; those
    whose inputs have changed since are no longer counted.
    """
    for _ in range(TRIES):
        standing = standing_of(output_dir, label, absent_ok=True)
        if standing.record is None or standing.state == "damaged":
            break
        names = _vouched_for(output_dir, standing)
        records = [record for record in each_record(output_dir, label) if record.file.as_posix() in names]
        # Otherwise they took their place between the two looks.
        if len(records) == len(names):
            return standing, records
    return standing, []


def _vouched_for(output_dir: Path, standing: Standing) -> set[str]:
    """Return the quality files of a participant's complete fits, relative to the output dataset."""
    record = standing.record
    assert record is not None
    fits = [fit for name, fit in record.fits.items() if name not in record.outdated()]
    named = {name for fit in fits for name in fit.files if name.endswith("_qc.json")}
    return {name for name in named if fingerprint(output_dir / name) == record.outputs.get(name)}


def _write_model(
    output_dir: Path,
    group: GroupTable,
    absent: Sequence[Standing],
    persons: Mapping[str, str],
    maps: Sequence[Path],
) -> list[Path]:
    table, sidecar, page, parquet, repeats, repeats_sidecar = _paths(output_dir, group.table.model)
    lines, notes = repeatability_of(group, persons)
    notes += said_of(maps, group.table)
    _write_repeats(repeats, repeats_sidecar, lines)
    write_atomic(table, as_tsv(group).encode("utf-8"))
    write_sidecar(sidecar, dictionary(group))
    write_atomic(page, group_page(group, read_participants(output_dir), absent, lines, notes).encode("utf-8"))
    packed = as_parquet(group)
    if packed is None:
        # One of an earlier call would contradict the table.
        parquet.unlink(missing_ok=True)
        return [table, sidecar, page]
    write_atomic(parquet, packed)
    return [table, sidecar, page, parquet]


def _write_repeats(table: Path, sidecar: Path, lines: list[Line]) -> None:
    """Write how repeats agree; a table of an earlier call goes if there are none any more."""
    if lines:
        write_atomic(table, as_text(lines).encode("utf-8"))
        write_sidecar(sidecar, dictionary_of(lines))
    else:
        table.unlink(missing_ok=True)
        sidecar.unlink(missing_ok=True)


def _remove_others(output_dir: Path, models: Sequence[str]) -> None:
    for model in (*catalogue.model_names(), *catalogue.FORMER_NAMES):
        for path in _paths(output_dir, model) if model not in models else ():
            path.unlink(missing_ok=True)


def _paths(output_dir: Path, model: str) -> list[Path]:
    kinds = (".tsv", ".json", ".html", ".parquet", "_repeatability.tsv", "_repeatability.json")
    return [output_dir / f"group_{model}{kind}" for kind in kinds]
