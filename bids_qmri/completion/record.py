"""The completion record of a participant: what was asked, of which inputs, and what was written for it.

It lies in the participant's folder, ``log/completion.json``, and takes its place together with all that it
speaks of.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from bids_qmri.completion.hashes import fingerprint, hash_of
from bids_qmri.errors import InputError
from bids_qmri.files import TABLE_LIMIT, parse_json, read_text

NAME = "completion.json"
FORMAT = 1
_LISTED = 3

End = Literal["ok", "nothing", "failed"]
"""How a participant ended: well, without anything to fit, or with a failure."""


class DamagedRecordError(ValueError):
    """A completion record that cannot be read, or is not one."""


@dataclass(frozen=True)
class FitEntry:
    """One fit whose results are in place.

    Parameters
    ----------
    model, estimator
        What was fitted, and how.
    options, inputs
        Hashes of what was asked for, and of everything read.
    files
        What it wrote, relative to the output dataset.
    """

    model: str
    estimator: str
    options: str
    inputs: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Completion:
    """All that is known of a participant's results.

    Parameters
    ----------
    end, messages
        How the last run ended, and what it said.
    software
        Version and hash of the code that the last run used.
    inputs
        Hash by file, as the last run found them.
    requests
        What runs asked for, by hash: the fits that this made, each with the hash of its options.
    fits
        Fits whose results are in place, by name.
    outputs
        `hashes.fingerprint` of every file in the participant's folder and of the pages, by its name relative
        to the output dataset.
    """

    end: End
    messages: tuple[str, ...] = ()
    software: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    requests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fits: Mapping[str, FitEntry] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)

    def damaged(self, output_dir: Path) -> tuple[str, ...]:
        """Return outputs that are gone, or not what was written."""
        return tuple(name for name, value in self.outputs.items() if fingerprint(output_dir / name) != value)

    def resized(self, output_dir: Path) -> tuple[str, ...]:
        """Return outputs that are gone or of another size, which takes no reading."""
        sizes = {name: int(value.partition(":")[0]) for name, value in self.outputs.items() if ":" in value}
        return tuple(name for name, size in sizes.items() if _size(output_dir / name) != size)

    def holds(self, fit: str, options: str, inputs: Mapping[str, str], damaged: Collection[str]) -> bool:
        """Tell whether a fit is complete, with these options and of these inputs."""
        entry = self.fits.get(fit)
        return (
            entry is not None
            and (entry.options, entry.inputs) == (options, hash_of(inputs))
            and not set(entry.files) & set(damaged)
        )

    def outdated(self) -> tuple[str, ...]:
        """Return fits in place whose inputs have changed since, and that no run has made again."""
        now = hash_of(self.inputs)
        return tuple(name for name, entry in self.fits.items() if entry.inputs != now)

    def answers(self, request: str, inputs: Mapping[str, str], damaged: Collection[str]) -> bool:
        """Tell whether all that a run would do for the participant is done, and nothing is damaged."""
        asked = self.requests.get(request)
        return (
            self.end != "failed"
            and asked is not None
            and not damaged
            and self.inputs == inputs
            and all(self.holds(fit, options, inputs, ()) for fit, options in asked.items())
        )


def listed(names: Collection[str]) -> str:
    """Return names as text, the first few of many."""
    first = ", ".join(sorted(names)[:_LISTED])
    return first if len(names) <= _LISTED else f"{first} and {len(names) - _LISTED} more"


def completion_path(output_dir: Path, participant: str) -> Path:
    """Return where the record of a participant lies."""
    return output_dir / f"sub-{participant}" / "log" / NAME


def as_fields(record: Completion) -> dict[str, Any]:
    """Return a record as plain data for JSON."""
    return {
        "Format": FORMAT,
        "End": record.end,
        "Messages": list(record.messages),
        "Software": record.software,
        "Inputs": dict(record.inputs),
        "Requests": {key: dict(value) for key, value in record.requests.items()},
        "Fits": {
            name: {
                "Model": fit.model,
                "Estimator": fit.estimator,
                "Options": fit.options,
                "Inputs": fit.inputs,
                "Files": list(fit.files),
            }
            for name, fit in record.fits.items()
        },
        "Outputs": dict(record.outputs),
    }


def read_completion(output_dir: Path, participant: str) -> Completion | None:
    """Read the record of a participant; None if there is none.

    Raises
    ------
    DamagedRecordError
        There is one that cannot be read.
    """
    path = completion_path(output_dir, participant)
    if not os.path.lexists(path):
        return None
    try:
        return _from_fields(parse_json(read_text(path, TABLE_LIMIT)))
    except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = error.seen if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise DamagedRecordError(what) from error


def _from_fields(content: Any) -> Completion:
    if content["Format"] != FORMAT or content["End"] not in get_args(End):
        raise DamagedRecordError("it is of another version")
    fits = {
        str(name): FitEntry(
            str(fit["Model"]),
            str(fit["Estimator"]),
            str(fit["Options"]),
            str(fit["Inputs"]),
            tuple(map(str, fit["Files"])),
        )
        for name, fit in content["Fits"].items()
    }
    return Completion(
        end=content["End"],
        messages=tuple(map(str, content["Messages"])),
        software=str(content["Software"]),
        inputs=dict(content["Inputs"]),
        requests={key: dict(value) for key, value in content["Requests"].items()},
        fits=fits,
        outputs=dict(content["Outputs"]),
    )


def hash_outputs(root: Path, participant: str) -> dict[str, str]:
    """Return the fingerprints of all files of a participant and of the pages, but not of the record.

    Parameters
    ----------
    root
        Holds the participant's folder, and pages beside it.
    participant
        Label without ``sub-``.
    """
    own = completion_path(root, participant)
    pages = sorted(root.glob(f"sub-{participant}.html")) + sorted(root.glob(f"sub-{participant}_*.html"))
    files = sorted(path for path in (root / f"sub-{participant}").rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): fingerprint(path) for path in [*files, *pages] if path != own}


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
