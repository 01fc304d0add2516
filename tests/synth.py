"""Tiny BIDS datasets of known truth: every maker writes one acquisition and returns the parameters behind it.

The formulas here are written anew on purpose, so that an error in the package's models cannot hide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

SHAPE = (4, 3, 2)
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])

IVIM_BVALS = (0, 0, 10, 20, 50, 100, 200, 400, 600, 800)
MULTI_SHELL = (0, *([1000] * 15), *([2000] * 15))
TWO_SHELL = (0, 0, 0, *([700] * 20), *([2000] * 40))
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def new_dataset(root: Path, kind: str = "raw") -> Path:
    """Write the top of a dataset and return its folder."""
    root.mkdir(parents=True, exist_ok=True)
    description: dict[str, Any] = {"Name": "synthetic", "BIDSVersion": "1.11.1", "DatasetType": kind}
    if kind == "derivative":
        description["GeneratedBy"] = [{"Name": "synth"}]
    write_json(root / "dataset_description.json", description)
    (root / "README").write_text("Synthetic images of known truth, made for tests.\n")
    (root / ".bidsignore").write_text("*_dce.*\n*_aif.*\n")
    return root


def write_json(path: Path, content: Any) -> Path:
    """Write one JSON file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))
    return path


def edit_json(path: Path, **changes: Any) -> Path:
    """Change keys of a JSON file; None removes a key."""
    content = json.loads(path.read_text()) | changes
    return write_json(path, {key: value for key, value in content.items() if value is not None})


def write_image(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write one float32 image in mm and s, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.asarray(data, dtype=np.float32), affine)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


def place(root: Path, datatype: str, name: str) -> Path:
    """Return the path of ``sub-01[_ses-1]_..._suffix`` in the folder where it belongs."""
    entities = dict(part.split("-", 1) for part in name.split("_")[:-1])
    folders = [f"sub-{entities['sub']}"] + ([f"ses-{entities['ses']}"] if "ses" in entities else [])
    return root.joinpath(*folders, datatype, name)


def ramp(low: float, high: float, shape: Sequence[int] = SHAPE) -> np.ndarray:
    """Return values from low to high, every voxel another one, the first axis fastest."""
    return np.linspace(low, high, int(np.prod(shape))).reshape(shape, order="F")


def spoiled_echo(
    t1: np.ndarray, m0: np.ndarray | float, degrees: np.ndarray | float, tr: float
) -> np.ndarray:
    """Return the steady state of a spoiled gradient echo."""
    angle, decay = np.deg2rad(degrees), np.exp(-tr / t1)
    return m0 * np.sin(angle) * (1 - decay) / (1 - decay * np.cos(angle))


def add_vfa(
    root: Path,
    prefix: str = "sub-01",
    flips: Sequence[float] = (3, 10, 20),
    tr: float = 0.015,
    b1: np.ndarray | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Write one 3-D image and sidecar per flip angle, and a TB1map in percent if `b1` is given."""
    truth = {"t1": ramp(0.5, 2.0), "m0": ramp(900, 1100)}
    names = [f"{prefix}_flip-{index}_VFA" for index in range(1, len(flips) + 1)]
    for angle, name in zip(flips, names, strict=True):
        data = spoiled_echo(truth["t1"], truth["m0"], angle * (1.0 if b1 is None else b1), tr)
        write_image(place(root, "anat", f"{name}.nii.gz"), data)
        keys = {"FlipAngle": angle, "RepetitionTimeExcitation": tr, "PulseSequenceType": "SPGR"}
        write_json(place(root, "anat", f"{name}.json"), keys | dict(metadata or {}))
    if b1 is not None:
        write_image(place(root, "fmap", f"{prefix}_TB1map.nii.gz"), 100 * b1)
        intended = [f"bids::{place(Path(), 'anat', f'{name}.nii.gz').as_posix()}" for name in names]
        write_json(
            place(root, "fmap", f"{prefix}_TB1map.json"), {"IntendedFor": intended, "Units": "percent"}
        )
    return truth


def directions(count: int) -> np.ndarray:
    """Return unit vectors spread over the sphere by a spiral, (count, 3)."""
    z = 1 - (2 * np.arange(count) + 1) / max(count, 1)
    turn = GOLDEN_ANGLE * np.arange(count)
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


def add_dwi(
    root: Path,
    data: np.ndarray,
    bvals: Sequence[float],
    bvecs: np.ndarray,
    prefix: str = "sub-01",
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write one diffusion image with its gradient table."""
    image = write_image(place(root, "dwi", f"{prefix}_dwi.nii.gz"), data)
    np.savetxt(image.with_name(f"{prefix}_dwi.bval"), np.atleast_2d(bvals), fmt="%g")
    np.savetxt(image.with_name(f"{prefix}_dwi.bvec"), np.asarray(bvecs).T, fmt="%.6f")
    write_json(image.with_name(f"{prefix}_dwi.json"), dict(metadata or {"EchoTime": 0.08}))
    return image


def gradient_table(bvals: Sequence[float]) -> np.ndarray:
    """Return directions for b-values, (N, 3): zero at b = 0, spread over the sphere elsewhere."""
    table = np.zeros((len(bvals), 3))
    weighted = np.asarray(bvals) > 0
    table[weighted] = directions(int(weighted.sum()))
    return table


def add_ivim(
    root: Path, prefix: str = "sub-01", bvals: Sequence[float] = IVIM_BVALS
) -> dict[str, np.ndarray]:
    """Write a bi-exponential series, isotropic."""
    truth = {"s0": ramp(900, 1100), "f": ramp(0.05, 0.3), "d": ramp(0.7e-3, 2e-3), "dstar": ramp(0.02, 0.06)}
    b = np.asarray(bvals, dtype=float)
    s0, f, d, dstar = (truth[name][..., None] for name in ("s0", "f", "d", "dstar"))
    add_dwi(
        root, s0 * ((1 - f) * np.exp(-b * d) + f * np.exp(-b * dstar)), bvals, gradient_table(bvals), prefix
    )
    return truth


def add_tensor(
    root: Path, prefix: str = "sub-01", bvals: Sequence[float] = (0, *([1000] * 12))
) -> dict[str, np.ndarray]:
    """Write a series of one axially symmetric tensor per voxel, along the first image axis."""
    truth = {"axial": ramp(1.2e-3, 1.8e-3), "radial": ramp(0.3e-3, 0.9e-3), "s0": ramp(900, 1100)}
    b, g = np.asarray(bvals, dtype=float), gradient_table(bvals)
    axial, radial, s0 = (truth[name][..., None] for name in ("axial", "radial", "s0"))
    add_dwi(root, s0 * np.exp(-b * (radial + (axial - radial) * g[:, 0] ** 2)), bvals, g, prefix)
    return truth | {"md": (truth["axial"] + 2 * truth["radial"]) / 3}


def watson(mean: np.ndarray, odi: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return directions, (count, 3), and the weights that a Watson distribution about `mean` gives them."""
    spread = directions(count)
    exponent = (spread @ mean) ** 2 / np.tan(np.pi * odi / 2)
    weights = np.exp(exponent - exponent.max())
    return spread, weights / weights.sum()


def neurite_signal(
    b: np.ndarray, g: np.ndarray, mean: np.ndarray, ndi: float, odi: float, fwf: float
) -> np.ndarray:
    """Return the NODDI signal of one voxel over that without weighting, by summing over directions."""
    sticks, weights = watson(mean, odi)
    intra = np.exp(-b[:, None] * 1.7e-3 * (g @ sticks.T) ** 2) @ weights
    across = 1.7e-3 * (1 - ndi)
    tensor = across * np.eye(3) + (1.7e-3 - across) * (sticks.T * weights) @ sticks
    extra = np.exp(-b * np.einsum("ni,ij,nj->n", g, tensor, g))
    return (1 - fwf) * (ndi * intra + (1 - ndi) * extra) + fwf * np.exp(-b * 3e-3)


def add_noddi(
    root: Path,
    prefix: str = "sub-01",
    bvals: Sequence[float] = TWO_SHELL,
    fibres: Sequence[float] = (0.6, 0.0, 0.8),
    affine: np.ndarray = AFFINE,
    turn: np.ndarray | None = None,
    gradients: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Write a series of one bundle of neurites with a given direction in the scanner.

    Gradients are chosen in the scanner and written as BIDS wants them: along the axes of the image, the first
    one mirrored where the determinant of the affine is positive. `turn` rotates gradients and bundle alike,
    which changes no signal. `gradients`, (N, 3), replace those that are spread over the sphere.
    """
    truth = {
        "ndi": ramp(0.3, 0.8),
        "odi": ramp(0.05, 0.5)[::-1, ::-1, ::-1],
        "fwf": ramp(0.0, 0.4)[:, ::-1],
        "s0": ramp(900, 1100),
    }
    g = gradient_table(bvals) if gradients is None else gradients
    b, mean = np.asarray(bvals, dtype=float), np.asarray(fibres)
    data = np.empty((*SHAPE, b.size))
    for voxel in np.ndindex(SHAPE):
        ndi, odi, fwf = (float(truth[name][voxel]) for name in ("ndi", "odi", "fwf"))
        data[voxel] = truth["s0"][voxel] * neurite_signal(b, g, mean, ndi, odi, fwf)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    turned = g if turn is None else g @ turn.T
    table = turned @ axes * [-1 if np.linalg.det(axes) > 0 else 1, 1, 1]
    image = add_dwi(root, data, bvals, table, prefix)
    write_image(image, data, affine)
    return truth


def arterial_input(time: np.ndarray, arrival: float = 30.0) -> np.ndarray:
    """Return a plasma concentration in mmol/L: a gamma-shaped first pass and a slow decay."""
    since = np.maximum(time - arrival, 0.0)
    return 3.0 * (since / 6) * np.exp(1 - since / 6) + 1.0 * (1 - np.exp(-since / 6)) * np.exp(-since / 600)


def tissue_curve(
    time: np.ndarray, ktrans: np.ndarray, ve: np.ndarray, vp: np.ndarray, step: float = 0.05
) -> np.ndarray:
    """Return extended Tofts concentrations, (..., N), by fine numerical convolution; rates in 1/min."""
    fine = np.arange(0, time[-1] + step, step)
    rate = (ktrans / ve / 60).ravel()[:, None]
    growing = arterial_input(fine) * np.exp(rate * fine)
    pieces = 0.5 * step * (growing[:, 1:] + growing[:, :-1])
    integral = np.exp(-rate * fine[1:]) * np.cumsum(pieces, axis=1)
    leaked = np.stack([np.interp(time, fine[1:], row, left=0.0) for row in integral])
    extracellular = (ktrans / 60)[..., None] * leaked.reshape(*ktrans.shape, time.size)
    return vp[..., None] * arterial_input(time) + extracellular


def add_dce(
    root: Path,
    prefix: str = "sub-01",
    n_frames: int = 30,
    spacing: float = 6.0,
    suffix: str = "dce",
    datatype: str = "perf",
    aif: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Write a DCE series of the T1 of `add_vfa`, with its arterial input as a table of plasma."""
    time = spacing * np.arange(n_frames)
    truth = {"ktrans": ramp(0.05, 0.3), "ve": ramp(0.15, 0.4), "vp": ramp(0.01, 0.05)}
    t1 = ramp(0.5, 2.0)
    concentration = tissue_curve(time, **truth)
    shortened = 1 / (1 / t1[..., None] + 4.5 * concentration)
    data = spoiled_echo(shortened, 1000.0, 15.0, 0.005)
    image = write_image(place(root, datatype, f"{prefix}_{suffix}.nii.gz"), data)
    keys = {
        "FlipAngle": 15,
        "RepetitionTimeExcitation": 0.005,
        "VolumeTiming": time.tolist(),
        "ContrastAgentRelaxivity": 4.5,
        "BaselineVolumes": 5,
    }
    write_json(image.with_name(f"{prefix}_{suffix}.json"), keys | dict(metadata or {}))
    if aif:
        # Finer than the frames: a curve known at the frames alone would be the largest error of a fit.
        fine = np.arange(0.0, time[-1] + 0.5, 0.5)
        add_aif(root, prefix, fine, arterial_input(fine), datatype)
    return truth | {"time": time, "t1": t1, "concentration": concentration}


def add_aif(
    root: Path, prefix: str, time: np.ndarray, concentration: np.ndarray, datatype: str = "perf"
) -> Path:
    """Write an arterial input in mmol/L of plasma."""
    table = place(root, datatype, f"{prefix}_aif.tsv")
    rows = [f"{t:.6g}\t{c:.6g}" for t, c in zip(time, concentration, strict=True)]
    table.write_text("\n".join(["time\tconcentration", *rows, ""]))
    units = {"time": {"Units": "s"}, "concentration": {"Units": "mmol/L"}}
    write_json(table.with_suffix(".json"), {"ConcentrationType": "plasma", **units})
    return table


def add_mask(root: Path, name: str, values: np.ndarray, datatype: str = "anat") -> Path:
    """Write a mask into a derivative dataset, which is made if it is not there."""
    if not root.exists():
        new_dataset(root, "derivative")
    return write_image(place(root, datatype, f"{name}_mask.nii.gz"), values)
