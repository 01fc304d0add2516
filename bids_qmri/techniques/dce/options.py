"""Options of dynamic contrast-enhanced series on the command line; each overrides the sidecar."""

from __future__ import annotations

import argparse
from pathlib import Path

from bids_qmri.options import Option, number

POPULATION_INPUTS = ("parker", "georgiou", "weinmann", "rata")

LONGEST_T1 = 6.0
"""T1 in s that can be meant; longer ones are milliseconds."""


def arterial_input(text: str) -> str:
    """Return the name of a population function, or the absolute path of a table."""
    if text in POPULATION_INPUTS:
        return text
    if not Path(text).is_file():
        names = ", ".join(POPULATION_INPUTS)
        raise argparse.ArgumentTypeError(f"{text!r} is neither one of {names} nor a file")
    return str(Path(text).resolve())


TITLE = "contrast-enhanced series (each overrides the sidecar)"

OPTIONS = (
    Option(
        "--relaxivity",
        number(float, lambda x: x > 0, "a number above 0"),
        "R1",
        "of the contrast agent, L/mmol/s",
    ),
    Option(
        "--hematocrit",
        number(float, lambda h: 0 <= h < 1, "a fraction, 0 or above and below 1"),
        "HCT",
        "fraction of blood, 0 to 1",
    ),
    Option(
        "--t10",
        number(float, lambda s: 0 < s <= LONGEST_T1, f"a T1 in seconds, at most {LONGEST_T1:g}"),
        "S",
        "one T1 before contrast for all voxels, s",
    ),
    Option(
        "--aif",
        arterial_input,
        "NAME|TSV",
        f"arterial input: a population function ({', '.join(POPULATION_INPUTS)}) or a table",
    ),
    Option(
        "--baseline-volumes",
        number(int, lambda n: n > 0, "a whole number above 0"),
        "N",
        "number of frames before the contrast agent",
    ),
)
