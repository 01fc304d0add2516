"""What a run asks for, as hashes: of all it would do for a participant, and of one fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_qmri.completion.hashes import hash_file, hash_of, software
from bids_qmri.workflows.config import RunConfig


def choice_hash(config: RunConfig) -> str:
    """Return the hash of the choice of scans, models and estimators, whatever the other options."""
    return hash_of(_choice(config))


def request_hash(config: RunConfig) -> str:
    """Return the hash of everything that decides which fits a run makes, what they give, and their pages."""
    return hash_of({**_common(config), **_choice(config), "report_by_session": config.report_by_session})


def _choice(config: RunConfig) -> dict[str, Any]:
    return {
        "models": config.models,
        "estimators": config.estimators,
        "prefer": config.prefer,
        "sessions": config.read.sessions,
        "filters": config.read.filters,
    }


def fit_hash(config: RunConfig, model: str, estimator: str) -> str:
    """Return the hash of everything but the inputs that decides what a fit gives."""
    return hash_of({**_common(config), "model": model, "estimator": estimator})


def _common(config: RunConfig) -> dict[str, Any]:
    """Return what all fits of a run share; numbers of processes and threads change no value."""
    return {
        "software": software(),
        "read": config.read,
        "networks": [_of_network(path) for path in config.networks],
        "bounds": config.bounds,
        "prior": config.prior,
        "noise": hash_file(config.noise) if isinstance(config.noise, Path) else config.noise,
        "settings": config.settings,
        "random_seed": config.random_seed,
        "dicom": None if config.dicom is None else _of_dicom(config),
        "sloppy": config.sloppy,
    }


def _of_network(path: Path) -> list[str]:
    """Return the name and the hashes of a network and its card, which decides how it is used."""
    return [path.name, hash_file(path), hash_file(path.with_suffix(".json"))]


def _of_dicom(config: RunConfig) -> list[Any]:
    dicom = config.dicom
    assert dicom is not None
    return [dicom.folder, dicom.templates, dicom.parametric_maps]
