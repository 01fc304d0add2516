"""The diffusivities of NODDI on the command line, both at once; ``--set noddi.d_par=…`` sets one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_qmri.errors import UsageError
from bids_qmri.options import Option, number

SLOWEST, FASTEST = 1e-4, 1e-2
"""Diffusivities of water in mm^2/s that can be meant; others are in another unit."""

TITLE = "NODDI"

OPTIONS = (
    Option(
        "--noddi-diffusivities",
        number(float, lambda d: SLOWEST <= d <= FASTEST, f"mm^2/s, {SLOWEST:g} to {FASTEST:g}"),
        ("DPAR", "DISO"),
        "along neurites and of free water, mm^2/s; default: 0.0017 0.003 (in vivo)",
        nargs=2,
    ),
)


def settings(given: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the settings of models that the option stands for.

    Raises
    ------
    UsageError
        If water along neurites is faster than free water.
    """
    pair = given.get(OPTIONS[0].name)
    if pair is None:
        return {}
    along, free = pair
    if along >= free:
        raise UsageError(
            f"{along:g} along neurites and {free:g} in free water",
            field=OPTIONS[0].flag,
            needed="free water to be the faster",
            fix="write the diffusivity along neurites first",
        )
    return {"noddi": {"d_par": along, "d_iso": free}}
