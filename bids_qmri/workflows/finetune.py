"""Fine-tune a network on the scans of a study, and write networks, cards and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bids_qmri.bids.acquisition import ReadOptions
from bids_qmri.bids.derivatives import write_atomic
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, get_estimator
from bids_qmri.estimators.networks.own import network_estimator
from bids_qmri.reports.tuning import tuning_page
from bids_qmri.workflows.measured_scans import measured_scans
from bids_qmri.workflows.networks import network_named

if TYPE_CHECKING:
    from bids_qmri.training.folds import Outcome
    from bids_qmri.training.start import Start


@dataclass(frozen=True)
class Study:
    """What a network is tuned on.

    Parameters
    ----------
    bids_dir
        The study.
    labels
        Participants without ``sub-``; empty takes all.
    options
        How files are read.
    """

    bids_dir: Path
    labels: Sequence[str] = ()
    options: ReadOptions | None = None


def finetune(
    network: str,
    study: Study,
    folder: Path,
    *,
    model: str | None = None,
    folds: int | None = None,
    seed: int = 0,
) -> tuple[Outcome, Path]:
    """Tune a network on a study; return what was found, and the page.

    Parameters
    ----------
    network
        Name of one that comes with the package, or the file or card of one's own.
    study
        The study.
    folder
        Where networks, cards and page go.
    model
        What the network must be for; None: whatever it is for.
    folds
        Of the cross-validation by participant; None: one per participant, five at most.
    seed
        Of all that is random.

    Raises
    ------
    InputError
        The network cannot be tuned, or the study has too few scans for it.
    UsageError
        There is no such network, study or participant, or number of folds.
    """
    from bids_qmri.training.finetune import TUNINGS
    from bids_qmri.training.folds import cross_validate
    from bids_qmri.training.start import load_start

    start = load_start(network_named(network))
    if model is not None and model != start.recipe.model:
        raise InputError(
            f"is a network for {start.recipe.model}, not for {model}",
            file=start.file,
            field="--model",
            needed=f"a network for {model}",
            fix="see bids_qmri-networks list, or leave --model out",
        )
    scans = measured_scans(
        study.bids_dir, start.recipe.forward, _estimator(start), study.labels, study.options
    )
    how = TUNINGS[start.recipe.data.rows]
    found = cross_validate(start, scans, how, folder, folds, seed)
    page = found.card.with_suffix(".html")
    write_atomic(page.absolute(), tuning_page(found).encode("utf-8"))
    return found, page


def _estimator(start: Start) -> Estimator:
    """Return the estimator whose preparation voxels get: the network's own, where the application has one."""
    if start.file.suffix == ".onnx":
        return network_estimator(start.file)
    return get_estimator(start.recipe.model, "map")
