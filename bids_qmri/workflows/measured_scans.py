"""The scans of a study as voxels to tune a network with: prepared as for a fit, noise and prior told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.dataset import find, participants
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator
from bids_qmri.estimators.classical.asymptotic import checked_signal
from bids_qmri.interfaces.opening import open_acquisition
from bids_qmri.physics.model import Model
from bids_qmri.workflows.applicability import choose_models

if TYPE_CHECKING:
    from bids_qmri.training.measured import MeasuredScan

log = logging.getLogger("bids_qmri.workflow")

FEWEST = 3
"""Participants of a study that can be judged: two to tune with, one to be judged."""


def measured_scans(
    bids_dir: Path,
    model: Model,
    estimator: Estimator,
    labels: Sequence[str] = (),
    options: ReadOptions | None = None,
) -> list[MeasuredScan]:
    """Return voxels of every scan of a study that a model can be fitted to.

    Parameters
    ----------
    bids_dir
        The study.
    model, estimator
        What is fitted; the estimator whose preparation, limits and prior voxels get.
    labels
        Participants without ``sub-``; empty takes all.
    options
        How files are read.

    Raises
    ------
    InputError
        Fewer than `FEWEST` participants have such a scan with known noise; the message says why.
    UsageError
        There is no such study or participant.
    """
    options, found, reasons = options or ReadOptions(), [], []
    for label in participants(bids_dir, labels):
        for one in find(bids_dir, label, options):
            if not isinstance(one, Acquisition) or model.name not in choose_models(one, [model.name])[0]:
                continue
            try:
                found.append(_voxels(label, one, model, estimator, options))
            except InputError as error:
                reasons.append(f"{one.label}: {error.seen}")
                log.warning("%s is left out: %s", one.label, error)
    count = len({scan.participant for scan in found})
    if count < FEWEST:
        why = f" ({'; '.join(reasons)})" if reasons else ""
        raise InputError(
            f"{count} participants have a scan for {model.name} that can be used{why}",
            file=bids_dir,
            needed=f"{FEWEST} participants, so that networks are judged on one that they were not tuned with",
            fix=f"take more participants with it, or a network for another model than {model.name}",
        )
    return found


def _voxels(
    label: str, one: Acquisition, model: Model, estimator: Estimator, options: ReadOptions
) -> MeasuredScan:
    """Return the voxels of a scan as they are fitted."""
    from bids_qmri.training.measured import MeasuredScan

    with TemporaryDirectory() as folder, open_acquisition(one, options, Path(folder)) as opened:
        how = opened.prepare(model, estimator, {})
        noise = opened.noise(model, how)
        how, _ = opened.blocks(how, keep=False)
        prior = opened.prior(model, how, noise, "scan")
        sample = opened.prior_sample(how, noise)
        if sample is None:
            raise InputError("its noise is not known", needed="the noise level of a single image")
    signal, usable = checked_signal(model, sample.signal, sample.protocol)
    told = sample.noise.spread(len(signal))
    usable &= np.isfinite(told.scatter) & (told.scatter > 0) & (told.floor > 0)
    if model.amplitude is not None:
        usable &= ~np.any(signal < 0, axis=1)
    kept = np.flatnonzero(usable)
    if not kept.size:
        raise InputError("no voxel can be fitted", needed="voxels with signal inside the mask")
    return MeasuredScan(
        label,
        one.label,
        signal[kept],
        sample.protocol.take(kept),
        told.take(kept),
        how.bounds,
        how.physical,
        prior,
    )
