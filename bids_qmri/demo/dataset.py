"""Write the phantoms as a BIDS dataset, with noise, as a scanner would: nothing in it says the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.lean import nib
from bids_qmri.bids.packing import pack
from bids_qmri.demo.phantom import SHAPE, VOXEL_SIZE, Phantom, abdomen, brain
from bids_qmri.physics.arterial_input import parker, plasma_from_blood
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.spoiled_gradient_echo import concentration_to_signal
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray, radians

PHANTOMS = {"brain01": brain, "abdomen01": abdomen, "abdomen02": abdomen}
"""Participants and what they are made of."""

FLIP_ANGLES = (2.0, 5.0, 10.0, 15.0, 25.0)
"""Degrees."""
REPETITION_TIME = 0.012
"""Of the VFA and DCE images, s."""
IVIM_BVALS = (0, 10, 20, 30, 50, 75, 100, 150, 250, 400, 600, 800)
"""s/mm^2."""
TENSOR_B, N_DIRECTIONS, N_B0 = 1000.0, 30, 4
SHELLS = {0.0: 4, 700.0: 20, 2000.0: 40}
"""Images by b-value in s/mm^2, each of another direction."""
FRAMES, FRAME_TIME, BASELINE_FRAMES = 50, 5.0, 5
"""Number, duration in s, and frames before the bolus arrives."""
RELAXIVITY, HEMATOCRIT, DCE_FLIP_ANGLE = 4.5, 0.42, 20.0
"""L/mmol/s, fraction, degrees."""
SPOILED_SNR, TENSOR_SNR, SHELLS_SNR, IVIM_SNR = 60.0, 40.0, 30.0, 50.0
"""Brightest mean signal of a tissue over noise, per series."""


def write_dataset(root: Path, seed: int = 0) -> None:
    """Write the dataset.

    Parameters
    ----------
    root
        Folder to make; existing files are replaced.
    seed
        Seed of the noise; the same seed gives the same images.
    """
    rng = np.random.default_rng(seed)
    _write_text(root / "README", "Digital phantoms made by bids_qmri; nobody was scanned.\n")
    _write_text(root / ".bidsignore", "*_dce.*\n*_aif.*\n")
    _write_text(
        root / "participants.tsv", "participant_id\n" + "".join(f"sub-{label}\n" for label in PHANTOMS)
    )
    description = {
        "Name": "Digital phantoms",
        "BIDSVersion": "1.11.1",
        "DatasetType": "raw",
        "License": "CC0",
    }
    _write_json(root / "dataset_description.json", description | {"Authors": ["The bids_qmri developers"]})
    for label, make in PHANTOMS.items():
        phantom, stem = make(), f"sub-{label}"
        folder = root / stem
        if make is brain:
            _write_vfa(folder, stem, phantom, _transmit_field(), rng)
            _write_tensor(folder, stem, phantom, rng)
            _write_shells(folder, f"{stem}_acq-shells", phantom, rng)
        else:
            _write_vfa(folder, stem, phantom, None, rng)
            _write_ivim(folder, stem, phantom, rng)
            _write_dce(folder, stem, phantom, rng)


def write_masks(root: Path) -> None:
    """Write which voxels hold a phantom, and which tissue, as a derivative dataset for ``-d masks=root``."""
    description = {"Name": "Masks of the phantoms", "BIDSVersion": "1.11.1", "DatasetType": "derivative"}
    made_by = {"GeneratedBy": [{"Name": "bids_qmri.demo"}]}
    _write_json(root / "dataset_description.json", description | made_by)
    for label, make in PHANTOMS.items():
        folder, phantom = root / f"sub-{label}" / "anat", make()
        _write_image(folder / f"sub-{label}_desc-phantom_mask", phantom.labels > 0)
        _write_json(folder / f"sub-{label}_desc-phantom_mask.json", {"Type": "ROI", "Sources": []})
        _write_image(folder / f"sub-{label}_desc-tissues_dseg", phantom.labels.astype(np.float64))
        rows = (f"{index}\t{tissue.name}\n" for index, tissue in enumerate(phantom.tissues, start=1))
        _write_text(folder / f"sub-{label}_desc-tissues_dseg.tsv", "index\tname\n" + "".join(rows))


def _write_vfa(
    folder: Path, stem: str, phantom: Phantom, b1: FloatArray | None, rng: np.random.Generator
) -> None:
    protocol = VfaProtocol(radians(FLIP_ANGLES), np.array([REPETITION_TIME]))
    theta = np.stack([phantom.image(phantom.values(name)).ravel() for name in ("t1", "m0")])
    inside = phantom.labels.ravel() > 0
    if b1 is not None:
        protocol = protocol.with_b1(b1.ravel()[inside])
    signal = np.zeros((len(FLIP_ANGLES), inside.size))
    signal[:, inside] = VFA.signal(theta[:, inside], protocol)
    noisy = _noisy(signal, SPOILED_SNR, phantom, rng)
    names = [f"{stem}_flip-{i}_VFA" for i in range(1, len(FLIP_ANGLES) + 1)]
    for name, flip_angle, image in zip(names, FLIP_ANGLES, noisy, strict=True):
        _write_image(folder / "anat" / name, image.reshape(SHAPE))
        _write_json(folder / "anat" / f"{name}.json", _spoiled(flip_angle))
    if b1 is not None:
        _write_image(folder / "fmap" / f"{stem}_TB1map", 100 * b1)
        targets = [f"bids::{stem}/anat/{name}.nii.gz" for name in names]
        about = {"Description": "Actual over nominal flip angle", "Units": "percent"}
        _write_json(folder / "fmap" / f"{stem}_TB1map.json", about | {"IntendedFor": targets})


def _write_tensor(folder: Path, stem: str, phantom: Phantom, rng: np.random.Generator) -> None:
    bvals = np.array([0.0] * N_B0 + [TENSOR_B] * N_DIRECTIONS)
    bvecs = np.concatenate([np.zeros((N_B0, 3)), _directions(N_DIRECTIONS)])
    md, fa = (phantom.image(phantom.values(name)).ravel() for name in ("md", "fa"))
    spread = fa / np.sqrt(3 - 2 * fa**2)
    across, along = md * (1 - spread), md * (1 + 2 * spread)
    cosine = bvecs @ _fibres().reshape(-1, 3).T
    diffusivity = across + (along - across) * cosine**2
    s0 = np.where(phantom.labels.ravel() > 0, 1e3, 0.0)
    signal = np.asarray(s0 * np.exp(-bvals[:, None] * diffusivity))
    _write_dwi(folder, stem, _noisy(signal, TENSOR_SNR, phantom, rng), bvals, bvecs)


def _write_shells(folder: Path, stem: str, phantom: Phantom, rng: np.random.Generator) -> None:
    bvals = np.concatenate([np.full(count, b) for b, count in SHELLS.items()])
    bvecs = np.concatenate([_directions(count) * (b > 0) for b, count in SHELLS.items()])
    inside = phantom.labels.ravel() > 0
    # Fluid has neither density nor dispersion of neurites, and no signal that depends on them.
    names = ("ndi", "odi", "fwf")
    ndi, odi, fwf = (phantom.image(np.nan_to_num(phantom.values(name))).ravel()[inside] for name in names)
    signal = np.zeros((bvals.size, inside.size))
    fibres = _fibres().reshape(-1, 3)[inside]
    signal[:, inside] = 1e3 * noddi_signal(ndi, odi, fwf, fibres, DiffusionProtocol(bvals, bvecs))
    _write_dwi(folder, stem, _noisy(signal, SHELLS_SNR, phantom, rng), bvals, bvecs)


def _write_ivim(folder: Path, stem: str, phantom: Phantom, rng: np.random.Generator) -> None:
    bvals = np.array([0, *np.repeat(IVIM_BVALS[1:], 3)], dtype=np.float64)
    bvecs = np.concatenate([np.zeros((1, 3)), *[np.eye(3)] * (len(IVIM_BVALS) - 1)])
    theta = np.stack([phantom.values(name) for name in ("d", "dstar", "f", "s0")])
    signal = _flat(phantom, IVIM.signal(theta, DiffusionProtocol(bvals)))
    _write_dwi(folder, stem, _noisy(signal, IVIM_SNR, phantom, rng), bvals, bvecs)


def _write_dwi(folder: Path, stem: str, signal: FloatArray, bvals: FloatArray, bvecs: FloatArray) -> None:
    name = folder / "dwi" / f"{stem}_dwi"
    _write_image(name, signal.T.reshape(*SHAPE, -1))
    _write_json(Path(f"{name}.json"), {"EchoTime": 0.07, "RepetitionTime": 5.0, "MagneticFieldStrength": 3})
    _write_text(Path(f"{name}.bval"), _row(bvals))
    _write_text(Path(f"{name}.bvec"), "".join(_row(axis) for axis in bvecs.T))


def _write_dce(folder: Path, stem: str, phantom: Phantom, rng: np.random.Generator) -> None:
    time = FRAME_TIME * np.arange(FRAMES, dtype=np.float64)
    aif_time = np.arange(0.0, time[-1] + 1.0)
    arrival = FRAME_TIME * (BASELINE_FRAMES - 0.5)
    plasma = plasma_from_blood(np.where(aif_time > arrival, parker(aif_time - arrival), 0.0), HEMATOCRIT)
    theta = np.stack([phantom.values(name) for name in ("kep", "ve", "vp", "t0")])
    concentration = EXTENDED_TOFTS.signal(theta, DceProtocol(time, aif_time, plasma)).T
    flip, t1 = float(radians(DCE_FLIP_ANGLE)), phantom.values("t1")
    native = VFA.signal(
        np.stack([t1, phantom.values("m0")]), VfaProtocol(np.array([flip]), np.array([REPETITION_TIME]))
    )[0]
    signal = concentration_to_signal(
        concentration, native, t1, flip_angle=flip, repetition_time=REPETITION_TIME, relaxivity=RELAXIVITY
    )
    noisy = _noisy(_flat(phantom, signal.T), SPOILED_SNR, phantom, rng)
    _write_image(folder / "perf" / f"{stem}_dce", noisy.T.reshape(*SHAPE, -1))
    series = {"VolumeTiming": time.tolist(), "ContrastBolusIngredient": "GADOLINIUM"}
    agent = {"ContrastAgentRelaxivity": RELAXIVITY, "BaselineVolumes": BASELINE_FRAMES}
    _write_json(folder / "perf" / f"{stem}_dce.json", _spoiled(DCE_FLIP_ANGLE) | series | agent)
    rows = zip(aif_time, plasma, strict=True)
    table = "time\tconcentration\n" + "".join(f"{t:g}\t{c:.6g}\n" for t, c in rows)
    _write_text(folder / "perf" / f"{stem}_aif.tsv", table)
    columns = {"time": {"Units": "s"}, "concentration": {"Units": "mmol/L"}}
    _write_json(folder / "perf" / f"{stem}_aif.json", columns | {"ConcentrationType": "plasma"})


def _spoiled(flip_angle: float) -> dict[str, Any]:
    """Return the sidecar of a spoiled gradient echo."""
    return {
        "FlipAngle": flip_angle,
        "RepetitionTimeExcitation": REPETITION_TIME,
        "EchoTime": 0.002,
        "MagneticFieldStrength": 3,
        "PulseSequenceType": "SPGR",
    }


def _flat(phantom: Phantom, signal: FloatArray) -> FloatArray:
    """Return signals per tissue, shape (N, T), as signals per voxel, shape (N, X * Y * Z)."""
    return phantom.image(signal).reshape(-1, signal.shape[0]).T


def _noisy(signal: FloatArray, snr: float, phantom: Phantom, rng: np.random.Generator) -> FloatArray:
    """Add Rician noise; the brightest tissue mean has the given SNR."""
    labels = phantom.labels.ravel()
    brightest = max(signal[:, labels == label].mean(axis=1).max() for label in np.unique(labels[labels > 0]))
    return add_rician_noise(signal, brightest / snr, rng)


def _transmit_field() -> FloatArray:
    """Return a B1+ map, 1 = nominal: high in the middle and low at the rim, as in a head at 3 T."""
    x, y = (np.linspace(-1, 1, n) for n in SHAPE[:2])
    field = 1.12 - 0.3 * (x[:, None] ** 2 + 0.8 * y**2) + 0.05 * x[:, None]
    return np.repeat(field[..., None], SHAPE[2], axis=2)


def _fibres() -> FloatArray:
    """Return unit vectors that run around the middle of the image, shape SHAPE + (3,)."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE[:2]), indexing="ij")
    vectors = np.stack([-y, x, np.full_like(x, 0.3)], axis=-1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.repeat(vectors[:, :, None], SHAPE[2], axis=2)


def _directions(count: int) -> FloatArray:
    """Return unit vectors spread over a half sphere along a spiral, shape (count, 3)."""
    z = (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def _write_image(path: Path, image: FloatArray | npt.NDArray[np.bool_]) -> None:
    # x runs from right to left, so that bvecs are along the axes as stored
    affine = np.diag([-VOXEL_SIZE[0], VOXEL_SIZE[1], VOXEL_SIZE[2], 1.0])
    affine[:3, 3] = -affine.diagonal()[:3] * (np.array(SHAPE) - 1) / 2
    stored = nib.Nifti1Image(np.rint(image).astype(np.int16), affine)
    stored.header.set_xyzt_units("mm", "sec")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".nii.gz").write_bytes(pack(stored.to_bytes()))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write_text(path, json.dumps(content, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _row(values: Sequence[float] | FloatArray) -> str:
    return " ".join(f"{value:.6g}" for value in values) + "\n"
