"""What alignment costs beside elastix alone, and memory: each in a process of its own, the same images.

Run as ``python -m benchmarks.alignment_cost``; needs the extra align; writes
``benchmarks/results/alignment_cost.md`` (some five minutes). Alone: elastix is imported and registers the
series with the same settings, and nothing else is done. Aligned: the images are opened, registered,
interpolated and written as `--align rigid` does it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as moved_by

RESULTS = Path(__file__).parent / "results" / "alignment_cost.md"
SERIES = {"5 flips of 128 x 128 x 128": (128, 128, 128, 5), "60 frames of 96 x 96 x 20": (96, 96, 20, 60)}
PAIRS, LONG = 3, 150.0
"""Pairs of runs, and processor seconds after which a row is not repeated."""

TIMED = """
import json, resource, sys
from pathlib import Path
import numpy as np
from bids_qmri.bids.images import open_series
path, how = Path(sys.argv[1]), sys.argv[2]
if how == "alone":
    import nibabel as nib
    from bids_qmri.alignment.elastix import register
    image = nib.load(path)
    register(np.asarray(image.dataobj, dtype=np.float32), np.array(image.header.get_zooms()[:3]), "rigid", 1)
else:
    from bids_qmri.interfaces.aligned import align_series
    with open_series([path], path.parent) as series:
        align_series(series, "rigid", 0, path.parent / "aligned.nii", 1).series.close()
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6]))
"""

HEAD = """# What alignment costs

`python -m benchmarks.alignment_cost`: processor seconds and peak memory of `--align rigid` up to the aligned
images, over elastix alone with the same settings; medians of {pairs} pairs of processes in turn, one pair of
what takes longer than {long:g} s, one thread.

| series | aligned, CPU s | elastix alone | ratio | aligned, peak GB | elastix alone |
|---|---|---|---|---|---|
"""


def write(path: Path, shape: tuple[int, ...]) -> None:
    """Write a series of a textured ball that moves a little between images."""
    rng = np.random.default_rng(1)
    place = np.stack(np.indices(shape[:3]), axis=-1) - (np.array(shape[:3]) - 1) / 2
    ball = np.linalg.norm(place / (0.4 * np.array(shape[:3])), axis=-1) < 1
    texture = gaussian_filter(rng.standard_normal(shape[:3]), 3.0)
    clean = gaussian_filter(ball * (100 + 30 * texture / texture.std()), 0.7)
    images = np.empty(shape, dtype=np.float32)
    for index in range(shape[3]):
        image = moved_by(clean, rng.uniform(-1, 1, 3) * (index > 0), order=1) * (1 + 0.1 * index)
        images[..., index] = np.abs(image + 3 * rng.standard_normal(shape[:3]))
    nib.save(nib.Nifti1Image(images, np.diag([2.0, 2.0, 2.0, 1.0])), path)


def main() -> None:
    """Run both ways in turn, and write the table."""
    lines = []
    with TemporaryDirectory() as folder:
        for name, shape in SERIES.items():
            path = Path(folder) / "series.nii"
            write(path, shape)
            runs: dict[str, list[list[float]]] = {"aligned": [], "alone": []}
            for _ in range(PAIRS):
                for how, found in runs.items():
                    command = [sys.executable, "-c", TIMED, str(path), how]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                    found.append(json.loads(done.stdout.splitlines()[-1]))
                if sum(run[0] for found in runs.values() for run in found) > LONG:
                    break
            ratio = statistics.median(a[0] / b[0] for a, b in zip(*runs.values(), strict=True))
            cpu, memory = (
                [statistics.median(run[i] for run in one) for one in runs.values()] for i in (0, 1)
            )
            cells = (
                name,
                f"{cpu[0]:.1f}",
                f"{cpu[1]:.1f}",
                f"**{ratio:.2f}**",
                *(f"{gb:.2f}" for gb in memory),
            )
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    RESULTS.write_text(HEAD.format(pairs=PAIRS, long=LONG) + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
