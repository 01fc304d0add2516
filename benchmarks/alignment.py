"""Series that moved, with and without alignment, beside the same series that did not move.

Run as ``python -m benchmarks.alignment``; needs the extra align, nilearn for the brain, and the shared data
for the abdomen. Writes ``benchmarks/results/alignment.md`` (some 20 minutes). Phantoms have seeds from
`FIRST_REPORTED_SEED` on. A moved image is interpolated from the noise-free one, which is blurred as scanners
do; noise is added afterwards.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.alignment_cases import (
    BREATH,
    CASES,
    LARGEST_ANGLE,
    LARGEST_SHIFT,
    ZOOM,
    Case,
    breathing,
    imaged,
    moved,
    one_turn,
    rigid_motion,
)
from benchmarks.tissue_base import FIRST_REPORTED_SEED, BoolArray
from benchmarks.tissue_body import ivim
from benchmarks.tissue_geometry import volunteer
from benchmarks.tissue_invivo import ORGANS, VOLUNTEERS
from bids_qmri import fit
from bids_qmri.alignment.elastix import Kind
from bids_qmri.alignment.groupwise import align
from bids_qmri.alignment.motion import rotation_part
from bids_qmri.alignment.pair import register_pair
from bids_qmri.alignment.transforms import Transform, resample
from bids_qmri.catalogue import get_model
from bids_qmri.estimators.base import FitResult
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "alignment.md"
PURE = 0.02
"""Relative error of a fit without noise and motion up to which blur changes nothing."""
HEAD_TURN, BUNDLE, WHITE_FA = 10.0, 30.0, 0.4
"""Degrees; degrees from left to right within which fibres make a bundle, and the least anisotropy of it."""
BODY_ZOOM = 4.0
"""mm, of the abdominal slices; nominal."""


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

    images = measured(moved(seen(case, motion), motion))
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


def seen(case: Case, motion: list[Transform]) -> FloatArray:
    """Return what a moving object shows, drawn where it does not move: gradients stay, a head turns."""
    if case.seen is None:
        return case.clean
    return case.seen(np.array([rotation_part(one.matrix, np.ones(3)) for one in motion]))


def turned(protocol: Protocol, found: tuple[Transform, ...]) -> Protocol:
    """Return a protocol whose directions follow; the axes of phantoms are those of their directions."""
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


def maps(case: Case, images: FloatArray, protocol: Protocol, kept: BoolArray) -> tuple[dict, dict]:
    """Return root mean square errors, and the share of truths within a standard deviation.

    Coverage is that of voxels in which the blur of the scanner changes nothing.
    """
    found = fitted(case, images, protocol, kept, case.estimator)
    sharp = fitted(case, np.abs(case.clean), case.protocol, kept, "wls" if case.estimator == "wls" else "lsq")
    errors, coverage = {}, {}
    for name, truth in case.truth.items():
        difference = found.maps[name] - truth[kept]
        errors[name] = float(np.sqrt(np.nanmean(difference**2)))
        pure = np.abs(sharp.maps[name] - truth[kept]) <= PURE * np.abs(truth[kept])
        coverage[name] = float(np.nanmean(np.abs(difference[pure]) <= found.sd[name][pure]))
    return errors, coverage


def fitted(case: Case, images: FloatArray, protocol: Protocol, kept: BoolArray, by: str) -> FitResult:
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


def bundle(seeds: list[int]) -> Iterator[str]:
    """Turn a head before the second half of a diffusion series, and compare the direction of a bundle.

    A bundle is what runs within `BUNDLE` of left to right; its direction is the principal axis of the mean
    dyadic of its voxels, by the logarithms of the signals alone.
    """
    for seed in seeds:
        case = CASES["dwi"](seed)
        assert case.fibre is not None
        count, rng = case.clean.shape[-1], np.random.default_rng([seed, 98])
        motion = one_turn(count, case.clean.shape, HEAD_TURN)
        images = moved(seen(case, motion), motion)
        sigma = np.full(images[..., 0].size, case.level / 20)
        noisy = add_rician_noise(images.reshape(-1, count).T, sigma, rng).T.reshape(images.shape)
        images = noisy.astype(np.float32)
        found = align(lambda i, images=images: images[..., i], count, np.full(3, ZOOM), "rigid").transforms
        still = np.stack([resample(images[..., i], one) for i, one in enumerate(found)], axis=-1)
        kept = case.mask & np.isfinite(still).all(axis=-1) & (case.truth["fa"] > WHITE_FA)
        kept &= np.abs(case.fibre[..., 0]) > np.cos(np.deg2rad(BUNDLE))
        true = _axis(case.fibre[kept])
        ways = ((still, turned(case.protocol, found)), (still, case.protocol), (images, case.protocol))
        off = [_angle(true, _axis(_first_axes(one[kept], played))) for one, played in ways]
        yield f"| {seed} | {int(kept.sum())} | {' | '.join(f'{angle:.2f}' for angle in off)} |"


def beside(seeds: list[int]) -> Iterator[str]:
    """Move a T1 map, and register it to the reference of the series that it serves."""
    for seed in seeds:
        for name in ("vfa", "dce"):
            case = CASES[name](seed)
            assert case.native is not None
            clean = case.clean[..., 0]
            sigma, rng = np.full(clean.size, case.level / 20), np.random.default_rng([seed, 97])
            image = add_rician_noise(clean.ravel(), sigma, rng).reshape(clean.shape)
            motion = rigid_motion(2, clean.shape, rng)
            shown = moved(imaged(case.native[..., None]), motion[1:])[..., 0]
            start = time.process_time()
            found = register_pair(image.astype(np.float32), shown.astype(np.float32), np.full(3, ZOOM))
            seconds = time.process_time() - start
            points = np.argwhere(case.mask)[::31].T.astype(float)
            still = Transform(np.eye(4))
            before, after = (distance([still, one], motion, points) for one in (still, found))
            yield f"| {name} | {seed} | {before:.2f} | {after:.3f} | {seconds:.0f} |"


def _first_axes(signal: FloatArray, protocol: Protocol) -> FloatArray:
    """Return principal directions (V, 3) of tensors by linear least squares of logarithms."""
    x, y, z = protocol.bvecs.T
    columns = [x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z]
    design = np.column_stack([np.ones_like(x), *(-protocol.bvals * column for column in columns)])
    parts = (np.log(np.maximum(signal, 1e-6)) @ np.linalg.pinv(design).T)[:, 1:]
    tensor = parts[:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
    return np.linalg.eigh(tensor)[1][:, :, -1]


def _axis(vectors: FloatArray) -> FloatArray:
    return np.linalg.eigh(np.einsum("vi,vj->ij", vectors, vectors))[1][:, -1]


def _angle(one: FloatArray, other: FloatArray) -> float:
    return float(np.rad2deg(np.arccos(min(abs(one @ other), 1.0))))


def abdomen(seeds: list[int]) -> Iterator[str]:
    for seed in seeds:
        phantom = ivim(seed)
        clean = np.repeat(imaged(phantom.clean), 3, axis=-1)
        protocol = get_model("ivim").protocol(np.repeat(phantom.protocol.bvals, 3))
        for estimator in ("lsq", "ncde"):
            truth = {key: phantom.truth[key] for key in ("d", "f")}
            case = Case("abdomen", "ivim", estimator, clean, protocol, truth, phantom.mask, phantom.reference)
            motion = breathing(clean.shape[-1], phantom.mask, np.random.default_rng([seed, 4]), BODY_ZOOM)
            yield line(
                f"abdomen, {estimator}",
                "breathing",
                30,
                seed,
                study(case, motion, "bspline", 30, seed, BODY_ZOOM),
            )


def repetitions() -> Iterator[str]:
    """Compare the variance between directions of three volunteers before and after alignment.

    The images of a b-value that are first, second, ... to be played out make a repetition each.
    """
    for number in VOLUNTEERS:
        who = volunteer(number)
        images, bvals = who.images.astype(np.float32), who.bvals
        found = align(
            lambda i, images=images: images[..., i], images.shape[-1], np.full(3, BODY_ZOOM), "bspline"
        )
        still = np.stack([resample(images[..., i], one) for i, one in enumerate(found.transforms)], axis=-1)
        variances = [_between(one, bvals) for one in (images, still)]
        for organ in ORGANS:
            inside = who.outlines.get(organ)
            if inside is None or inside.sum() < 10:
                continue
            cells = []
            for name in ("d", "f"):
                before, after = (float(np.nanmean(one[name][inside])) for one in variances)
                cells.append(f"{after / before:.2f}")
            yield f"| sub-ivim{number} {organ} | {int(inside.sum())} | {' | '.join(cells)} |"


def _between(images: FloatArray, bvals: FloatArray) -> dict[str, FloatArray]:
    """Return the variance of D and f by least squares between repetitions, (x, y, z)."""
    levels = np.unique(bvals)
    count = min(int(np.sum(bvals == level)) for level in levels)
    maps: dict[str, list[FloatArray]] = {"d": [], "f": []}
    for number in range(count):
        chosen = [int(np.flatnonzero(bvals == level)[number]) for level in levels]
        signal = np.nan_to_num(images[..., chosen].astype(float))
        found = fit("ivim", signal, get_model("ivim").protocol(bvals[chosen]), estimator="lsq")
        for name, values in maps.items():
            values.append(found.maps[name])
    return {name: np.var(values, axis=0, ddof=1) for name, values in maps.items()}


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
the first, whole brain in voxels of {zoom:g} mm; smooth motion of up to {breath:g} mm within an abdominal
slice. Distances are root mean squares over voxels and images. Errors are root mean squares: aligned over
motionless (in brackets unaligned over motionless; aligned over unaligned). Coverage: share of truths within
one standard deviation after alignment (in brackets of the series that did not move).

| series | motion | SNR | seed | voxels off before | after | error | coverage | CPU s |
|---|---|---|---|---|---|---|---|---|
"""

TURNED = """
## A bundle after the head turned

A head turns by {turn:g} degrees before the second half of a diffusion series (30 directions, SNR 20). Degrees
between the mean direction of the voxels of a bundle that runs from left to right, and the truth.

| seed | voxels | aligned, directions turned | aligned, directions as played out | unaligned |
|---|---|---|---|---|
"""

BESIDE = """
## Native T1 beside the images

A T1 map that moved as above, registered to the first image of its series (SNR 20) by mutual information.

| series | seed | voxels off before | after | CPU s |
|---|---|---|---|---|
"""

BETWEEN = """
## Volunteers

Variance between six repetitions (directions of each b-value; nobody knows the truth) by `lsq`, aligned by
splines over unaligned, mean over the voxels of an organ.

| organ | voxels | D | f |
|---|---|---|---|
"""


def main() -> None:
    """Run what is asked for, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [*CASES, "abdomen", "bundle", "beside", "volunteers"]
    seeds = [FIRST_REPORTED_SEED, FIRST_REPORTED_SEED + 1]
    parser.add_argument("--series", nargs="+", choices=every, default=every)
    parser.add_argument("--seeds", nargs="+", type=int, default=seeds)
    parser.add_argument("--snr", nargs="+", type=float, default=[20.0, 40.0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    text = HEAD.format(shift=LARGEST_SHIFT, angle=LARGEST_ANGLE, zoom=ZOOM, breath=BREATH)
    brains = [name for name in args.series if name in CASES]
    parts = [("", rows(brains, args.seeds, args.snr))]
    if "abdomen" in args.series:
        parts.append(("", abdomen(args.seeds)))
    if "bundle" in args.series:
        parts.append((TURNED.format(turn=HEAD_TURN), bundle(args.seeds)))
    if "beside" in args.series:
        parts.append((BESIDE, beside(args.seeds)))
    if "volunteers" in args.series:
        parts.append((BETWEEN, repetitions()))
    for title, lines in parts:
        text += title
        for one in lines:
            print(one, flush=True)
            text += f"{one}\n"
            args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
