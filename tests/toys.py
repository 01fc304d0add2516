"""The technique ``tests/toy`` as one more of the catalogue, and series of it of known truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import synth

from bids_qmri import catalogue
from bids_qmri.catalogue import ModelEntry, Technique
from bids_qmri.cli.run import main
from bids_qmri.physics.noise import add_rician_noise

TOY = Technique(
    "toy", "toy", (ModelEntry("toy", 99, "model:DECAY", ("lsq", "mle", "map", "bayes", "ncde", "mlp")),)
)
LABELS = ("lsq", "mle", "map", "bayes")
TIMES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12)
"""Echo times in s."""
SHAPE = (6, 5, 4)
TRUTH = {"r2": synth.ramp(5.0, 45.0, SHAPE), "amp": synth.ramp(900.0, 1100.0, SHAPE)}
SIGMA = 10.0


def decay() -> np.ndarray:
    """Signals without noise, (x, y, z, N)."""
    return TRUTH["amp"][..., None] * np.exp(-TRUTH["r2"][..., None] * np.array(TIMES))


def write_echoes(root: Path, prefix: str = "sub-01") -> None:
    """Write noisy magnitudes, one 3-D image per echo."""
    noisy = add_rician_noise(decay(), SIGMA, np.random.default_rng(3))
    for index, time in enumerate(TIMES):
        stem = f"{prefix}_echo-{index + 1}_TOYSE"
        synth.write_image(synth.place(root, "anat", f"{stem}.nii.gz"), noisy[..., index])
        fields = {"EchoTime": time, "MagneticFieldStrength": 3}
        synth.write_json(synth.place(root, "anat", f"{stem}.json"), fields)


def command(bids: Path, *more: str, levels: tuple[str, ...] = ("participant",)) -> int:
    """Run the command in one process, and return its exit code."""
    here = bids.parent
    return main([str(bids), str(here / "out"), *levels, "-w", str(here / "work"), "--nprocs", "1", *more])


def image(folder: Path, ending: str) -> np.ndarray:
    [path] = folder.rglob(f"*{ending}.nii.gz")
    return np.asanyarray(nib.load(path).dataobj)


def sidecar(folder: Path, ending: str) -> dict[str, Any]:
    [path] = folder.rglob(f"*{ending}.json")
    return dict(json.loads(path.read_text()))


def assert_close(found: np.ndarray, sd: np.ndarray, name: str) -> None:
    """Every voxel within five of its own error bars, and these of the size of the errors."""
    error = (found - TRUTH[name]) / sd
    assert np.abs(error).max() < 5
    assert 0.8 < np.sqrt(np.mean(error**2)) < 1.25


@contextmanager
def known() -> Iterator[None]:
    """Add the one line to the catalogue of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "TECHNIQUES", (*catalogue.TECHNIQUES, TOY))
        yield
