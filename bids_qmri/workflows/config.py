"""What one run was asked to do, as plain frozen values.

Built by `cli/config.py` from the command line, read by `workflows/` and passed down as an argument; nothing
changes it and nothing global holds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bids_qmri.bids.acquisition import ReadOptions
    from bids_qmri.estimation.noise import ScanNoise
    from bids_qmri.estimation.prior import PriorChoice
    from bids_qmri.interfaces.job import DicomOutput

Settings = Mapping[str, Mapping[str, float]]
"""What models are told beside the protocol: by model, then by name of the setting."""


@dataclass(frozen=True)
class RunConfig:
    """Choices of one run.

    Parameters
    ----------
    bids_dir, output_dir, work_dir
        Absolute folders: the dataset (read only), the derivative dataset, the intermediate files.
    run_id
        Name of this run in logs and crash files; two runs with equal choices compare equal.
    levels
        ``"participant"``, ``"group"`` or both.
    read
        How files are read: sessions, filters, derivatives, what overrides sidecars.
    participants, exclude_participants
        Labels without entity; empty `participants` keeps all.
    models, estimators
        Words of ``--models`` and ``--estimators``; empty `models` allows all, empty `estimators` takes the
        default of each model.
    prefer
        Labels that words which stand for several estimators mean instead.
    networks
        Trained networks of a user; their cards say what they are for.
    bounds
        Limits by parameter that replace those of the estimators.
    prior
        Where estimators that have a prior expect the truth.
    noise
        Noise that a person states, or a map of it; None: it is found.
    settings
        What models are told beside the protocol.
    random_seed
        Seed of everything random.
    dicom
        How maps are written as DICOM files as well; None: not at all.
    nprocs, omp_nthreads
        Processes at a time, threads per process; None: as many as the processes leave.
    memory_gb
        Memory to plan with in GB; None: not given.
    plugin
        nipype's ``plugin`` and ``plugin_args``; empty: chosen from `nprocs`.
    dry_run, sloppy, reports_only, report_by_session, boilerplate_only, write_graph, stop_on_first_crash
        Flags of the same names.
    force
        Fit again what is complete and unchanged.
    debug
        Show tracebacks.
    person_column
        Column of participants.tsv that says which participants are one person; None: none does.
    """

    bids_dir: Path
    output_dir: Path
    work_dir: Path
    run_id: str = field(compare=False)
    levels: tuple[str, ...]
    read: ReadOptions
    participants: tuple[str, ...] = ()
    exclude_participants: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    estimators: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    networks: tuple[Path, ...] = ()
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    prior: PriorChoice = "scan"
    noise: ScanNoise | Path | None = None
    settings: Settings = field(default_factory=dict)
    random_seed: int = 0
    dicom: DicomOutput | None = field(default=None, compare=False)
    nprocs: int = 1
    omp_nthreads: int | None = None
    memory_gb: float | None = None
    plugin: Mapping[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    sloppy: bool = False
    reports_only: bool = False
    report_by_session: bool = False
    boilerplate_only: bool = False
    write_graph: bool = False
    stop_on_first_crash: bool = False
    force: bool = False
    debug: bool = False
    person_column: str | None = None

    @property
    def log_dir(self) -> Path:
        """Where the log, the resolved options and crash files of a run go.

        Runs of a single participant have a folder for each, so that thousands of jobs do not share one.
        """
        only = self.participants if len(self.participants) == 1 else ()
        alone = [f"sub-{re.sub(r'[^0-9A-Za-z]', '', label.removeprefix('sub-'))}" for label in only]
        return self.output_dir.joinpath("logs", *alone)
