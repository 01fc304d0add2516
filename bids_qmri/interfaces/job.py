"""Units of work, plain data between plan and node: one acquisition, and each of its fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.prior import PriorChoice
from bids_qmri.estimators.base import Estimator
from bids_qmri.outputs.tables import OutputTable, output_table
from bids_qmri.physics.model import Bounds, Model


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
    """Fit one acquisition with one model by one estimator.

    Parameters
    ----------
    participant
        Label without ``sub-``.
    acquisition
        The files and their protocol.
    model, estimator
        What is fitted, and how.
    options
        How files are read.
    bids_dir, output_dir, work_dir
        Raw dataset, derivative dataset, scratch folder.
    stage
        Where its results wait, laid out as the derivative dataset is; None: they go there at once.
    bounds
        Limits by parameter that a person asked for.
    prior
        Where estimators that have a prior expect the truth.
    noise
        Noise that a person states, or a map of it; None: it is found.
    seed
        Seed of everything random.
    threads
        Blocks of voxels that are fitted at a time.
    dicom
        How DICOM files are written beside the results; None: not at all.
    sloppy
        Fit every eighth voxel only: for smoke tests, never for results.
    stop_on_error
        End the run when this job fails.
    debug
        Let exceptions through instead of turning them into a line.
    """

    participant: str
    acquisition: Acquisition
    model: Model
    estimator: Estimator
    options: ReadOptions
    bids_dir: Path
    output_dir: Path
    work_dir: Path
    stage: Path | None = None
    bounds: Bounds = field(default_factory=dict)
    prior: PriorChoice = "scan"
    noise: ScanNoise | Path | None = None
    seed: int = 0
    threads: int = 1
    dicom: DicomOutput | None = None
    sloppy: bool = False
    stop_on_error: bool = False
    debug: bool = False

    @property
    def label(self) -> str:
        """Label of the estimator."""
        return self.estimator.label

    @property
    def root(self) -> Path:
        """Root below which its results are written."""
        return self.output_dir if self.stage is None else self.stage

    @property
    def table(self) -> OutputTable:
        """What the model writes."""
        return output_table(self.model.name)

    @property
    def name(self) -> str:
        """Text for people and logs."""
        return f"{self.acquisition.label} {self.model.name} {self.label}"


@dataclass(frozen=True, eq=False)
class AcquisitionJob:
    """All fits of one acquisition, which is read once for them.

    Parameters
    ----------
    fits
        One or more, of the same acquisition.
    """

    fits: tuple[FitJob, ...]

    @property
    def acquisition(self) -> Acquisition:
        """What is read."""
        return self.fits[0].acquisition

    @property
    def work_dir(self) -> Path:
        """Scratch folder."""
        return self.fits[0].work_dir

    @property
    def name(self) -> str:
        """Text for people and logs."""
        return f"{self.acquisition.label} {self.acquisition.kind}"


@dataclass(frozen=True)
class Outcome:
    """What became of a fit.

    Parameters
    ----------
    participant, job
        Whose, and which (`FitJob.name`).
    error
        One line naming what went wrong; empty if all went well.
    notes
        Decisions a person should read.
    machine
        Whether disk, memory or the run failed, not the input: what an earlier run wrote stays.
    """

    participant: str
    job: str
    error: str = ""
    notes: tuple[str, ...] = ()
    machine: bool = False
