"""Evaluate estimators on sub-protocols of one scan. Called by `workflows.evaluate`, and by benchmarks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.noise_maps import find_noise_map
from bids_qmri.errors import InputError
from bids_qmri.estimation.preparation import Scan
from bids_qmri.estimators.base import FitResult
from bids_qmri.evaluation.agreement import agreements
from bids_qmri.evaluation.answers import Answer, Maps, Sample, answer_of
from bids_qmri.evaluation.scores import Determined, Regions, Score, compare, pooled
from bids_qmri.evaluation.study import EVERY_REGION, WHOLE, Example, Found, Question
from bids_qmri.evaluation.subsets import Subset, choose_subsets, different, has_subsets
from bids_qmri.interfaces.opening import open_acquisition
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.interfaces.voxels import masked_blocks
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.reports.sheets import fullest_slice

log = logging.getLogger("bids_qmri.workflow")


def evaluate_scan(
    acquisition: Acquisition, options: ReadOptions, question: Question, *, example: bool = False
) -> Found:
    """Estimate from all measurements of a scan and from its sub-protocols, and compare.

    Parameters
    ----------
    acquisition, options
        The scan, and how files are read.
    question
        What is asked.
    example
        With maps of a slice.

    Raises
    ------
    InputError
        Least squares cannot be fitted to it, or it has too few measurements for the sub-protocols.
    """
    participant = acquisition.entities["sub"]
    with opened_sample(acquisition, options, question) as (opened, sample, regions):
        answers = answers_in(opened, sample, question)
        shown = _slice_sample(opened) if example else None
        drawn = None if shown is None else answers_in(opened, shown, question)
        protocol = opened.acquisition.protocol
        grid = opened.series.shape, opened.series.stored.affine
        notes: dict[str, None] = dict.fromkeys([f"mask: {opened.choice.origin}"])
    subsets = _subsets(question, protocol)
    full = _all(answers, None, "all measurements", notes)
    notes |= dict.fromkeys(_gaps(full, question.quantities))
    if question.base not in full:
        raise InputError(f"{question.base} has no answer to all measurements", file=acquisition.images[0])
    scores = [
        score
        for subset in subsets
        for score in score_subset(participant, subset, answers, full, question, protocol, regions, notes)
    ]
    pairs = _maps(full)
    agreed = agreements(
        participant, pairs, question.conventional, question.quantities, regions, _determined(full)
    )
    return Found(
        participant,
        acquisition.label,
        0 if protocol is None else len(different(protocol)[0]),
        sample.signal.shape[1],
        {name: int(inside.sum()) for name, inside in regions.items()},
        tuple(pooled(scores)),
        tuple(agreed),
        pairs,
        regions,
        None if shown is None or drawn is None else _example(participant, grid, shown, drawn, subsets, notes),
        tuple(notes),
    )


def _subsets(question: Question, protocol: Protocol | None) -> list[Subset]:
    named = question.subsets
    if protocol is None or not (named or has_subsets(question.model.name)):
        return []
    return choose_subsets(question.model.name, protocol, named, question.seed)


@contextmanager
def opened_sample(
    acquisition: Acquisition, options: ReadOptions, question: Question
) -> Iterator[tuple[OpenAcquisition, Sample, Regions]]:
    """Open a scan and read the voxels to evaluate, with their regions."""
    with TemporaryDirectory() as folder, open_acquisition(acquisition, options, Path(folder)) as opened:
        opened.stated = find_noise_map(acquisition, opened.series, options, opened.notes)
        found = opened.regions
        inside = opened.mask if found is None else opened.mask & (found.labels > 0)
        chosen = np.flatnonzero(inside)
        step = max(chosen.size // question.most, 1) if question.most else 1
        sample = _sample(opened, chosen[::step])
        if found is None:
            regions: Regions = {WHOLE: np.ones(len(sample.voxels), dtype=np.bool_)}
        else:
            labels = found.labels[sample.voxels]
            regions = {EVERY_REGION: labels > 0} | {
                name: labels == index for index, name in found.names.items()
            }
        yield opened, sample, regions


def _sample(opened: OpenAcquisition, voxels: npt.NDArray[np.intp]) -> Sample:
    chosen = np.zeros(opened.series.n_voxels, dtype=np.bool_)
    chosen[voxels] = True
    parts = list(masked_blocks(opened.series, chosen))
    if not parts:
        raise InputError(
            "no voxel lies in the mask and a region",
            file=opened.acquisition.images[0],
            needed="regions on the grid of the images, within the mask",
            fix="leave the segmentation out, or correct it",
        )
    signal, places = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Sample(_closed(opened.scan), np.asarray(signal, dtype=np.float64), places, None)


def _closed(scan: Scan) -> Scan:
    """Return what is known of a scan, without its images."""
    if scan.mean_curve is None or scan.protocol is not None:
        return replace(scan, mean_curve=None)
    curve = scan.mean_curve()
    return replace(scan, mean_curve=lambda: curve)


def _slice_sample(opened: OpenAcquisition) -> Sample:
    mask = opened.mask.reshape(opened.series.shape, order="F")
    return _sample(opened, np.flatnonzero(fullest_slice(mask, opened.series.stored.affine).ravel(order="F")))


def answers_in(opened: OpenAcquisition, sample: Sample, question: Question) -> dict[str, Answer]:
    """Return what each estimator answers in some voxels; the noise is that of the whole series."""
    found = {}
    for label, estimator in question.estimators.items():
        noise = None
        if question.model.magnitude:
            try:
                how = opened.prepare(question.model, estimator, question.bounds)
                noise = opened.noise(question.model, how)
            except InputError as error:
                log.debug("%s: %s", label, error)  # said again where it is asked for an answer
        told = replace(sample, noise=noise)
        found[label] = answer_of(question.model, estimator, told, question.bounds, question.prior)
    return found


def _all(
    answers: Mapping[str, Answer], kept: Sequence[int] | None, what: str, notes: dict[str, None]
) -> dict[str, FitResult]:
    """Ask all estimators, and note those that cannot answer."""
    found = {}
    for label, answer in answers.items():
        try:
            found[label] = answer(kept)
        except InputError as error:
            notes[f"{label} is left out for {what}: {error}"] = None
    return found


def _maps(found: Mapping[str, FitResult]) -> dict[str, Maps]:
    return {label: one.maps for label, one in found.items()}


def _determined(found: Mapping[str, FitResult]) -> Determined:
    return {label: one.determined for label, one in found.items()}


def _gaps(full: Mapping[str, FitResult], quantities: Sequence[str]) -> Iterator[str]:
    """Say which estimators have voxels without a value, in which nobody is judged."""
    for label, maps in _maps(full).items():
        known = np.all([np.isfinite(maps[name]) for name in quantities], axis=0)
        if not known.all():
            yield f"{label} has no value in {np.count_nonzero(~known)} of {known.size} voxels"


def score_subset(
    participant: str,
    subset: Subset,
    answers: Mapping[str, Answer],
    full: Mapping[str, FitResult],
    question: Question,
    protocol: Protocol | None,
    regions: Regions,
    notes: dict[str, None],
) -> list[Score]:
    """Estimate from a sub-protocol and compare with all references."""
    part = _all(answers, subset.kept, f"the sub-protocol {subset.name}", notes)
    references: dict[str, Mapping[str, Maps]] = {
        "own": {label: maps for label, maps in _maps(full).items() if label in part},
        "lsq": dict.fromkeys(part, full[question.base].maps),
    }
    if protocol is not None and is_independent(protocol, subset, question.model):
        references["rest"] = dict.fromkeys(part, answers[question.base](subset.rest).maps)
    asked = question.base, question.quantities, regions, _determined(part)
    return list(compare(participant, subset, _maps(part), references, *asked))


def is_independent(protocol: Protocol, subset: Subset, model: Model) -> bool:
    """Tell whether what a sub-protocol leaves out can be fitted, with what every estimate leans on in it."""
    rest = list(subset.rest)
    if not set(rest) & set(protocol.reference().tolist()):
        return False
    return len(different(protocol.chosen(rest))[0]) > len(model.parameters)


def _example(
    participant: str,
    grid: tuple[tuple[int, ...], npt.NDArray[np.float64]],
    sample: Sample,
    answers: Mapping[str, Answer],
    subsets: Sequence[Subset],
    notes: dict[str, None],
) -> Example:
    fixed = [one for one in subsets if one.kind == one.name]
    asked = [
        _maps(_all(answers, kept, "the maps of a slice", notes)) for kept in (None, *(s.kept for s in fixed))
    ]
    maps = {label: tuple(found.get(label) for found in asked) for label in answers}
    mask = np.zeros(int(np.prod(grid[0])), dtype=np.bool_)
    mask[sample.voxels] = True
    names = ("all measurements", *(one.name for one in fixed))
    return Example(
        participant, mask.reshape(grid[0], order="F"), np.asarray(grid[1]), sample.voxels, names, maps
    )
