"""Measured data, subsampled as in Figs 6 and 8 of the study, against estimates from all measurements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.classical.noise import pooled_sigma
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import average_directions
from bids_qmri.physics.model import Bounds
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray
from kuppens.cells import SCALE, SEED, SHOWN, TABLE1, UNIT
from kuppens.designs import WIDE
from kuppens.rows import rows_of
from kuppens.stats import Ratio, ratio_of_means
from kuppens.text import text

DRAWS = 4
"""Random subsets of every length."""

NOT_HERE = ("bayes-exact", "mlp")
"""Too slow for so many voxels; made for another protocol."""


@dataclass(frozen=True)
class Comparison:
    """Errors of one estimator against a reference, over the voxels that all estimators answer.

    Parameters
    ----------
    reference
        ``"own"``: the estimator's own answer to all measurements; ``"lsq"``: that of least squares;
        ``"rest"``: that of least squares to the measurements that are not in the subset.
    mse, bias, variance
        In the unit of the quantity.
    lsq
        Mean squared error of least squares.
    ratio
        Its mean squared error over that of lsq.
    """

    data: str
    model: str
    box: str
    length: int
    subset: str
    quantity: str
    reference: str
    row: str
    mse: float
    bias: float
    variance: float
    lsq: float
    ratio: Ratio
    voxels: int


@dataclass(frozen=True)
class Scan:
    """Signals (V, N) of one participant."""

    name: str
    model: str
    signal: FloatArray
    protocol: Any


def scans(data: Path, most: int | None) -> list[Scan]:
    """Read the flip-angle series and the three IVIM series; `most` voxels of each, evenly spread."""
    found = [_vfa(data), *(_ivim(data, f"sub-ivim{i}") for i in (1, 2, 3))]
    if most is None:
        return found
    return [Scan(s.name, s.model, s.signal[:: max(len(s.signal) // most, 1)], s.protocol) for s in found]


def compare(scan: Scan, networks: Path | None) -> list[Comparison]:
    """Estimate from subsets of the measurements and compare with estimates from all."""
    found: list[Comparison] = []
    for name, box in (("Table 1", TABLE1[scan.model]), ("wide", WIDE[scan.model])):
        full = _estimates(scan, slice(None), box, networks)
        for subset, kept in _subsets(scan):
            part = _estimates(scan, kept, box, networks)
            references = {"own": full, "lsq": dict.fromkeys(part, full["lsq"])}
            if scan.model == "vfa":
                rest = [i for i in range(scan.protocol.n_measurements) if i not in kept]
                references["rest"] = dict.fromkeys(part, _least_squares(scan, rest, box))
            for quantity in SHOWN[scan.model]:
                found += _compared(scan, name, (subset, len(kept)), quantity, references, part)
    return found


def _least_squares(scan: Scan, kept: list[int], box: Bounds) -> dict[str, FloatArray]:
    signal, protocol = np.ascontiguousarray(scan.signal[:, kept]), _part(scan.protocol, kept)
    return Lsq().fit(get_model(scan.model), signal, protocol, bounds=box).maps


def _vfa(data: Path) -> Scan:
    import nibabel as nib

    folder = data / "sub-vfadce" / "anat"
    images = sorted(folder.glob("*_VFA.nii.gz"))
    cards = [json.loads(Path(str(p).replace(".nii.gz", ".json")).read_text(encoding="utf-8")) for p in images]
    protocol = VfaProtocol(
        np.deg2rad([c["FlipAngle"] for c in cards]), np.array([c["RepetitionTimeExcitation"] for c in cards])
    )
    mask = np.asanyarray(
        nib.load(data / "derivatives/rois/sub-vfadce/anat/sub-vfadce_desc-tissue_mask.nii.gz").dataobj
    )
    signal = np.stack([np.asarray(nib.load(p).dataobj, dtype=np.float64)[mask > 0] for p in images], axis=1)
    return Scan("sub-vfadce", "vfa", signal, protocol)


def _ivim(data: Path, name: str) -> Scan:
    """Read one series, all organs, averaged over directions as the application does."""
    import nibabel as nib

    stem = data / name / "dwi" / f"{name}_dwi"
    protocol = DiffusionProtocol(np.loadtxt(f"{stem}.bval"))
    organs = np.asanyarray(
        nib.load(data / f"derivatives/rois/{name}/dwi/{name}_desc-organs_dseg.nii.gz").dataobj
    )
    signal = np.asarray(nib.load(f"{stem}.nii.gz").dataobj, dtype=np.float64)[organs > 0]
    averaged, grouped = average_directions(signal, protocol, cluster_shells(protocol.bvals)[1])
    usable = np.all(np.isfinite(averaged), axis=1) & np.all(averaged > 0, axis=1)
    return Scan(name, "ivim", averaged[usable], grouped)


def _subsets(scan: Scan) -> list[tuple[str, list[int]]]:
    """Return the nearest that was measured to the fixed subsets of the study, and random ones by its rule."""
    if scan.model == "ivim":
        values = scan.protocol.bvals
        fixed = [(0, 10, 50, 500), (0, 10, 25, 50, 100, 500), (0, 10, 25, 50, 100, 200, 400, 500)]
        unit = "b"
    else:
        values = np.rad2deg(scan.protocol.flip_angle)
        fixed = [(2, 6, 20), (2, 6, 14, 20), (2, 6, 10, 14, 20)]
        unit = "flips"
    chosen = [(f"{unit} {'/'.join(map(str, f))}", _nearest(values, f)) for f in fixed]
    rng = np.random.default_rng([SEED, len(values)])
    for f in fixed:
        for draw in range(DRAWS):
            drawn = (
                _draw_b(len(f), values, rng) if unit == "b" else _nearest(values, _draw_flips(len(f), rng))
            )
            chosen.append((f"random {draw + 1}", drawn))
    return chosen


def _draw_flips(count: int, rng: np.random.Generator) -> FloatArray:
    """Draw flip angles by Table 2, between the smallest and the largest that were measured."""
    largest = rng.uniform(15, 20)
    rest = np.linspace(2, largest, count - 1)[1:-1]
    return np.concatenate([[2, rng.uniform(3, 10), largest], rest])


def _draw_b(count: int, values: FloatArray, rng: np.random.Generator) -> list[int]:
    """Draw b-values by Table 2 from those measured; what one range lacks comes from the others."""
    low = -(-(count - 1) // 2)
    few = -(-low // 2)
    kept = [int(np.argmin(values))]
    for first, last, number in ((1, 50, few), (50, 100, low - few), (100, 801, count - 1 - low)):
        inside = [i for i in np.flatnonzero((values >= first) & (values < last)) if i not in kept]
        kept += [int(i) for i in rng.permutation(inside)[:number]]
    rest = [i for i in rng.permutation(len(values)) if i not in kept]
    return sorted([*kept, *(int(i) for i in rest[: count - len(kept)])])


def _nearest(values: FloatArray, wanted: Sequence[float] | FloatArray) -> list[int]:
    """Return indices of the nearest measurements, none twice."""
    kept: list[int] = []
    for value in wanted:
        order = np.argsort(np.abs(values - value), kind="stable")
        kept.append(int(next(i for i in order if i not in kept)))
    return sorted(kept)


def _part(protocol: Any, kept: list[int] | slice) -> Any:
    if isinstance(protocol, VfaProtocol):
        return VfaProtocol(protocol.flip_angle[kept], protocol.repetition_time[kept])
    return DiffusionProtocol(protocol.bvals[kept], averages=protocol.weights[kept])


def _estimates(
    scan: Scan, kept: list[int] | slice, box: Bounds, networks: Path | None
) -> dict[str, dict[str, FloatArray]]:
    """Return maps by estimator; the noise level is that of the whole series."""
    model = get_model(scan.model)
    sigma = np.full(len(scan.signal), pooled_sigma(model, scan.signal, scan.protocol, bounds=box))
    signal, protocol = np.ascontiguousarray(scan.signal[:, kept]), _part(scan.protocol, kept)
    maps = {}
    for row in rows_of(scan.model, networks):
        if row.name in NOT_HERE:
            continue
        try:
            answer = row.fit(model, signal, protocol, sigma=sigma, bounds=box)
        except InputError:
            continue
        if answer is not None:
            maps[row.name] = answer.maps
    return maps


def _compared(
    scan: Scan,
    box: str,
    subset: tuple[str, int],
    quantity: str,
    references: dict[str, dict[str, dict[str, FloatArray]]],
    part: dict[str, dict[str, FloatArray]],
) -> list[Comparison]:
    found = []
    rows = [row for row in part if row in references["own"]]
    answers = [maps[row][quantity] for maps in (part, *references.values()) for row in rows]
    answered = np.all(np.isfinite(answers), axis=0)
    for reference, maps in references.items():
        error = {row: (part[row][quantity] - maps[row][quantity])[answered] for row in rows}
        for row, e in error.items():
            if row == "constant" and reference == "own":
                continue
            against = ratio_of_means(e**2, error["lsq"] ** 2)
            summary = float(np.mean(e**2)), float(e.mean()), float(e.var()), float(np.mean(error["lsq"] ** 2))
            names = scan.name, scan.model, box, subset[1], subset[0], quantity, reference, row
            found.append(Comparison(*names, *summary, against, int(answered.sum())))
    return found


def pooled(found: Sequence[Comparison]) -> list[Comparison]:
    """Average the random subsets of every length."""
    keys = list(dict.fromkeys(_key(c) for c in found))
    merged = []
    for key in keys:
        group = [c for c in found if _key(c) == key]
        first, mse = group[0], np.mean([c.mse for c in group])
        base = np.mean([c.lsq for c in group])
        # Subsets of one scan share voxels: no less uncertain than the mean of single subsets.
        se = float(np.mean([c.ratio.se for c in group]))
        label = "random" if first.subset.startswith("random") else first.subset
        means = (
            float(mse),
            *(float(np.mean([getattr(c, n) for c in group])) for n in ("bias", "variance", "lsq")),
        )
        merged.append(
            Comparison(*key[:4], label, *key[5:], *means, Ratio(float(mse / base), se), first.voxels)
        )
    return merged


def _key(c: Comparison) -> tuple[Any, ...]:
    subset = "random" if c.subset.startswith("random") else c.subset
    return c.data, c.model, c.box, c.length, subset, c.quantity, c.reference, c.row


def table(found: Sequence[Comparison]) -> list[str]:
    """Return a line per scan, limits, subset and quantity; ratios over lsq."""
    rows = list(dict.fromkeys(c.row for c in found if c.row != "lsq"))
    heads = [f"{row} ÷ lsq" for row in rows]
    lines = [
        f"| data | limits | subset | | reference | MSE lsq | {' | '.join(heads)} "
        "| bias lsq, ncde | variance lsq, ncde |",
        "|" + "---|" * (len(rows) + 8),
    ]
    for key in dict.fromkeys(_key(c)[:7] for c in found):
        group = {c.row: c for c in found if _key(c)[:7] == key}
        lsq, net, quantity = group["lsq"], group.get("ncde"), key[5]
        scale = SCALE.get(quantity, 1.0)
        cells = [key[0], key[2], f"{key[3]}: {key[4]}", UNIT[quantity], key[6], f"{scale**2 * lsq.mse:.3g}"]
        cells += [text(group[row].ratio if row in group else None) for row in rows]
        for name, power in (("bias", 1), ("variance", 2)):
            both = [f"{scale**power * getattr(c, name):.2g}" for c in (lsq, net) if c is not None]
            cells.append(", ".join(both))
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]
