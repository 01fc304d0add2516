"""Every network of the package against every shared scan of its kind: inside its training or not, and why.

Run as ``python -m benchmarks.networks_check`` from the folder that holds ``benchmarks``, with the shared
data; writes ``benchmarks/results/networks_check.md`` (some seconds).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import bids_qmri
from benchmarks.tissue_geometry import shared_data
from bids_qmri.workflows.networks import judge_study, networks_in

RESULTS = Path(__file__).parent / "results" / "networks_check.md"

INTRODUCTION = """# Networks of the package against the shared scans

`benchmarks/networks_check.py`: what `bids_qmri-networks check NETWORK --bids DIR` says of every scan of the
kind that the network is for. Inside: within all that its training covered. Outside: used, with a caution.
Refused: cannot be used. Flip angles that a transmit field changes from voxel to voxel, and noise, are judged
in every voxel of a run.

| network | scan | verdict | why |
|---|---|---|---|
"""


def main() -> None:
    """Judge and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked, lines, alone = parser.parse_args(), [INTRODUCTION.rstrip("\n")], []
    data = shared_data() / "bids-real"
    for one in networks_in():
        judged = list(judge_study(one.file, data))
        lines += [
            f"| {one.file.stem} | {scan.scan} | {scan.verdict} | {'; '.join(scan.reasons)} |".replace(
                f"{data}/", ""
            )
            for scan in judged
        ]
        alone += [] if judged else [one.file.stem]
    lines += ["", f"Without a scan of their kind: {', '.join(alone) or 'none'}.", ""]
    asked.out.write_text("\n".join([*lines, f"bids_qmri {bids_qmri.__version__}.", ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
