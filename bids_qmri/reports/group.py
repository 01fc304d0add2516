"""Tables and pages over all participants, from their quality files alone: raw data is not needed.

Every call reads all quality files, so that tables say what is there: new participants are appended, changed
ones replaced, removed ones leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bids_qmri import catalogue
from bids_qmri.bids.derivatives import write_atomic, write_sidecar
from bids_qmri.bids.participants import read_participants
from bids_qmri.errors import NoInputError
from bids_qmri.reports.group_page import group_page
from bids_qmri.reports.group_table import GroupTable, TableBuilder, as_parquet, as_tsv, dictionary
from bids_qmri.reports.methods import write_citation
from bids_qmri.reports.records import each_record


def write_group(output_dir: Path) -> list[Path]:
    """Write ``group_<model>.tsv``, its data dictionary, ``group_<model>.html`` and the citations of all.

    ``group_<model>.parquet`` is written too where pyarrow is installed. What an earlier call wrote of models
    that nobody has any more is removed.

    Parameters
    ----------
    output_dir
        Root of the output dataset.

    Returns
    -------
    list of Path
        What was written, in the order of the models' names.

    Raises
    ------
    NoInputError
        No participant has a result.
    """
    builders: dict[str, TableBuilder] = {}
    for record in each_record(output_dir):
        model = record.table.model
        if model not in builders:
            builders[model] = TableBuilder(record.table)
        builders[model].add(record)
    if not builders:
        raise NoInputError(
            "no participant has results",
            file=output_dir,
            needed="quality files (*_qc.json)",
            fix="run the participant level first",
        )
    _remove_others(output_dir, list(builders))
    groups = {model: builders[model].finish() for model in sorted(builders)}
    written = [path for group in groups.values() for path in _write_model(output_dir, group)]
    runs = {(model, label) for model, group in groups.items() for label in group.labels["estimator"]}
    return [*written, *write_citation(output_dir, sorted(runs))]


def _write_model(output_dir: Path, group: GroupTable) -> list[Path]:
    table, sidecar, page, parquet = _paths(output_dir, group.table.model)
    write_atomic(table, as_tsv(group).encode("utf-8"))
    write_sidecar(sidecar, dictionary(group))
    write_atomic(page, group_page(group, read_participants(output_dir)).encode("utf-8"))
    packed = as_parquet(group)
    if packed is None:
        # One of an earlier call would contradict the table.
        parquet.unlink(missing_ok=True)
        return [table, sidecar, page]
    write_atomic(parquet, packed)
    return [table, sidecar, page, parquet]


def _remove_others(output_dir: Path, models: Sequence[str]) -> None:
    for model in (*catalogue.model_names(), *catalogue.FORMER_NAMES):
        for path in _paths(output_dir, model) if model not in models else ():
            path.unlink(missing_ok=True)


def _paths(output_dir: Path, model: str) -> list[Path]:
    return [output_dir / f"group_{model}.{kind}" for kind in ("tsv", "json", "html", "parquet")]
