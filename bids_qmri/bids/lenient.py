"""Sidecars of which little is needed: what is damaged costs itself, with a word.

Diffusion series are described by their tables; their sidecars add what is good to know. A byte that is not
UTF-8, NaN, a comma too many or a key that stands twice must not cost the maps.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bids_qmri.bids.layout import BidsFile, ParticipantFiles, read_json
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import InputError
from bids_qmri.files import SIDECAR_LIMIT, endless, lossy_whole, parse_json, read_bytes

FIX = "correct the file with a JSON checker"


def read_lenient_sidecar(image: BidsFile, files: ParticipantFiles, notes: list[str]) -> Sidecar:
    """Merge the JSON files that apply to an image, the nearest one winning, and say what cannot be read.

    Parameters
    ----------
    image, files
        The image, and the files of its participant.
    notes
        What a person should know is added here.
    """
    inherited = files.inherited(image, ".json")
    values: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for file in reversed(inherited):
        own = {key: value for key, value in _read(file.path, notes).items() if value is not None}
        values |= own
        origin |= dict.fromkeys(own, file.path)
    return Sidecar(image.path, values, origin, tuple(file.path for file in inherited))


def _read(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        return read_json(path)
    except InputError as error:
        content, lost = _salvaged(path)
        if content is None:
            notes.append(f"{path.name}: {error.seen}; none of its keys is used; fix: {FIX}")
            return {}
        without = f"without {', '.join(lost)}" if lost else "the other keys are used"
        notes.append(f"{path.name}: {error.seen}; read as far as it goes, {without}; fix: {FIX}")
        return content


def _salvaged(path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Return what can be read of a damaged JSON object, None if nothing, and the keys that are lost."""
    lost: dict[str, None] = {}

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in found:
            # Which of two values was meant, nobody knows.
            if key in content and content[key] != value:
                lost[key] = None
            if endless(value):
                lost[key] = None
            else:
                content[key] = value
        return {key: value for key, value in content.items() if key not in lost}

    try:
        text = _decoded(read_bytes(path, SIDECAR_LIMIT))
        # Commas before a closing bracket, which Python and JavaScript allow.
        text = re.sub(r",(\s*[}\]])", r"\1", text)
        content = parse_json(text, pairs=pairs, strict=False, parse_int=lossy_whole)
    except (InputError, ValueError):
        return None, []
    return (content, list(lost)) if isinstance(content, dict) else (None, [])


def _decoded(raw: bytes) -> str:
    """Return text of bytes in whatever encoding programs write."""
    for encoding in ("utf-8-sig", "utf-16") if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")
