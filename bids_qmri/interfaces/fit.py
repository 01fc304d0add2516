"""Fit one acquisition and write what was found: the body of a fit node, callable without nipype."""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.images import open_series
from bids_qmri.bids.masks import find_mask
from bids_qmri.bids.regions import find_regions
from bids_qmri.errors import InputError, InternalError, QmriError
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.registry import get_estimator
from bids_qmri.interfaces.blocks import fit_image, noise_level
from bids_qmri.interfaces.dicom import dicom_identity, write_dicom
from bids_qmri.interfaces.job import FitJob, Outcome
from bids_qmri.interfaces.noddi import complete, network_notes
from bids_qmri.interfaces.page_data import keep_page_data
from bids_qmri.interfaces.prepare import prepare
from bids_qmri.interfaces.quality import Watch, assess
from bids_qmri.interfaces.write import disown_outputs, write_outputs

log = logging.getLogger("bids_qmri.fit")


def run_fit(job: FitJob) -> Outcome:
    """Fit and write; turn what goes wrong into an outcome, so that everybody else goes on.

    Parameters
    ----------
    job
        Acquisition, model, estimator, and where to write.
    """
    crash = job.output_dir / f"sub-{job.participant}" / "log" / f"crash-{job.name.replace(' ', '_')}.txt"
    crash.unlink(missing_ok=True)
    try:
        notes = _fit(job)
    except Exception as error:
        if job.debug:
            raise
        if isinstance(error, QmriError) and not isinstance(error, InternalError):
            where = "" if error.file else f"{job.acquisition.images[0]}: "
            return Outcome(job.participant, job.name, error=f"{where}{error}")
        crash.parent.mkdir(parents=True, exist_ok=True)
        crash.write_text(traceback.format_exc(), encoding="utf-8")
        line = f"{job.name}: {type(error).__name__}: {error}; the full report is in {crash}"
        return Outcome(job.participant, job.name, error=line)
    return Outcome(job.participant, job.name, notes=notes)


def _fit(job: FitJob) -> tuple[str, ...]:
    """Read, prepare, estimate, write; return what a person should know."""
    started = time.monotonic()
    job.work_dir.mkdir(parents=True, exist_ok=True)
    identity = dicom_identity(job)
    disown_outputs(job)
    with open_series(job.acquisition.images, job.work_dir) as series:
        choice = find_mask(job.acquisition, series, job.options)
        mask = _thinned(choice.mask) if job.sloppy else choice.mask
        how = prepare(job, series, mask)
        sigma = noise_level(series, mask, how, job.model)
        estimator = get_estimator(
            job.model,
            job.label,
            job.seed,
            network=job.network,
            threads=job.threads,
            diffusivities=job.diffusivities,
        )
        watch = Watch(job, series, how)
        found = fit_image(series, mask, how, estimator, sigma, watch)
        if np.all(np.isin(found.status, (Status.OUTSIDE, Status.UNUSABLE))):
            raise InputError(
                f"none of {int(mask.sum())} masked voxels could be fitted",
                file=job.acquisition.images[0],
                needed="positive, finite signals in every image",
                way_out=f"look at the images and the mask ({choice.origin})",
            )
        if job.model == "noddi":
            found = complete(found, series.affine, sigma)
            found = replace(found, notes=(*found.notes, *network_notes(job, found, sigma)))
        how = replace(how, notes=(*how.notes, *found.notes))
        regions = find_regions(job.acquisition, series, job.options)
        quality = assess(job, series, how, found, watch, sigma, regions)
        keep_page_data(job, series, how, found, regions, sigma, time.monotonic() - started)
        write_outputs(job, series, choice, how, found, sigma, quality, regions)
        if identity is not None:
            write_dicom(job, identity, series, choice.mask, found)
    log.info("%s: %d voxels, mask %s", job.name, int(mask.sum()), choice.origin)
    for note in how.notes:
        log.log(logging.WARNING if note in found.notes else logging.INFO, "%s: %s", job.name, note)
    return how.notes


def _thinned(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep every eighth voxel."""
    kept = np.zeros_like(mask)
    kept[np.flatnonzero(mask)[::8]] = True
    return kept
