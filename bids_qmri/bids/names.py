"""Strict BIDS names of derivatives: every entity is written in canonical order, or an error says why not.

Called by whatever writes or looks up an output file. A name is never shortened to fit: an entity that has
no place here would make two acquisitions overwrite each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from bids_qmri.errors import InputError

ORDER = (
    *("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "mod", "space", "chunk"),
    *("model", "param", "res", "label", "desc"),
)
"""Entities a derivative may carry, in the order of the BIDS specification and its proposal 16."""

DATATYPES = ("anat", "dwi", "fmap", "perf")

ABOUT_MAPS = ("Std", "Status", "Determined", "WcvRuns", "WcvSessions", "WcvPersons")
"""Ends of `desc-` of images that are about a map."""
EXTENSIONS = (".nii.gz", ".nii", ".json", ".tsv", ".png", ".svg")

_LABEL = re.compile(r"[0-9A-Za-z+]+")
_SUFFIX = re.compile(r"[0-9A-Za-z]+")


def derivative_path(
    entities: Mapping[str, str],
    *,
    datatype: str,
    suffix: str,
    extension: str,
    desc: str,
    model: str | None = None,
    param: str | None = None,
) -> PurePosixPath:
    """Return the path of a derivative file, relative to the root of the output dataset.

    Parameters
    ----------
    entities
        Entities of the acquisition, short keys; ``sub`` is required.
    datatype
        Folder: anat, dwi, fmap or perf.
    suffix
        ``"T1map"``, ``"dwimap"``, ...
    extension
        With its leading dot.
    desc
        Label of the estimator; required, because without it the name could be one of raw data.
    model, param
        Values of the entities ``model-`` and ``param-``, if the name has them.

    Raises
    ------
    InputError
        An entity is unknown or given twice, a label is not alphanumeric, ``sub`` or ``desc`` is missing.
    """
    own = {"model": model, "param": param, "desc": desc}
    extra = {key: value for key, value in own.items() if value is not None}
    twice = sorted(set(entities) & set(extra))
    if twice:
        raise InputError(f"entity {twice[0]} is given twice", needed="every entity once")
    every = {**entities, **extra}
    if datatype not in DATATYPES:
        raise InputError(
            f"datatype is {datatype!r}", field="datatype", needed=f"one of {', '.join(DATATYPES)}"
        )
    name = build_name(every, suffix, extension)
    folders = [f"sub-{every['sub']}"] + ([f"ses-{every['ses']}"] if "ses" in every else [])
    return PurePosixPath(*folders, datatype, name)


def build_name(entities: Mapping[str, str], suffix: str, extension: str) -> str:
    """Return the file name of a derivative; the inverse of `parse_name`.

    Raises
    ------
    InputError
        As `derivative_path`.
    """
    unknown = sorted(set(entities) - set(ORDER))
    if unknown:
        raise InputError(
            f"entity {unknown[0]} has no place in names of derivatives",
            field=unknown[0],
            needed=f"only {', '.join(ORDER)}",
            fix="rename the input with acq-, or leave it out with --bids-filter-file",
        )
    for key in ("sub", "desc"):
        if not entities.get(key):
            raise InputError(f"{key}- is missing", field=key, needed="a label in every name of a derivative")
    for key, value in entities.items():
        if not isinstance(value, str) or not _LABEL.fullmatch(value):
            raise InputError(f"label is {value!r}", field=key, needed="letters A-Z, a-z, digits or +")
    if not _SUFFIX.fullmatch(suffix):
        raise InputError(f"suffix is {suffix!r}", field="suffix", needed="letters and digits")
    if extension not in EXTENSIONS:
        raise InputError(f"extension is {extension!r}", field="extension", needed=" or ".join(EXTENSIONS))
    chain = [f"{key}-{entities[key]}" for key in ORDER if key in entities]
    return "_".join([*chain, suffix]) + extension


def parse_name(name: str) -> tuple[dict[str, str], str, str]:
    """Split the file name of a derivative into its entities, suffix and extension.

    Parameters
    ----------
    name
        Name without folders, as `build_name` writes it.

    Raises
    ------
    InputError
        The name is not one that `build_name` can write.
    """
    stem, dot, rest = name.partition(".")
    *pairs, suffix = stem.split("_")
    split = [pair.partition("-")[::2] for pair in pairs]
    entities, extension = dict(split), dot + rest
    if build_name(entities, suffix, extension) != name:
        raise InputError(
            "entities are repeated or out of order",
            file=name,
            needed=f"each once, in the order {', '.join(ORDER)}",
        )
    return entities, suffix, extension
