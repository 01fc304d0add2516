"""What tests of readers share: what was found, what was said, and changes of sidecars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import synth

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find


def one(root: Path, **options: Any) -> Acquisition:
    """Return the only acquisition."""
    (found,) = find(root, "01", ReadOptions(**options))
    assert isinstance(found, Acquisition), found
    return found


def refused(root: Path, **options: Any) -> Unusable:
    """Return why the only series cannot be fitted."""
    (found,) = find(root, "01", ReadOptions(**options))
    assert isinstance(found, Unusable), found
    return found


def said(found: Acquisition, *words: str) -> bool:
    """Whether one note holds all words."""
    return any(all(word in note for word in words) for note in found.notes)


def edit(root: Path, name: str, folder: str = "anat", **keys: Any) -> None:
    """Change the sidecar of an image by its name without ending."""
    synth.edit_json(root / "sub-01" / folder / f"{name}.json", **keys)


def registered(root: Path, tmp_path: Path, desc: str = "preproc", without: str = "none") -> dict[str, Path]:
    """Copy the images of a participant, but not their sidecars, to a dataset of preprocessed ones."""
    derived = synth.new_dataset(tmp_path / "reg", "derivative")
    for path in (root / "sub-01" / "anat").glob("*.nii.gz"):
        if without in path.name:
            continue
        stem, _, suffix = path.name.rpartition("_")
        target = derived / "sub-01" / "anat" / f"{stem}_desc-{desc}_{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return {"reg": derived}
