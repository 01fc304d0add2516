"""What went wrong in the last run of a participant, kept so that pages made anew still say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_qmri.bids.derivatives import write_sidecar
from bids_qmri.errors import InputError
from bids_qmri.files import TABLE_LIMIT, parse_json, read_text

MAX_CRASH = 20_000
"""Characters of a crash report that a page shows; the end, where the error is named."""


@dataclass(frozen=True)
class Crash:
    """Name and text of a crash report."""

    name: str
    text: str


def write_problems(
    output_dir: Path, participant: str, problems: Sequence[str], remarks: Sequence[str] = ()
) -> None:
    """Keep what went wrong and what else was said, one line each; of a run without either nothing is kept."""
    path = _path(output_dir, participant)
    if problems or remarks:
        write_sidecar(path, {"Problems": list(problems), "Remarks": list(remarks)})
    else:
        path.unlink(missing_ok=True)


def read_problems(output_dir: Path, participant: str) -> list[str]:
    """Return what went wrong in the last run."""
    path = _path(output_dir, participant)
    found = _lines(path, "Problems")
    return [f"{path} cannot be read"] if found is None else found


def read_remarks(output_dir: Path, participant: str) -> list[str]:
    """Return what the last run said of data that it had no use for."""
    return _lines(_path(output_dir, participant), "Remarks") or []


def _lines(path: Path, key: str) -> list[str] | None:
    """Return a list of the file, empty where there is none; None where the file cannot be read."""
    if not path.is_file():
        return []
    try:
        content = parse_json(read_text(path, TABLE_LIMIT))
    except (InputError, ValueError):
        return None
    found = content.get(key) if isinstance(content, dict) else None
    return [str(line) for line in found] if isinstance(found, list) else []


def read_crashes(output_dir: Path, participant: str) -> list[Crash]:
    """Return the crash reports of fits whose last run crashed."""
    folder = _path(output_dir, participant).parent
    return [
        Crash(path.name, path.read_text(encoding="utf-8", errors="replace")[-MAX_CRASH:])
        for path in sorted(folder.glob("crash-*.txt"))
    ]


def _path(output_dir: Path, participant: str) -> Path:
    return output_dir / f"sub-{participant}" / "log" / "problems.json"
