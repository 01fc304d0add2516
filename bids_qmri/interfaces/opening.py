"""Open an acquisition: its images, examined, aligned and denoised as asked for, and the voxels to fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.images import Series
from bids_qmri.bids.masks import find_mask
from bids_qmri.bids.odd_volumes import examined
from bids_qmri.bids.volumes import ChosenVolumes, open_images
from bids_qmri.errors import InputError
from bids_qmri.interfaces.aligned import cautions, comparable, measure_motion
from bids_qmri.interfaces.denoised import DIFFUSION, denoise_series
from bids_qmri.interfaces.outliers import can_leave_out, find_damaged, say_damaged, unmoved, without
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.interfaces.signed import require_magnitudes


@contextmanager
def open_acquisition(
    acquisition: Acquisition, options: ReadOptions, work_dir: Path, *, thin: bool = False, threads: int = 1
) -> Iterator[OpenAcquisition]:
    """Open the images of an acquisition and choose the voxels to fit.

    Parameters
    ----------
    acquisition, options
        What was found, and how files are read.
    work_dir
        Scratch folder; made if it is not there.
    thin
        Fit every eighth voxel only.
    threads
        That look at images at a time, and of an alignment.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        series = stack.enter_context(open_images(acquisition, work_dir))
        protocol = acquisition.protocol
        wanted = None if protocol is None else protocol.magnitudes()
        require_magnitudes(series, acquisition.images[0], wanted)
        if acquisition.datatype == DIFFUSION and acquisition.protocol is not None:
            acquisition, kept = examined(acquisition, series)
            series = series if len(kept) == series.n_measurements else ChosenVolumes([series], kept)
        damaged = None
        if options.motion or options.reject_outliers:
            damaged = _damaged(acquisition, series, threads)
            acquisition, series = _without_damaged(acquisition, series, damaged, options)
        choice = find_mask(acquisition, series, options)
        opened = OpenAcquisition(acquisition, options, series, choice, choice.mask, work_dir)
        opened.damaged = damaged
        if options.denoise:
            _denoise(opened, stack)
        if options.align:
            opened.align(work_dir, stack, threads)
        if options.motion and opened.aligned is None and comparable(acquisition, series):
            opened.motion = measure_motion(acquisition, series, threads)
        opened.notes += cautions(opened.motion, series.zooms, acquisition.names_of(series.n_measurements))
        if thin:
            opened.mask = _thinned(opened.mask)
        yield opened


def _damaged(acquisition: Acquisition, series: Series, threads: int) -> npt.NDArray[np.bool_]:
    """Return which slices of which images are damaged, (slices, N), and not only displaced."""
    damaged = find_damaged(acquisition, series, threads)
    if not damaged.any() or not comparable(acquisition, series):
        return damaged
    return unmoved(acquisition, damaged, measure_motion(acquisition, series, threads), series.zooms)


def _without_damaged(
    acquisition: Acquisition, series: Series, damaged: npt.NDArray[np.bool_], options: ReadOptions
) -> tuple[Acquisition, Series]:
    """Say which images are damaged, and leave them out where that is asked for and can be done."""
    can_be = can_leave_out(acquisition)
    out = options.reject_outliers and can_be and bool(damaged.any())
    notes = say_damaged(damaged, acquisition.names_of(series.n_measurements), left_out=out, can_be=can_be)
    acquisition = replace(acquisition, notes=(*acquisition.notes, *notes))
    if not out:
        return acquisition, series
    acquisition, kept = without(acquisition, series, damaged)
    return acquisition, ChosenVolumes([series], kept)


def _denoise(opened: OpenAcquisition, stack: ExitStack) -> None:
    """Replace a diffusion series by its denoised one; note what cannot be denoised."""
    if opened.acquisition.datatype != DIFFUSION:
        opened.notes.append("not denoised: only diffusion series are")
        return
    try:
        denoised = denoise_series(opened.series, opened.choice.mask, opened.work_dir, opened._air)
    except InputError as error:
        opened.notes.append(f"not denoised: {error}")
        return
    stack.enter_context(denoised.series)
    opened.denoised, opened.series = denoised, denoised.series
    opened.notes += denoised.remarks()


def _thinned(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep every eighth voxel."""
    kept = np.zeros_like(mask)
    kept[np.flatnonzero(mask)[::8]] = True
    return kept
