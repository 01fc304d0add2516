"""The completion record of a participant: what was asked, of which inputs, and what was written for it.

It lies in the participant's folder, ``log/completion.json``, and takes its place together with all that it
speaks of.
"""

from __future__ import annotations

import os
import re
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
_SESSION = re.compile(r"_ses-([0-9A-Za-z+]+)")

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
class Request:
    """What the last run with a choice of models and estimators asked for, and how it ended.

    Parameters
    ----------
    asked
        Hash of all options, and of the code.
    inputs
        Hash of everything read.
    end, messages
        How the run ended, and what it said.
    fits
        Hash of the options of every fit that it made, by name.
    """

    asked: str
    inputs: str
    end: End
    messages: tuple[str, ...] = ()
    fits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Completion:
    """All that is known of a participant's results.

    Parameters
    ----------
    end, messages
        How all that was asked for ended, with the inputs as they are: the worst, and what it said.
    software
        Version and hash of the code that the last run used.
    inputs
        Hash by file, as the last run found them.
    requests
        What was asked for last, by the hash of the choice of models and estimators.
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
    requests: Mapping[str, Request] = field(default_factory=dict)
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
            and (entry.options, entry.inputs) == (options, hash_for(fit, inputs))
            and not set(entry.files) & set(damaged)
        )

    def outdated(self) -> tuple[str, ...]:
        """Return fits in place whose inputs have changed since, and that no run has made again."""
        return tuple(name for name, entry in self.fits.items() if entry.inputs != hash_for(name, self.inputs))

    def answers(self, choice: str, asked: str, inputs: Mapping[str, str], damaged: Collection[str]) -> bool:
        """Tell whether all that a run would do for the participant is done, and nothing is damaged."""
        request = self.requests.get(choice)
        return (
            request is not None
            and request.end != "failed"
            and (request.asked, request.inputs) == (asked, hash_of(inputs))
            and not damaged
            and all(self.holds(fit, options, inputs, ()) for fit, options in request.fits.items())
        )


def overall(requests: Collection[Request]) -> tuple[End, tuple[str, ...]]:
    """Return how requests ended together, and what those said that ended so."""
    ends: tuple[End, ...] = ("failed", "ok", "nothing")
    end: End = next((one for one in ends if any(request.end == one for request in requests)), "nothing")
    said = [message for request in requests if request.end == end for message in request.messages]
    return end, tuple(dict.fromkeys(said))


def hash_for(fit: str, inputs: Mapping[str, str]) -> str:
    """Return the hash of the inputs of a fit, by its name: files of other sessions are none.

    Parameters
    ----------
    fit
        Such as ``sub-01_ses-1 vfa lsq``.
    inputs
        Hash by file.
    """
    session = _SESSION.search(fit)
    if session is None:
        return hash_of(inputs)
    own = f"/ses-{session[1]}/"
    return hash_of({name: value for name, value in inputs.items() if "/ses-" not in name or own in name})


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
        "Requests": {
            choice: {
                "Asked": one.asked,
                "Inputs": one.inputs,
                "End": one.end,
                "Messages": list(one.messages),
                "Fits": dict(one.fits),
            }
            for choice, one in record.requests.items()
        },
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
    if content["Format"] != FORMAT:
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
        end=_end(content["End"]),
        messages=tuple(map(str, content["Messages"])),
        software=str(content["Software"]),
        inputs=dict(content["Inputs"]),
        requests={
            choice: Request(
                str(one["Asked"]),
                str(one["Inputs"]),
                _end(one["End"]),
                tuple(map(str, one["Messages"])),
                dict(one["Fits"]),
            )
            for choice, one in content["Requests"].items()
        },
        fits=fits,
        outputs=dict(content["Outputs"]),
    )


def _end(text: Any) -> End:
    if text not in get_args(End):
        raise DamagedRecordError("it is of another version")
    found: End = text
    return found


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
