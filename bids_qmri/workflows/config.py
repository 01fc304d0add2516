"""What one run was asked to do, as plain frozen values.

Built by `cli/config.py` from the command line, read by `workflows/` and passed down as an argument; nothing
changes it and nothing global holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


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
    participants, exclude_participants, sessions
        Labels without entity; empty `participants` and `sessions` keep all.
    filters
        Extra entity filters per kind of input (``vfa``, ``dce``, ``dwi``, ``mask``, ``dseg``, ``t1map``).
    derivatives
        Folders of preprocessed inputs by name; ``masks`` is for masks alone.
    models, methods, tensor_fits
        Words of ``--models``, ``--methods``, ``--tensor-fit``; empty `models` allows all, empty `methods`
        takes the default of each model.
    network, onnx
        The networks of ``mlp`` and of ``onnx``.
    bounds
        Limits by parameter that replace those of the estimators.
    diffusivities
        Of NODDI, along neurites and of free water, mm^2/s; None takes those in vivo.
    random_seed
        Seed of everything random.
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.
    b1_units
        Unit of TB1map images.
    relaxivity, hematocrit, t10, aif, baseline_volumes
        What overrides the sidecars of contrast-enhanced series: L/mmol/s, fraction, s, name or table, frames.
    dicom, dicom_templates, dicom_parametric_maps
        Folder for maps as DICOM files, folder of the files that name patient and study, and whether
        floating-point objects are written as well.
    nprocs, omp_nthreads
        Processes at a time, threads per process.
    memory_gb
        Memory to plan with in GB; None: not given.
    plugin
        nipype's ``plugin`` and ``plugin_args``; empty: chosen from `nprocs`.
    dry_run, sloppy, reports_only, report_by_session, boilerplate_only, write_graph, stop_on_first_crash
        Flags of the same names.
    debug
        Show tracebacks.
    """

    bids_dir: Path
    output_dir: Path
    work_dir: Path
    run_id: str = field(compare=False)
    levels: tuple[str, ...]
    participants: tuple[str, ...] = ()
    exclude_participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    tensor_fits: tuple[str, ...] = ("wls",)
    network: Path | None = None
    onnx: Path | None = None
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    diffusivities: tuple[float, float] | None = None
    random_seed: int = 0
    b0_threshold: float = 50.0
    b1_units: Literal["auto", "factor", "percent"] = "auto"
    relaxivity: float | None = None
    hematocrit: float | None = None
    t10: float | None = None
    aif: str | None = None
    baseline_volumes: int | None = None
    dicom: Path | None = None
    dicom_templates: Path | None = None
    dicom_parametric_maps: bool = False
    nprocs: int = 1
    omp_nthreads: int = 1
    memory_gb: float | None = None
    plugin: Mapping[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    sloppy: bool = False
    reports_only: bool = False
    report_by_session: bool = False
    boilerplate_only: bool = False
    write_graph: bool = False
    stop_on_first_crash: bool = False
    debug: bool = False

    @property
    def log_dir(self) -> Path:
        """Where the log, the resolved options and crash files of all runs go."""
        return self.output_dir / "logs"
