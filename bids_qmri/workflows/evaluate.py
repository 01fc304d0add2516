"""Evaluate estimators on the scans of a study: which are asked, of whom, and what it shows together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_qmri import catalogue
from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find, participants
from bids_qmri.errors import InputError, NoInputError, UsageError
from bids_qmri.estimators.base import Estimator, get_estimator
from bids_qmri.estimators.networks.network_file import card_of
from bids_qmri.estimators.networks.own import network_estimator, network_use
from bids_qmri.evaluation.study import Evaluation, Found, Question
from bids_qmri.evaluation.subsets import different
from bids_qmri.workflows.applicability import choose_models
from bids_qmri.workflows.evaluate_one import evaluate_scan

log = logging.getLogger("bids_qmri.workflow")

DEFAULT = ("lsq", "mle", "bayes", "ncde")
"""Estimators that are evaluated unless others are asked for, of those that a model has."""

CONVENTIONAL = ("lsq", "mle")
"""Words of conventional fits."""


def estimators_for(
    model_name: str, words: Sequence[str] = (), networks: Sequence[Path] = ()
) -> dict[str, Estimator]:
    """Return the estimators that are asked, by label: least squares first, networks by their files.

    Raises
    ------
    UsageError
        A word gives none, a network is for another model, or two have one name.
    """
    _, entry = catalogue.find_entry(model_name)
    known = set(catalogue.words_for(model_name))
    for word in words:
        if word not in known:
            raise UsageError(
                f"{model_name} has no estimator {word!r}",
                field="--estimators",
                needed=f"of {', '.join(catalogue.words_for(model_name))}",
            )
    base = base_of(model_name)
    labels = catalogue.labels_for(model_name, words or [word for word in DEFAULT if word in known])
    found: dict[str, Estimator] = {}
    for label in dict.fromkeys((base, *labels)):
        estimator = get_estimator(model_name, label)
        if label in words and estimator.neighbours:
            raise UsageError(
                f"{label} fits whole images", field="--estimators", needed="one that fits single voxels"
            )
        if not estimator.needs_file and not estimator.neighbours:
            found[label] = estimator
    for file in networks:
        trained_for, _ = network_use(file)
        if trained_for != model_name:
            raise UsageError(
                f"is a network for {trained_for}",
                file=file,
                field="--network",
                needed=f"one for {model_name}",
            )
        if file.stem in found or file.stem in entry.estimators:
            raise UsageError(
                f"{file.stem} is the name of another estimator",
                file=file,
                field="--network",
                needed="a name of its own",
                fix="rename the file and its card",
            )
        found[file.stem] = network_estimator(file)
    return found


def base_of(model_name: str) -> str:
    """Return the label of least squares of a model."""
    return catalogue.labels_for(model_name, [CONVENTIONAL[0]])[0]


def conventional_of(model_name: str, estimators: Mapping[str, Estimator]) -> tuple[str, ...]:
    """Return those of some estimators that are conventional fits."""
    return tuple(one for one in catalogue.labels_for(model_name, CONVENTIONAL) if one in estimators)


def densest(
    bids_dir: Path, label: str, model_name: str, options: ReadOptions
) -> tuple[Acquisition | None, list[str]]:
    """Return the scan of a participant with the most different measurements, and why not others."""
    kind, notes = catalogue.kind_of(model_name), []
    best: tuple[tuple[int, int], Acquisition] | None = None
    for found in find(bids_dir, label, options):
        if found.kind != kind:
            continue
        if isinstance(found, Unusable):
            notes.append(f"{found.label} is left out: {found.error}")
            continue
        possible, reasons = choose_models(found, [model_name])
        if model_name not in possible:
            notes.append(f"{found.label} is left out: {reasons.get(model_name, 'not this model')}")
            continue
        protocol = found.protocol
        rank = (0, 0) if protocol is None else (len(different(protocol)[0]), protocol.n_measurements)
        if best is None or rank > best[0]:
            best = rank, found
    return (None if best is None else best[1]), notes


def tuned_notes(networks: Sequence[Path]) -> tuple[str, ...]:
    """Name networks that have learned from measured voxels: maybe from those that judge them."""
    tuned = [(file.stem, card_of(file).get("finetuned")) for file in networks]
    return tuple(
        f"{name} was fine-tuned on {len(told['participants'])} participants: if they are among these, it is "
        "judged by what it has learned; the networks of its folds are not"
        for name, told in tuned
        if told
    )


def evaluate_study(
    bids_dir: Path, question: Question, labels: Sequence[str] = (), options: ReadOptions | None = None
) -> Evaluation:
    """Evaluate estimators on the densest scan of every participant.

    Parameters
    ----------
    bids_dir
        The study.
    question
        What is asked.
    labels
        Participants without ``sub-``; empty takes all.
    options
        How files are read.

    Raises
    ------
    UsageError
        There is no such study or participant.
    NoInputError
        Nobody has a scan that can be evaluated.
    """
    options, notes, failed = options or ReadOptions(), list(question.notes), False
    everything: list[Found] = []
    for label in participants(bids_dir, labels):
        chosen, said = densest(bids_dir, label, question.model.name, options)
        notes += said
        if chosen is None:
            continue
        log.info("%s: evaluating", chosen.label)
        try:
            everything.append(evaluate_scan(chosen, options, question, example=not everything))
        except InputError as error:
            notes.append(f"{chosen.label} is left out: {error}")
        except Exception as error:  # of one scan, which must not cost the others
            log.debug("%s", chosen.label, exc_info=True)
            failed = True
            notes.append(f"{chosen.label} is left out: {type(error).__name__}: {error}")
    for note in notes:
        log.warning("%s", note)
    if not everything:
        raise NoInputError(
            f"nobody has a scan that {question.model.name} can be evaluated on",
            file=bids_dir,
            needed=f"a {catalogue.kind_of(question.model.name)} series" + (f"; {notes[0]}" if notes else ""),
        )
    return Evaluation(question, tuple(everything), tuple(notes), failed)
