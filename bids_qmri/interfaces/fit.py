"""Fit one acquisition by all that was planned for it, and write what was found; callable without nipype."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bids_qmri import catalogue
from bids_qmri.bids.noise_maps import find_noise_map
from bids_qmri.errors import InputError, InternalError, QmriError, of_machine
from bids_qmri.estimation.blocks import Block, ImageMaps, Measured, fit_blocks, gather, wants_noise
from bids_qmri.estimation.local import Grid, fit_neighbours
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Preparation
from bids_qmri.estimation.prior import PriorChoice
from bids_qmri.estimators.base import Estimator, Status
from bids_qmri.interfaces.account import counted, doubtful, log_details
from bids_qmri.interfaces.dicom import dicom_identity, write_dicom
from bids_qmri.interfaces.job import AcquisitionJob, FitJob, Outcome
from bids_qmri.interfaces.motion import write_motion
from bids_qmri.interfaces.opening import open_acquisition
from bids_qmri.interfaces.pace import told
from bids_qmri.interfaces.page_data import keep_page_data
from bids_qmri.interfaces.quality import Watch, assess
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.interfaces.write import crash_file, is_warning, outputs_of, write_outputs
from bids_qmri.physics.model import Model
from bids_qmri.physics.prior import Prior

log = logging.getLogger("bids_qmri.fit")

Found = tuple[Preparation, ImageMaps, ScanNoise | None]
"""What went into a fit, its maps over the whole grid, and the noise of the scan."""


def run_acquisition(job: AcquisitionJob) -> Iterator[Outcome]:
    """Fit and write; turn what goes wrong into an outcome, so that everybody else goes on.

    Parameters
    ----------
    job
        One acquisition with its fits.

    Yields
    ------
    Outcome
        Of every fit as it ends. What goes wrong with the images themselves is the outcome of all of them.
    """
    first = job.fits[0]
    reported = 0
    try:
        for name in (name for fit in job.fits for name in outputs_of(fit)):
            # Of an earlier run: with those of this one they would be maps of two runs.
            (first.root / name).unlink(missing_ok=True)
        with open_acquisition(
            job.acquisition, first.options, first.work_dir, thin=first.sloppy, threads=first.threads
        ) as opened:
            opened.stated, opened.seed, opened.threads = first.noise, first.seed, first.threads
            if first.noise is None and any(fit.model.magnitude for fit in job.fits):
                opened.stated = find_noise_map(job.acquisition, opened.series, first.options, opened.notes)
            # What the images themselves showed: empty volumes are left out, jumps are noted.
            for note in opened.acquisition.notes[len(job.acquisition.notes) :]:
                log.warning("%s: %s", job.name, note)
            write_motion(first, opened)
            for fit in (replace(fit, acquisition=opened.acquisition) for fit in job.fits):
                outcome = _guarded(fit, partial(_fit, fit, opened, shared=len(job.fits) > 1))
                reported += 1
                yield outcome
    except Exception as error:
        if first.debug:
            raise
        for fit in job.fits[reported:]:
            yield _failure(fit, error)


def _guarded(job: FitJob, work: Callable[[], tuple[str, ...]]) -> Outcome:
    try:
        return Outcome(job.participant, job.name, notes=work())
    except Exception as error:
        if job.debug:
            raise
        return _failure(job, error)


def _failure(job: FitJob, error: Exception) -> Outcome:
    """Return the outcome of a fit that failed; what is nobody's fault leaves a crash report."""
    for name in outputs_of(job):
        with suppress(OSError):
            (job.root / name).unlink(missing_ok=True)
    machine = of_machine(error)
    known = machine or error
    if isinstance(known, QmriError) and not isinstance(known, InternalError):
        where = job.name if machine else job.acquisition.images[0]
        where = "" if known.file else f"{where}: "
        return Outcome(job.participant, job.name, f"{where}{known}", machine=machine is not None)
    crash = crash_file(job, job.root)
    with suppress(OSError):
        crash.parent.mkdir(parents=True, exist_ok=True)
        crash.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    what = " ".join(f"{type(error).__name__}: {error}".split())
    line = f"{job.name}: {what}; the full report is in {crash_file(job, job.output_dir)}"
    return Outcome(job.participant, job.name, error=line)


def estimate(
    model: Model,
    estimator: Estimator,
    opened: OpenAcquisition,
    how: Preparation,
    *,
    choice: PriorChoice = "box",
    shared: bool = False,
    watch: Watch | None = None,
    threads: int = 1,
) -> Found:
    """Estimate, and complete the maps of one fit; nothing is written.

    Parameters
    ----------
    model, estimator
        What is fitted, and how.
    opened, how
        The images, and what goes into the fit.
    choice
        Where estimators that have a prior expect the truth.
    shared
        Keep what is computed from the signals for the next fit of the same acquisition.
    watch
        Sees every block; None: nobody does.
    threads
        Blocks that are fitted at a time; maps do not depend on it.

    Raises
    ------
    InputError
        If no voxel could be fitted, or the scan lacks what the fit needs.
    """
    said = list(_said(model, estimator, opened, choice))
    if model.magnitude and (opened.stated is not None or opened.denoised is not None):
        how = replace(how, voxel_noise=None)
    if opened.denoised is not None:
        how = replace(how, used={**how.used, **opened.denoised.fields(opened.mask)})
    if opened.aligned is not None:
        how = replace(how, used={**how.used, **opened.aligned.fields()})
    noise = opened.noise(model, how) if model.magnitude else None
    how, blocks = opened.blocks(how, keep=shared)
    how = _with_prior(model, estimator, opened, how, noise, choice)
    if not how.prior.bells and how.prior.origin != "box":
        said.append(f"prior: {how.prior.origin}")
    fitted = _fitted(model, estimator, opened, how, blocks, noise, threads)
    name = f"{opened.acquisition.label} {model.name} {estimator.label}"
    found = gather(model, told(fitted, int(opened.mask.sum()), name), opened.series.n_voxels, watch)
    if np.all(np.isin(found.status, (Status.OUTSIDE, Status.UNUSABLE))):
        raise InputError(
            f"none of {int(opened.mask.sum())} masked voxels could be fitted",
            file=opened.acquisition.images[0],
            needed="positive, finite signals in every image",
            fix=f"look at the images and the mask ({opened.choice.origin})",
        )
    if complete := catalogue.part(model.name, "maps", "complete"):
        found = complete(found, opened.series.stored.affine, None if noise is None else noise.scatter)
    inside = found.status != Status.OUTSIDE
    level = None if noise is None else noise.typical(inside)[1]
    if remarks_on := catalogue.part(model.name, "remarks", "remarks_on"):
        said += remarks_on(model, how, opened.sample())
    remarks = tuple(said) + estimator.remarks(
        {name: values[inside] for name, values in found.maps.items()}, level
    )
    if found.sd and not any(np.any(np.isfinite(values[inside])) for values in found.sd.values()):
        remarks = (*remarks, f"no standard deviations: {_why_none(model, opened, how, noise)}")
    found = replace(found, notes=(*found.notes, *remarks))
    notes = dict.fromkeys((*how.notes, *opened.notes, *found.notes))
    return replace(how, notes=tuple(notes)), found, noise


def _fitted(
    model: Model,
    estimator: Estimator,
    opened: OpenAcquisition,
    how: Preparation,
    blocks: Iterator[Measured],
    noise: ScanNoise | None,
    threads: int,
) -> Iterator[Block]:
    """Fit voxels alone, or with those around them."""
    if not estimator.neighbours:
        return fit_blocks(model, estimator, how, blocks, noise, threads)
    grid = Grid(opened.series.shape, tuple(float(size) for size in opened.series.zooms[:3]))
    return fit_neighbours(model, how, blocks, grid, noise, opened.work_dir, estimator, threads)


def _why_none(model: Model, opened: OpenAcquisition, how: Preparation, noise: ScanNoise | None) -> str:
    """Say why a fit has no standard deviations."""
    protocol = opened.acquisition.protocol
    if protocol is not None and protocol.n_measurements == 1:
        return "they need the images that this one was computed from"
    if model.magnitude and noise is None and wants_noise(how):
        return (
            "the noise of air was not found (too little air around the object, or it was set to 0), and"
            " so few images leave no residuals; fix: state the noise of one image, in its unit, by"
            " --noise VALUE"
        )
    return "no voxel has more measurements than parameters off a limit"


def _with_prior(
    model: Model,
    estimator: Estimator,
    opened: OpenAcquisition,
    how: Preparation,
    noise: ScanNoise | None,
    choice: PriorChoice,
) -> Preparation:
    """Return what goes into a fit, with the prior of an estimator that has one."""
    if estimator.own_prior:
        return replace(how, used={**how.used, "PriorFrom": "neighbours, and the scan where they disagree"})
    if not estimator.has_prior:
        return how
    prior = opened.prior(model, how, noise, choice)
    return replace(how, prior=prior, used={**how.used, **prior_fields(prior)})


def _said(model: Model, estimator: Estimator, opened: OpenAcquisition, choice: PriorChoice) -> Iterator[str]:
    """Say which wishes a fit does not follow, and what goes ill together."""
    if opened.stated is not None and not model.magnitude:
        yield "--noise is of images: that of concentrations is taken from the residuals of each voxel"
    if estimator.own_prior and not isinstance(choice, str):
        yield f"{estimator.label} takes its prior from neighbours and the scan: that of --prior is not used"
    if estimator.neighbours and opened.denoised is not None:
        yield (
            "neighbours share noise after denoising: values lean to theirs, and standard deviations of "
            f"{estimator.label} are too small"
        )


def prior_fields(prior: Prior) -> dict[str, Any]:
    """Return what sidecars say of a prior."""
    return {"PriorFrom": prior.origin, **({"Prior": dict(prior.sidecar())} if prior.bells else {})}


def _fit(job: FitJob, opened: OpenAcquisition, *, shared: bool) -> tuple[str, ...]:
    """Estimate and write; return what a person should know."""
    started = time.monotonic()
    identity = dicom_identity(job)
    how = opened.prepare(job.model, job.estimator, job.bounds)
    watch = Watch(job, opened.series, how)
    how, found, noise = estimate(
        job.model,
        job.estimator,
        opened,
        how,
        choice=job.prior,
        shared=shared,
        watch=watch,
        threads=job.threads,
    )
    quality = assess(job, opened, how, found, watch, noise)
    keep_page_data(job, opened, how, found, noise, time.monotonic() - started)
    write_outputs(job, opened, how, found, noise, quality)
    if identity is not None:
        write_dicom(job, identity, opened.series, opened.choice.mask, found)
    level = logging.WARNING if doubtful(found) else logging.INFO
    log.log(level, "%s: mask %s; %s", job.name, opened.choice.origin, counted(job, found))
    log_details(job, opened, how, noise, time.monotonic() - started)
    for note in how.notes:
        urgent = is_warning(note, opened.acquisition, found)
        log.log(logging.WARNING if urgent else logging.INFO, "%s: %s", job.name, note)
    return how.notes
