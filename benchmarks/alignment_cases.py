"""Series of known truth that do not move, and motion for them; called by `alignment`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from benchmarks.tissue_base import BoolArray, smooth_field
from benchmarks.tissue_brain import dce
from benchmarks.tissue_geometry import brain
from bids_qmri.alignment.transforms import Transform, grid_points
from bids_qmri.catalogue import get_model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

LARGEST_SHIFT, LARGEST_ANGLE = 3.0, 3.0
"""mm and degrees."""
BREATH = 12.0
"""mm."""
PAD = 4
"""Slices of air above and below, so that nothing leaves the field of view."""
ZOOM = 3.0
POINT_SPREAD = 0.6
"""Voxels, standard deviation: 1.4 voxels full width, that of a filtered acquisition."""


@dataclass(frozen=True, eq=False)
class Case:
    """A series that does not move, and what is fitted to it.

    Parameters
    ----------
    name
        For people.
    model, estimator
        What is fitted, and how.
    clean
        Images without noise, (x, y, z, N).
    protocol
        What was played out.
    truth
        Maps that are compared, (x, y, z).
    mask
        Voxels that are compared.
    level
        Signal that SNR refers to.
    convert
        From signals to what is fitted, (V, N).
    seen
        From rotations of the head, (N, 3, 3), to images without noise: gradients stay where they are. None:
        rotations change no signal.
    fibre
        Unit vectors, (x, y, z, 3), of series that tell directions.
    native
        T1 in s, (x, y, z), 0 outside the object, of series that a map of it may come with.
    """

    name: str
    model: str
    estimator: str
    clean: FloatArray
    protocol: Protocol
    truth: dict[str, FloatArray]
    mask: BoolArray
    level: float
    convert: Callable[[FloatArray], FloatArray] | None = None
    seen: Callable[[FloatArray], FloatArray] | None = None
    fibre: FloatArray | None = None
    native: FloatArray | None = None


def padded(values: FloatArray) -> FloatArray:
    width = [(0, 0), (0, 0), (PAD, PAD), *[(0, 0)] * (values.ndim - 3)]
    return np.pad(values, width)


def tissue(white: float, grey: float, fluid: float, *, rate: bool = False) -> FloatArray:
    """Return a map of the whole brain; of mixed voxels the mean of the values, or of their inverse."""
    where = brain(first=0, slices=63)
    values = [1 / value if rate else value for value in (white, grey, fluid)]
    mixed = where.mixed(*(np.full(where.mask.shape, value) for value in values))
    return padded(np.where(where.mask, 1 / mixed if rate else mixed, 0.0))


def imaged(clean: FloatArray) -> FloatArray:
    """Return images as a scanner makes them: blurred, so that their edges can be sampled."""
    return gaussian_filter(clean, [POINT_SPREAD if size > 1 else 0 for size in clean.shape[:3]] + [0])


def whole() -> BoolArray:
    return padded(brain(first=0, slices=63).mask).astype(bool)


def textured(values: FloatArray, seed: int) -> FloatArray:
    return values * np.exp(0.05 * smooth_field(values.shape, 2.0, np.random.default_rng([seed, 17])))


def relaxing(name: str, seed: int) -> Case:
    """Return a series whose contrast is T1: flip angles or inversion times."""
    mask = whole()
    t1 = textured(np.where(mask, tissue(0.85, 1.4, 3.5, rate=True), 1.0), seed)
    m0 = tissue(0.7, 0.85, 1.0)
    model = get_model(name)
    if name == "vfa":
        protocol = model.protocol(
            flip_angle=np.deg2rad([2.0, 5, 10, 15, 20]), repetition_time=np.full(5, 0.015)
        )
    else:
        protocol = model.protocol(inversion_time=np.array([0.05, 0.3, 0.7, 1.2, 2.0, 3.5]))
    names = [p.name for p in model.parameters]
    known = {"t1": t1[mask], "m0": m0[mask]}
    # What there is no map of is the efficiency of an inversion, which is perfect.
    theta = np.stack([known.get(key, np.ones(mask.sum())) for key in names])
    clean = np.zeros((*mask.shape, protocol.n_measurements))
    clean[mask] = model.signal(theta, protocol).T
    if name == "irt1":
        # Signed: edges between what has and what has not recovered are blurred before the magnitude.
        clean *= np.where(protocol.inversion_time > np.log(2) * t1[..., None], 1.0, -1.0)
    level = float(np.abs(clean[mask]).mean(axis=0).max())
    return Case(
        name, name, "ncde", imaged(clean), protocol, {"t1": t1}, mask, level, native=np.where(mask, t1, 0.0)
    )


def diffusing(seed: int, directions: int = 30) -> Case:
    """Return a diffusion series with fibres that turn slowly."""
    mask = whole()
    rng = np.random.default_rng([seed, 5])
    fibre = np.stack([smooth_field(mask.shape, 6.0, rng) for _ in range(3)], axis=-1)
    fibre /= np.linalg.norm(fibre, axis=-1, keepdims=True)
    along, across = tissue(1.7e-3, 0.9e-3, 3e-3), tissue(0.4e-3, 0.8e-3, 3e-3)
    vectors = rng.standard_normal((directions, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bvals = np.r_[np.zeros(3), np.full(directions, 1000.0)]
    bvecs = np.vstack([np.zeros((3, 3)), vectors])
    s0 = textured(tissue(0.7, 0.85, 1.6), seed)

    def seen(turns: FloatArray) -> FloatArray:
        cosine = np.einsum("xyzi,nij,nj->xyzn", fibre, turns, bvecs)
        d = across[..., None] + (along - across)[..., None] * cosine**2
        return imaged(s0[..., None] * np.exp(-bvals * d) * mask[..., None])

    clean = seen(np.broadcast_to(np.eye(3), (bvals.size, 3, 3)))
    md = (along + 2 * across) / 3
    spread = along - across
    fa = np.abs(spread) / np.sqrt(np.maximum(along**2 + 2 * across**2, 1e-12))
    protocol = get_model("tensor").protocol(bvals, bvecs)
    return Case(
        "dwi",
        "tensor",
        "wls",
        clean,
        protocol,
        {"fa": fa, "md": md},
        mask,
        float(clean[mask][:, 3:].mean()),
        seen=seen,
        fibre=fibre,
    )


def perfused(seed: int) -> Case:
    """Return a brain of two exponentials; three images of each b-value."""
    mask = whole()
    maps = {
        "d": textured(tissue(0.75e-3, 0.85e-3, 2.5e-3), seed),
        "dstar": np.where(mask, 0.03, 0.0),
        "f": textured(tissue(0.05, 0.12, 0.03), seed + 1),
        "s0": tissue(0.7, 0.85, 1.6),
    }
    model = get_model("ivim")
    bvals = np.repeat([0.0, 10, 30, 60, 100, 300, 700], 3)
    protocol = model.protocol(bvals)
    clean = np.zeros((*mask.shape, bvals.size))
    clean[mask] = model.signal(np.stack([maps[p.name][mask] for p in model.parameters]), protocol).T
    truth = {name: maps[name] for name in ("d", "f")}
    return Case("ivim", "ivim", "ncde", imaged(clean), protocol, truth, mask, float(clean[mask][:, 0].mean()))


def enhancing(seed: int) -> Case:
    """Return a dynamic series of a brain with a tumour, as signals."""
    phantom = dce(seed, slices=20, route="signal")
    spoiled = phantom.spoiled
    assert spoiled is not None
    mask, native = padded(phantom.mask).astype(bool), padded(spoiled.t10)

    def convert(signal: FloatArray) -> FloatArray:
        whole_images = np.ones((*mask.shape, signal.shape[-1]))
        whole_images[mask] = signal
        full = type(spoiled)(
            np.where(mask, native, 1.0),
            spoiled.flip_angle,
            spoiled.repetition_time,
            spoiled.relaxivity,
            spoiled.baseline,
        )
        return full.concentration(whole_images)[mask]

    truth = {"ktrans": padded(phantom.truth["ktrans"])}
    return Case(
        "dce",
        "etofts",
        "ncde",
        imaged(padded(phantom.clean)),
        phantom.protocol,
        truth,
        mask,
        phantom.reference,
        convert,
        native=np.where(mask, native, 0.0),
    )


CASES: dict[str, Callable[[int], Case]] = {
    "vfa": lambda seed: relaxing("vfa", seed),
    "irt1": lambda seed: relaxing("irt1", seed),
    "dwi": diffusing,
    "dce": enhancing,
    "ivim": perfused,
}


def rigid_motion(count: int, shape: tuple[int, ...], rng: np.random.Generator) -> list[Transform]:
    """Return where the voxels of each image lie in the image that did not move; the first one stays."""
    middle = (np.array(shape[:3]) - 1) / 2
    found = [Transform(np.eye(4))]
    for _ in range(count - 1):
        turn = Rotation.from_euler("xyz", rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE, 3), degrees=True)
        matrix = np.eye(4)
        matrix[:3, :3] = turn.as_matrix()
        matrix[:3, 3] = (
            middle - matrix[:3, :3] @ middle + rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, 3) / ZOOM
        )
        found.append(Transform(matrix))
    return found


def one_turn(count: int, shape: tuple[int, ...], degrees: float) -> list[Transform]:
    """Return the motion of a head that turns once, to its side, before the second half of the images."""
    middle, found = (np.array(shape[:3]) - 1) / 2, np.eye(4)
    found[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    found[:3, 3] = middle - found[:3, :3] @ middle
    return [Transform(found if index >= count // 2 else np.eye(4)) for index in range(count)]


def breathing(count: int, mask: BoolArray, rng: np.random.Generator, zoom: float) -> list[Transform]:
    """Return displacements along the second axis that fall from one end of the body to the other."""
    x, y, _ = np.indices(mask.shape).astype(float)
    inside = np.argwhere(mask)
    first, span = inside.min(axis=0), np.ptp(inside, axis=0)
    fall = np.clip(1 - (y - first[1]) / span[1], 0, 1)
    side = np.sin(np.pi * np.clip((x - first[0]) / span[0], 0, 1))
    found = [Transform(np.eye(4))]
    for amount in rng.uniform(0, BREATH, count - 1) / zoom:
        moved = np.stack([0.2 * amount * fall * side, amount * fall, np.zeros_like(fall)])
        found.append(Transform(np.eye(4), moved.astype(np.float32)))
    return found


def moved(clean: FloatArray, motion: list[Transform]) -> FloatArray:
    """Return each image where the object has moved to."""
    images = np.empty(clean.shape)
    points = grid_points(clean.shape[:3])
    for index, transform in enumerate(motion):
        image, places = clean[..., index], transform.at(points)
        flat = image.shape[2] == 1
        values = map_coordinates(image[:, :, 0] if flat else image, places[:2] if flat else places, order=3)
        images[..., index] = np.abs(values.reshape(image.shape, order="F"))
    return images
