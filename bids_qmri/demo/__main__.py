"""``python -m bids_qmri.demo``: write the dataset, run both levels, compare the maps with the truth."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bids_qmri.cli.environment import environment
from bids_qmri.cli.run import main as run


def main(argv: Sequence[str] | None = None) -> int:
    """Make the demonstration and return the exit code of its run."""
    parser = argparse.ArgumentParser(prog="python -m bids_qmri.demo", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"), help="default: ./demo")
    folder = parser.parse_args(argv).folder.resolve()
    raw, masks, results, work = (folder / name for name in ("bids", "masks", "bids_qmri", "work"))
    # the run would do so too late: writing the dataset imports libraries already
    os.environ.update(environment(os.environ, work))
    from bids_qmri.demo.compare import NOTE, as_text, compare
    from bids_qmri.demo.dataset import write_dataset, write_masks

    write_dataset(raw)
    write_masks(masks)
    code = run([str(raw), str(results), "participant", "group", "-d", f"masks={masks}", "-w", str(work)])
    if code == 0:
        print(f"\n{as_text(compare(results))}\n\n{NOTE}\n\nPages to look at:")
        print("\n".join(f"  {page}" for page in sorted(results.glob("*.html"))))
    return code


if __name__ == "__main__":
    sys.exit(main())
