"""Series that moved, with and without alignment, beside the same series that did not move.

Run as ``python -m benchmarks.alignment``; needs the extra align, and nilearn for the brain. Writes
``benchmarks/results/alignment.md`` (some 15 minutes). Phantoms are those of `tissue_phantoms` and others made
here of the same brain, of seeds from `FIRST_REPORTED_SEED` on; images are interpolated from finer truth only
in that each moved image is one interpolation of the noise-free image, with noise added afterwards.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from benchmarks.tissue_base import FIRST_REPORTED_SEED, smooth_field
from benchmarks.tissue_body import ivim
from benchmarks.tissue_brain import dce
from benchmarks.tissue_geometry import brain
from bids_qmri import fit
from bids_qmri.alignment.elastix import Kind
from bids_qmri.alignment.groupwise import align
from bids_qmri.alignment.transforms import Transform, grid_points, resample
from bids_qmri.catalogue import get_model
from bids_qmri.estimators.base import FitResult
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "alignment.md"
LARGEST_SHIFT, LARGEST_ANGLE = 3.0, 3.0
"""mm and degrees."""
BREATH = 12.0
"""mm."""
PURE = 0.02
"""Relative error of a fit without noise and motion up to which blur changes nothing."""
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
    """

    name: str
    model: str
    estimator: str
    clean: FloatArray
    protocol: Protocol
    truth: dict[str, FloatArray]
    mask: np.ndarray
    level: float
    convert: Callable[[FloatArray], FloatArray] | None = None


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


def whole() -> np.ndarray:
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
    return Case(name, name, "ncde", imaged(clean), protocol, {"t1": t1}, mask, level)


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
    cosine = np.einsum("xyzi,ni->xyzn", fibre, bvecs)
    d = across[..., None] + (along - across)[..., None] * cosine**2
    s0 = textured(tissue(0.7, 0.85, 1.6), seed)
    clean = s0[..., None] * np.exp(-bvals * d) * mask[..., None]
    md = (along + 2 * across) / 3
    spread = along - across
    fa = np.abs(spread) / np.sqrt(np.maximum(along**2 + 2 * across**2, 1e-12))
    protocol = get_model("tensor").protocol(bvals, bvecs)
    return Case(
        "dwi",
        "tensor",
        "wls",
        imaged(clean),
        protocol,
        {"fa": fa, "md": md},
        mask,
        float(clean[mask][:, 3:].mean()),
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


def breathing(count: int, mask: np.ndarray, rng: np.random.Generator, zoom: float) -> list[Transform]:
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


@dataclass(frozen=True)
class Outcome:
    """Residual displacement in voxels before and after, RMSE by parameter, processor time."""

    before: float
    after: float
    still: dict[str, float]
    unaligned: dict[str, float]
    aligned: dict[str, float]
    covered: tuple[dict[str, float], ...]
    seconds: float


def study(
    case: Case, motion: list[Transform], kind: Kind, snr: float, seed: int, zoom: float = ZOOM
) -> Outcome:
    """Simulate, align, fit, compare."""
    rng = np.random.default_rng([seed, 99])
    sigma = case.level / snr
    noise = np.full(case.clean[..., 0].size, sigma)

    def measured(images: FloatArray) -> FloatArray:
        flat = images.reshape(-1, images.shape[-1]).T
        return add_rician_noise(flat, noise, rng).T.reshape(images.shape).astype(np.float32)

    images = measured(moved(case.clean, motion))
    start = time.process_time()
    found = align(lambda i: images[..., i], images.shape[-1], np.full(3, zoom), kind).transforms
    seconds = time.process_time() - start
    still = np.stack([resample(images[..., i], one) for i, one in enumerate(found)], axis=-1)
    kept = case.mask & np.isfinite(still).all(axis=-1)
    protocol = turned(case.protocol, found)
    steady = measured(np.abs(case.clean))
    rows = [
        maps(case, one, played, kept)
        for one, played in ((steady, case.protocol), (images, case.protocol), (still, protocol))
    ]
    points = np.argwhere(kept)[::31].T.astype(float)
    identity = [Transform(np.eye(4))] * len(found)
    return Outcome(
        distance(identity, motion, points),
        distance(list(found), motion, points),
        *(one[0] for one in rows),
        tuple(one[1] for one in rows),
        seconds,
    )


def turned(protocol: Protocol, found: tuple[Transform, ...]) -> Protocol:
    """Return a protocol whose directions follow; the axes of phantoms are those of their directions."""
    from dataclasses import replace

    from bids_qmri.alignment.motion import rotation_part

    if getattr(protocol, "bvecs", None) is None:
        return protocol
    bvecs = [
        rotation_part(one.matrix, np.ones(3)).T @ v for one, v in zip(found, protocol.bvecs, strict=True)
    ]
    return replace(protocol, bvecs=np.array(bvecs))


def distance(found: list[Transform], motion: list[Transform], points: FloatArray) -> float:
    """Return the root mean square distance in voxels from where images should lie, the first apart."""
    places = np.array([true.at(own.at(points)) for own, true in zip(found, motion, strict=True)])
    error = places[1:] - points
    return float(np.sqrt((error**2).sum(axis=1).mean()))


def maps(case: Case, images: FloatArray, protocol: Protocol, kept: np.ndarray) -> tuple[dict, dict]:
    """Return root mean square errors, and the share of truths within a standard deviation.

    Coverage is that of voxels in which the blur of the scanner changes nothing.
    """
    found = fitted(case, images, protocol, kept, case.estimator)
    sharp = fitted(
        case, np.abs(case.clean), case.protocol, kept, "lsq" if case.estimator == "ncde" else "wls"
    )
    errors, coverage = {}, {}
    for name, truth in case.truth.items():
        difference = found.maps[name] - truth[kept]
        errors[name] = float(np.sqrt(np.nanmean(difference**2)))
        pure = np.abs(sharp.maps[name] - truth[kept]) <= PURE * np.abs(truth[kept])
        coverage[name] = float(np.nanmean(np.abs(difference[pure]) <= found.sd[name][pure]))
    return errors, coverage


def fitted(case: Case, images: FloatArray, protocol: Protocol, kept: np.ndarray, by: str) -> FitResult:
    signal = images[case.mask]
    if case.convert is not None:
        signal = case.convert(np.where(np.isfinite(signal), signal, 1.0))
    return fit(case.model, signal[kept[case.mask]].astype(float), protocol, estimator=by)


def rows(names: list[str], seeds: list[int], levels: list[float]) -> Iterator[str]:
    for name in names:
        for snr in levels:
            for seed in seeds:
                case = CASES[name](seed)
                motion = rigid_motion(
                    case.clean.shape[-1], case.clean.shape, np.random.default_rng([seed, 3])
                )
                for label, applied in (("moved", motion), ("still", [Transform(np.eye(4))] * len(motion))):
                    yield line(name, label, snr, seed, study(case, applied, "rigid", snr, seed))


def abdomen(seeds: list[int]) -> Iterator[str]:
    for seed in seeds:
        phantom = ivim(seed)
        clean = np.repeat(imaged(phantom.clean), 3, axis=-1)
        protocol = get_model("ivim").protocol(np.repeat(phantom.protocol.bvals, 3))
        for estimator in ("lsq", "ncde"):
            truth = {key: phantom.truth[key] for key in ("d", "f")}
            case = Case("abdomen", "ivim", estimator, clean, protocol, truth, phantom.mask, phantom.reference)
            motion = breathing(clean.shape[-1], phantom.mask, np.random.default_rng([seed, 4]), 4.0)
            yield line(
                f"abdomen, {estimator}", "breathing", 30, seed, study(case, motion, "bspline", 30, seed, 4.0)
            )


def line(name: str, label: str, snr: float, seed: int, out: Outcome) -> str:
    cells = [
        f"{key} {out.aligned[key] / out.still[key]:.2f} ({out.unaligned[key] / out.still[key]:.2f}; "
        f"{out.aligned[key] / out.unaligned[key]:.2f})"
        for key in out.still
    ]
    covered = ", ".join(f"{out.covered[2][key]:.2f} ({out.covered[0][key]:.2f})" for key in out.still)
    return (
        f"| {name} | {label} | {snr:g} | {seed} | {out.before:.2f} | {out.after:.3f} | {'; '.join(cells)} "
        f"| {covered} | {out.seconds:.0f} |"
    )


HEAD = """# Series that moved

`python -m benchmarks.alignment`: rigid motion of up to {shift:g} mm and {angle:g} degrees in every image but
the first, whole brain in voxels of {zoom:g} mm; smooth motion of up to {breath:g} mm within one abdominal slice.
Distances are root mean squares over voxels and images. RMSE ratios: aligned over motionless (in brackets
unaligned over motionless; aligned over unaligned). Coverage: share of truths within one standard deviation
after alignment (in brackets of the series that did not move).

| series | motion | SNR | seed | voxels off before | after | RMSE aligned / motionless (unaligned; aligned / unaligned) | coverage | CPU s |
|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", nargs="+", choices=[*CASES, "abdomen"], default=[*CASES, "abdomen"])
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[FIRST_REPORTED_SEED, FIRST_REPORTED_SEED + 1]
    )
    parser.add_argument("--snr", nargs="+", type=float, default=[20.0, 40.0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    head = HEAD.format(shift=LARGEST_SHIFT, angle=LARGEST_ANGLE, zoom=ZOOM, breath=BREATH)
    found: list[str] = []
    brains = [name for name in args.series if name != "abdomen"]
    for one in rows(brains, args.seeds, args.snr):
        found.append(one)
        print(one, flush=True)
    if "abdomen" in args.series:
        for one in abdomen(args.seeds):
            found.append(one)
            print(one, flush=True)
    args.out.write_text(head + "\n".join(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
