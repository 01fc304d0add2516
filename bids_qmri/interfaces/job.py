"""One unit of work: fit one acquisition with one model by one estimator. Plain data between plan and node."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.models.base import Bounds
from bids_qmri.models.noddi import D_ISO, D_PAR


@dataclass(frozen=True)
class DicomOutput:
    """Where and how maps are written as DICOM files as well.

    Parameters
    ----------
    folder
        Where they go.
    templates
        Folder with a DICOM file ``sub-LABEL[_ses-LABEL].dcm`` of each patient and study; None: nobody's.
    parametric_maps
        Write the floating-point object of each map, too.
    run_id
        Name of the run, from which identifiers are made.
    """

    folder: Path
    templates: Path | None
    parametric_maps: bool
    run_id: str


@dataclass(frozen=True, eq=False)
class FitJob:
    """What a fit node needs to know.

    Parameters
    ----------
    participant
        Label without ``sub-``.
    acquisition
        The files and their protocol.
    model, label
        Name of the model and label of the estimator.
    options
        How files are read.
    bids_dir, output_dir, work_dir
        Raw dataset, derivative dataset, scratch folder.
    seed
        Seed of everything random.
    bounds
        Limits by parameter that a person asked for.
    network
        The network of ``mlp`` or ``onnx``.
    diffusivities
        Of NODDI, along neurites and of free water, mm^2/s.
    dicom
        How DICOM files are written beside the results; None: not at all.
    threads
        Threads that the job may use.
    sloppy
        Fit every eighth voxel only: for smoke tests, never for results.
    stop_on_error
        End the run when this job fails.
    debug
        Let exceptions through instead of turning them into a line.
    """

    participant: str
    acquisition: Acquisition
    model: str
    label: str
    options: ReadOptions
    bids_dir: Path
    output_dir: Path
    work_dir: Path
    seed: int = 0
    bounds: Bounds = field(default_factory=dict)
    network: Path | None = None
    diffusivities: tuple[float, float] = (D_PAR, D_ISO)
    dicom: DicomOutput | None = None
    threads: int = 1
    sloppy: bool = False
    stop_on_error: bool = False
    debug: bool = False

    @property
    def name(self) -> str:
        """Text for people and logs."""
        return f"{self.acquisition.label} {self.model} {self.label}"


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Parameters
    ----------
    participant, job
        Whose, and which (`FitJob.name`).
    error
        One line naming what went wrong; empty if all went well.
    notes
        Decisions a person should read.
    """

    participant: str
    job: str
    error: str = ""
    notes: tuple[str, ...] = ()
