"""What trained networks there are, and for which scans of a study each was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bids_qmri import catalogue
from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find, participants
from bids_qmri.errors import InputError, UsageError
from bids_qmri.estimators.base import Estimator
from bids_qmri.estimators.networks.network_file import card_of, summary, weights_folder
from bids_qmri.estimators.networks.own import network_estimator, network_use
from bids_qmri.interfaces.opening import open_acquisition
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.protocol import Protocol

FEW = 64
"""Voxels of a scan whose protocol its images tell."""


@dataclass(frozen=True)
class Listed:
    """A network.

    Parameters
    ----------
    file
        The ONNX file.
    model, estimator
        What it is for, and the word of ``--estimators`` that uses it.
    card
        What is known of it.
    sha256
        Of the file.
    """

    file: Path
    model: str
    estimator: str
    card: Mapping[str, Any]
    sha256: str


def networks_in(folder: Path | None = None) -> list[Listed]:
    """Return the networks of a folder by the names of their files; None: those that come with the package.

    Raises
    ------
    InputError
        One of them cannot be used.
    UsageError
        The folder is not there.
    """
    root = weights_folder() if folder is None else folder
    if not root.is_dir():
        raise UsageError("is not a folder", file=root, needed="a folder of networks, NAME.onnx")
    return [listed(file) for file in sorted(root.glob("*.onnx"))]


def listed(file: Path) -> Listed:
    """Return what is known of a network; raises as `network_use`."""
    model, label = network_use(file)
    return Listed(file, model, label, card_of(file), summary(file)["SHA256"])


def network_named(text: str) -> Path:
    """Return the file of a network that comes with the package, by its name, or of one's own, by its path.

    Raises
    ------
    UsageError
        There is none.
    """
    shipped = weights_folder() / f"{text}.onnx"
    file = shipped if "/" not in text and shipped.is_file() else Path(text)
    if not file.is_file():
        names = ", ".join(path.stem for path in sorted(weights_folder().glob("*.onnx")))
        raise UsageError(
            f"there is no network {text!r}", field="NETWORK", needed=f"a file NAME.onnx, or one of {names}"
        )
    return file


@dataclass(frozen=True)
class Judged:
    """Whether a network was trained for a scan.

    Parameters
    ----------
    scan
        Entities of the acquisition.
    verdict
        ``"inside"`` its training, ``"outside"`` of it (used, with a caution), or ``"refused"``.
    reasons
        Why, unless inside.
    """

    scan: str
    verdict: str
    reasons: tuple[str, ...] = ()


def judge_study(
    file: Path, bids_dir: Path, labels: Sequence[str] = (), options: ReadOptions | None = None
) -> Iterator[Judged]:
    """Judge every scan of a study that has the technique of a network.

    Parameters
    ----------
    file
        The network.
    bids_dir
        The study.
    labels
        Participants without ``sub-``; empty takes all.
    options
        How files are read.

    Raises
    ------
    InputError, UsageError
        The network cannot be used, or the study not be read.
    """
    model_name, _ = network_use(file)
    model, estimator = catalogue.get_model(model_name), network_estimator(file)
    kind = catalogue.kind_of(model_name)
    for label in participants(bids_dir, labels):
        for found in find(bids_dir, label, options):
            if found.kind != kind:
                continue
            if isinstance(found, Unusable):
                yield Judged(found.label, "refused", (str(found.error),))
            else:
                yield _judge(found, model, estimator, options or ReadOptions())


def _judge(found: Acquisition, model: Model, estimator: Estimator, options: ReadOptions) -> Judged:
    protocol = found.protocol
    try:
        if protocol is None:
            used, limits = _read(found, model, estimator, options)
        elif obstacle := model.obstacle(protocol):
            return Judged(found.label, "refused", (obstacle,))
        else:
            selection = estimator.prepare(model, protocol)
            used = protocol if selection is None else selection.protocol
            limits = estimator.limits(model, {}, {})
        problems = estimator.untrained(model, used, limits)
    except InputError as error:
        return Judged(found.label, "refused", (str(error),))
    return Judged(found.label, "outside" if problems else "inside", tuple(problems))


def _read(
    found: Acquisition, model: Model, estimator: Estimator, options: ReadOptions
) -> tuple[Protocol, Bounds]:
    """Return the protocol of a scan that tells it only by its images, and the limits of a fit of it."""
    with (
        TemporaryDirectory() as folder,
        open_acquisition(found, replace(options, motion=False), Path(folder)) as opened,
    ):
        how = opened.prepare(model, estimator, {})
        signal, voxels = opened.sample()
        # Few voxels are enough: they share what was played out.
        return how.convert(signal[:FEW], voxels[:FEW])[1], how.bounds or {}
