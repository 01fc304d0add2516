"""Run the command of an earlier checkout and of this one side by side, and compare the voxels of every map.

Run ``python benchmarks/same_outputs.py BEFORE BIDS_DIR ...``; BEFORE is a checkout of an earlier commit,
whose dependencies this environment has. The demonstration is compared as well. Writes
benchmarks/results/same_outputs.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

HERE = Path(__file__).resolve().parents[1]
RUNS: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "mle, map": ("--methods", "mle", "map"),
    "bayes": ("--models", "vfa", "etofts", "--methods", "bayes"),
    "tensors by ols": ("--models", "tensor", "dki", "--methods", "lsq", "--tensor-fit", "ols"),
}


class Difference(NamedTuple):
    """One map whose voxels are not the same bit for bit."""

    image: str
    voxels: int
    largest: float
    typical: float


class Comparison(NamedTuple):
    """Maps of two runs: how many both have, those that differ, and names that one of them has."""

    both: int
    differences: list[Difference]
    lost: list[str]
    new: list[str]


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    before, *datasets = (Path(argument).resolve() for argument in sys.argv[1:])
    lines = [
        "# Maps of an earlier build and of this one",
        "",
        "Voxels of all images that both write, as stored (float32, status as integers), NaN equal to NaN. "
        "Differences are relative to the earlier value; typical is that of 99.9 % of the voxels that differ.",
        "",
        "| dataset | run | images in both | equal bit for bit | only before | only now |",
        "|---|---|---|---|---|---|",
    ]
    listed: list[str] = []
    for name, run, found in comparisons(before, datasets):
        equal = found.both - len(found.differences)
        lines.append(f"| {name} | {run} | {found.both} | {equal} | {len(found.lost)} | {len(found.new)} |")
        print(lines[-1], flush=True)
        listed += [
            f"| {d.image} | {run} | {d.voxels} | {d.largest:.1e} | {d.typical:.1e} |"
            for d in found.differences
        ]
        listed += [f"| {image} | {run} | lost | | |" for image in found.lost]
    head = ["", "| image that differs | run | voxels | largest | 99.9 % below |", "|---|---|---|---|---|"]
    lines += [*head, *listed] if listed else ["", "No image differs."]
    lines += ["", "Repeat: `python benchmarks/same_outputs.py BEFORE BIDS_DIR ...`"]
    target = HERE / "benchmarks/results/same_outputs.md"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"\n{len(listed)} lines of differences in {target}")


def comparisons(before: Path, datasets: list[Path]) -> Iterator[tuple[str, str, Comparison]]:
    """Yield dataset, run and comparison."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for checkout, side in ((before, "before"), (HERE, "now")):
            call(checkout, ["-m", "bids_qmri.demo", str(folder / f"demo-{side}")], folder)
        yield "demonstration", "defaults", compare(folder / "demo-before", folder / "demo-now")
        for dataset in datasets:
            for run, choices in RUNS.items():
                for checkout, side in ((before, "before"), (HERE, "now")):
                    out = ["-m", "bids_qmri", str(dataset), str(folder / run / side), "participant"]
                    call(checkout, [*out, "-w", str(folder / "work" / side), *choices], folder)
                yield dataset.name, run, compare(folder / run / "before", folder / run / "now")


def call(checkout: Path, arguments: list[str], folder: Path) -> None:
    """Run Python with the package of a checkout; a series that cannot be fitted is the affair of both."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{checkout}: {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")


def compare(before: Path, now: Path) -> Comparison:
    """Compare the images of two folders."""
    one, other = ({str(p.relative_to(root)) for p in root.rglob("*.nii.gz")} for root in (before, now))
    pairs = ((name, before / name, now / name) for name in sorted(one & other))
    differences = [found for name, a, b in pairs if (found := difference(name, a, b)) is not None]
    return Comparison(len(one & other), differences, sorted(one - other), sorted(other - one))


def difference(name: str, before: Path, now: Path) -> Difference | None:
    """Return how two images differ, None if they do not."""
    a, b = (np.asanyarray(nib.load(path).dataobj) for path in (before, now))
    if a.dtype != b.dtype or a.shape != b.shape:
        return Difference(Path(name).name, -1, np.inf, np.inf)
    differ = (a != b) & ~(np.isnan(a) & np.isnan(b))
    if not differ.any():
        return None
    old, new = a[differ].astype(np.float64), b[differ].astype(np.float64)
    relative = np.abs(new - old) / np.maximum(np.abs(old), np.finfo(np.float32).tiny)
    relative[np.isnan(relative)] = np.inf
    return Difference(
        Path(name).name, int(differ.sum()), float(relative.max()), float(np.quantile(relative, 0.999))
    )


if __name__ == "__main__":
    main()
