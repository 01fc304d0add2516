"""Where each participant of an output dataset stands: complete, in work, failed, damaged, and why.

Read by the group level and by ``bids_qmri-status``; nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bids_qmri.completion.hashes import hash_inputs
from bids_qmri.completion.lease import FOLDER, is_over, lease_path, read_lease
from bids_qmri.completion.record import (
    Completion,
    DamagedRecordError,
    completion_path,
    listed,
    read_completion,
)
from bids_qmri.errors import InputError

State = Literal[
    "complete", "nothing", "outdated", "running", "failed", "died", "damaged", "changed", "missing"
]
"""What `Standing.state` may be; after the first three nothing is left to run."""

MEANING: dict[State, str] = {
    "complete": "everything that was asked for is in place",
    "nothing": "there was nothing to fit",
    "outdated": "complete, beside earlier fits whose inputs have changed since",
    "running": "a run is at work",
    "failed": "something that should have worked did not",
    "died": "a run ended in the middle, without a word",
    "damaged": "results or their record are not what was written",
    "changed": "inputs are not those of the last run",
    "missing": "no run has ended here",
}


@dataclass(frozen=True)
class Standing:
    """Where one participant stands.

    Parameters
    ----------
    participant
        Label without ``sub-``.
    state, why
        See `State`; one line.
    record
        Completion record, if there is one that can be read.
    damaged
        Outputs that are gone or not what was written.
    """

    participant: str
    state: State
    why: str
    record: Completion | None = None
    damaged: frozenset[str] = frozenset()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in ("complete", "nothing", "outdated")


def standing_of(
    output_dir: Path, participant: str, *, verify: bool = False, absent_ok: bool = False
) -> Standing:
    """Tell where a participant stands.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    participant
        Label without ``sub-``.
    verify
        Read every output and compare its hash, not only its size.
    absent_ok
        Let outputs be gone: tables need no images.
    """
    try:
        record = read_completion(output_dir, participant)
    except DamagedRecordError as error:
        why = f"{completion_path(output_dir, participant).name} cannot be read ({error}); run it again"
        return Standing(participant, "damaged", why)
    damaged: frozenset[str] = frozenset()
    if record is not None:
        found = record.damaged(output_dir) if verify else record.resized(output_dir)
        damaged = frozenset(name for name in found if not absent_ok or (output_dir / name).is_file())
    state, why = _state(output_dir, participant, record, damaged)
    return Standing(participant, state, why, record, damaged)


def _state(
    output_dir: Path, participant: str, record: Completion | None, damaged: frozenset[str]
) -> tuple[State, str]:
    path = lease_path(output_dir, participant)
    if path.exists():
        lease = read_lease(path)
        who = f"process {lease.get('Pid', '?')} on {lease.get('Host', '?')}, since {lease.get('Since', '?')}"
        if is_over(path, lease):
            return "died", f"a run ended in the middle ({who}); run it again"
        return "running", f"a run is at work ({who})"
    if record is None:
        return "missing", "no run has ended here; run it"
    if damaged:
        return "damaged", f"gone or not what was written: {listed(damaged)}; run it again"
    if record.end == "failed":
        return "failed", "; ".join(record.messages) or "the last run failed"
    if old := record.outdated():
        return "outdated", f"of inputs that changed since: {listed(old)}; fit them again, or remove them"
    if record.end == "nothing":
        return "nothing", "; ".join(record.messages)
    count = len(record.fits)
    return "complete", f"{count} fit{'' if count == 1 else 's'}"


def with_inputs(standing: Standing, raw: Path | None, *, verify: bool = False) -> Standing:
    """Tell of one who is done whether files of the dataset came, went or, if verified, changed since.

    Parameters
    ----------
    standing
        Of the participant.
    raw
        The dataset; None or gone: nothing can be told.
    verify
        Compare contents, too.
    """
    if raw is None or not raw.is_dir() or standing.record is None or not standing.is_done:
        return standing
    try:
        now = hash_inputs({"raw": raw}, standing.participant, read=verify)
    except InputError:
        return standing
    before = {name: value for name, value in standing.record.inputs.items() if name.startswith("raw:")}
    if not verify:
        before = dict.fromkeys(before, "")
    names = {name for name, _ in set(before.items()) ^ set(now.items())}
    if not names:
        return standing
    return replace(
        standing, state="changed", why=f"changed since the last run: {listed(names)}; run it again"
    )


def labels_of(output_dir: Path, expected: Iterable[str] = ()) -> list[str]:
    """Return the labels of participants that an output dataset knows, or that are expected in it.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    expected
        Labels without ``sub-``.
    """
    found = set(expected)
    for folder in (output_dir, output_dir / FOLDER):
        if folder.is_dir():
            names = (entry.name for entry in os.scandir(folder) if entry.name.startswith("sub-"))
            folders = (name for name in names if (folder / name).is_dir() or name.endswith(".json"))
            found |= {name.removeprefix("sub-").removesuffix(".json") for name in folders}
    return sorted(found)
