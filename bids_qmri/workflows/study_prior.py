"""Learn a prior over the participants of a study, which all of them can then share (``--prior FILE``)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bids_qmri import __version__, catalogue
from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.dataset import find, participants
from bids_qmri.errors import InputError
from bids_qmri.estimation.prior import PriorSample, study_prior
from bids_qmri.estimators.base import get_estimator
from bids_qmri.interfaces.opening import open_acquisition
from bids_qmri.physics.model import Model
from bids_qmri.physics.prior import Prior
from bids_qmri.workflows.applicability import choose_models

log = logging.getLogger("bids_qmri.workflow")

ESTIMATOR = "map"
"""Whose preparation of the signals the prior is learned from; others that have a prior share it."""


@dataclass(frozen=True)
class StudyPrior:
    """What a study taught.

    Parameters
    ----------
    model
        Whose parameters.
    prior
        Where they lie.
    scans
        It was learned from.
    """

    model: Model
    prior: Prior
    scans: tuple[str, ...]


def learn_study_prior(
    bids_dir: Path,
    model_name: str,
    labels: Sequence[str] = (),
    options: ReadOptions | None = None,
    seed: int = 0,
) -> StudyPrior:
    """Learn where the parameters of a model lie in a study, as many voxels of every scan.

    Parameters
    ----------
    bids_dir
        The study.
    model_name
        A word of ``--models`` whose estimators have a prior.
    labels
        Participants without ``sub-``; empty takes all.
    options
        How files are read.
    seed
        Of the voxels that are drawn.

    Raises
    ------
    InputError
        The model has no prior, or the scans of the study cannot teach one.
    UsageError
        There is no such study or participant.
    """
    _, entry = catalogue.find_entry(model_name)
    if ESTIMATOR not in entry.estimators:
        raise InputError(
            f"{model_name} has no estimator with a prior", field="--model", needed="a model with map or bayes"
        )
    model, options = catalogue.get_model(model_name), options or ReadOptions()
    samples: list[PriorSample] = []
    scans: list[str] = []
    for label in participants(bids_dir, labels):
        for found in find(bids_dir, label, options):
            if not isinstance(found, Acquisition) or model_name not in choose_models(found, [model_name])[0]:
                continue
            try:
                sample = _sample(found, model, options)
            except InputError as error:
                log.warning("%s is left out: %s", found.label, error)
                continue
            if sample is None:
                log.warning("%s is left out: its noise is not known", found.label)
            else:
                samples.append(sample)
                scans.append(found.label)
    return StudyPrior(model, study_prior(model, samples, seed), tuple(scans))


def _sample(found: Acquisition, model: Model, options: ReadOptions) -> PriorSample | None:
    """Return voxels of a scan as they are fitted, with their noise."""
    with TemporaryDirectory() as folder, open_acquisition(found, options, Path(folder)) as opened:
        how = opened.prepare(model, get_estimator(model.name, ESTIMATOR), {})
        noise = opened.noise(model, how) if model.magnitude else None
        how, _ = opened.blocks(how, keep=False)
        return opened.prior_sample(how, noise)


def as_toml(found: StudyPrior) -> str:
    """Return the file that ``--prior`` takes."""
    parameters = {p.name: p for p in found.model.parameters}
    lines = [
        f"# Prior of {found.model.name} by bids_qmri {__version__}: {found.prior.origin}",
        *(f"#   {scan}" for scan in found.scans),
    ]
    for name, bell in found.prior.bells:
        if not parameters[name].internal:
            lines += ["", f"[{found.model.name}.{name}]", f"centre = {bell.centre:.6g}"]
            lines += [f"width = {bell.width:.6g}", f'unit = "{parameters[name].unit}"']
    return "\n".join(lines) + "\n"
